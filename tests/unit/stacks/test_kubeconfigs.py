"""Reading kubeconfigs."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from stacks.kubeconfigs import Kubeconfig, KubeconfigError, parse, read


def document(**changes: object) -> dict[str, Any]:
    return {
        "current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": "https://host:1/clusters/root"}}, {"name": "other"}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "n"}}],
        "users": [{"name": "u", "user": {"token": "hunter2"}}, {"name": "v", "user": {"token": "other"}}],
        **changes,
    }


def test_only_the_current_context_is_kept(tmp_path: Path) -> None:
    text = parse(yaml.safe_dump(document()), tmp_path).render()
    assert "hunter2" in text
    assert "other" not in text


def test_what_was_rendered_reads_the_same(tmp_path: Path) -> None:
    first = parse(yaml.safe_dump(document()), tmp_path)
    assert parse(first.render(), tmp_path) == first


def test_files_are_inlined_so_that_it_works_anywhere(tmp_path: Path) -> None:
    for name in ("ca.pem", "cert.pem", "key.pem", "token"):
        (tmp_path / name).write_text(f"content of {name}\n")
    cluster = {"server": "https://host", "certificate-authority": "ca.pem"}
    user = {"client-certificate": "cert.pem", "client-key": str(tmp_path / "key.pem"), "tokenFile": "token"}
    text = yaml.safe_dump(
        document(clusters=[{"name": "c", "cluster": cluster}], users=[{"name": "u", "user": user}])
    )
    (tmp_path / "kubeconfig").write_text(text)
    found = read(tmp_path / "kubeconfig")
    assert base64.b64decode(found.certificate_authority or "") == b"content of ca.pem\n"
    assert base64.b64decode(found.user["client-key-data"]) == b"content of key.pem\n"
    assert found.user["token"] == "content of token"
    assert "pem" not in "".join((*found.user, *found.cluster))


@pytest.mark.parametrize("server", ["https://host:1/clusters/root", "https://host:1/", "https://host:1"])
def test_workspaces_are_addressed_whatever_the_server_ends_in(server: str) -> None:
    found = Kubeconfig(server, {}, {})
    assert found.kcp_url == "https://host:1"
    assert found.at_workspace("root:a:b").server == "https://host:1/clusters/root:a:b"


def test_a_credential_is_not_shown_where_a_kubeconfig_is_printed(tmp_path: Path) -> None:
    assert "hunter2" not in repr(parse(yaml.safe_dump(document()), tmp_path))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("a: [hunter2", "not YAML"),
        ("text", "not a mapping"),
        (yaml.safe_dump(document(**{"current-context": ""})), "no current-context"),
        (yaml.safe_dump(document(**{"current-context": "y"})), "names a context"),
        (yaml.safe_dump(document(users=[])), "names a user"),
        (yaml.safe_dump(document(clusters=None)), "names a cluster"),
        ("a: !!int hunter2", "not YAML"),
        ("hunter2: 1\nhunter2: 2", "not YAML"),
        ("&hunter2 a: *hunter3", "not YAML"),
        ("[" * 5000, "not YAML"),
        (
            yaml.safe_dump(
                document(
                    clusters=[{"name": "c", "cluster": {"server": "https://h", "certificate-authority": 5}}]
                )
            ),
            "certificate-authority in the kubeconfig is not a path",
        ),
        (
            yaml.safe_dump(document(users=[{"name": "u", "user": {"tokenFile": ["hunter2"]}}])),
            "tokenFile in the kubeconfig is not a path",
        ),
        (
            yaml.safe_dump(document(users=[{"name": "u", "user": {"client-key": "a\0b"}}])),
            "client-key in the kubeconfig can't be read",
        ),
        (yaml.safe_dump(document(clusters=[{"name": "c", "cluster": {}}])), "no server URL"),
        (
            yaml.safe_dump(document(users=[{"name": "u", "user": {"client-key": "nowhere"}}])),
            "client-key in the kubeconfig doesn't exist",
        ),
    ],
)
def test_an_unusable_kubeconfig_is_refused_without_showing_it(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match=why) as caught:
        parse(text, tmp_path)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_date_in_a_kubeconfig_stays_the_text_it_is(tmp_path: Path) -> None:
    text = json.dumps(document(users=[{"name": "u", "user": {"expiry": "DATE"}}])).replace(
        '"DATE"', " 2024-02-30"
    )
    assert json.loads(parse(text, tmp_path).render())["users"][0]["user"] == {"expiry": "2024-02-30"}


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="can't be read"):
        read(tmp_path)


def test_the_same_credential_gives_the_same_text(tmp_path: Path) -> None:
    shuffled = dict(reversed(document().items()))
    assert parse(json.dumps(shuffled), tmp_path).render() == parse(json.dumps(document()), tmp_path).render()
