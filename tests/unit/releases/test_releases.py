"""Releases: catalog, sources, lock and transformation."""

import fcntl
import hashlib
import http.client
import io
import json
import os
import re
import socket
import threading
import urllib.request
import urllib.response
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from releases.adaptation import UNADAPTED, Adaptation
from releases.catalog import API_SYNCAGENT_CRDS, TEKTON_PIPELINES, CatalogEntry, catalog, find
from releases.errors import ReleaseError
from releases.fetch import Directory, Published, download
from releases.lock import lock_key, read_lock, record
from releases.prepare import PreparedRelease, prepare
from releases.transform import serialize, transform
from units.manifest import parse

ENTRY = CatalogEntry(version="v1", supported=("v1",), url="https://host/{version}/release.yaml")


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "tekton-pipelines"},
        "data": data,
    }


TEKTON = [
    config_map("feature-flags", other="kept"),
    config_map("config-defaults"),
    config_map("config-logging"),
]


FIRST = b"{apiVersion: v1, kind: ConfigMap, metadata: {name: first}}"


def source(tmp_path: Path, content: bytes) -> bytes:
    return published(tmp_path, lambda _: content)


def published(
    tmp_path: Path, download: Callable[[str], bytes], report: Callable[[str], None] = print, name: str = "x"
) -> bytes:
    where = Published(
        cache=tmp_path / "cache", lock_file=tmp_path / "lock.yaml", report=report, download=download
    )
    return where.manifest(name, ENTRY)


def offline(_: str) -> bytes:
    raise OSError("no network")


def test_the_catalog_pins_a_supported_version_of_each_release() -> None:
    assert {TEKTON_PIPELINES, API_SYNCAGENT_CRDS} <= set(catalog())
    for name, entry in catalog().items():
        assert entry.version in entry.supported
        assert find(name).location().startswith("https://")
        assert entry.version in entry.location()


def test_an_unknown_release_is_refused_by_name() -> None:
    with pytest.raises(ReleaseError, match="no release nothing; use one of api-syncagent-crds"):
        find("nothing")


def test_a_version_is_found_where_it_is_supported_and_refused_with_those_that_are() -> None:
    assert find(TEKTON_PIPELINES, "v1.6.0").version == "v1.6.0"
    with pytest.raises(
        ReleaseError, match=r"tekton-pipelines v0\.1\.0 is not supported; use one of .*v1\.6\.0"
    ):
        find(TEKTON_PIPELINES, "v0.1.0")


def test_a_fetched_manifest_is_recorded_and_verified_ever_after(tmp_path: Path) -> None:
    told: list[str] = []
    assert published(tmp_path, lambda _: FIRST, told.append) == FIRST
    lock = yaml.safe_load((tmp_path / "lock.yaml").read_text())
    digest = hashlib.sha256(FIRST).hexdigest()
    assert lock == {"x-v1": digest}
    assert told == [f"x v1: recorded sha256 {digest}; commit releases/lock.yaml"]
    # From the cache now, without any network; and what is in the lock already is not told again.
    assert published(tmp_path, offline, told.append) == FIRST
    (tmp_path / "cache/x-v1.yaml").unlink()
    assert published(tmp_path, lambda _: FIRST, told.append) == FIRST
    assert len(told) == 1


def test_of_two_fetches_at_once_neither_loses_the_others_line(tmp_path: Path) -> None:
    def meanwhile(_: str) -> bytes:
        published(tmp_path, lambda _: FIRST, name="y")
        return FIRST

    published(tmp_path, meanwhile)
    assert read_lock(tmp_path / "lock.yaml").keys() == {"x-v1", "y-v1"}


def test_of_two_first_fetches_of_the_same_the_later_is_held_against_the_other(tmp_path: Path) -> None:
    def meanwhile(_: str) -> bytes:
        source(tmp_path, FIRST)
        return FIRST + b"# another"

    with pytest.raises(ReleaseError, match="but the lock says"):
        published(tmp_path, meanwhile)
    assert read_lock(tmp_path / "lock.yaml") == {"x-v1": hashlib.sha256(FIRST).hexdigest()}


def test_a_digest_is_recorded_while_nobody_else_records_one(tmp_path: Path) -> None:
    def others() -> None:
        record("y-v1", "b" * 64, tmp_path / "lock.yaml")

    holder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    other = threading.Thread(target=others)
    other.start()
    other.join(0.2)
    assert other.is_alive()
    os.close(holder)
    other.join()
    assert read_lock(tmp_path / "lock.yaml") == {"y-v1": "b" * 64}


def test_a_changed_publication_is_refused(tmp_path: Path) -> None:
    source(tmp_path, FIRST)
    (tmp_path / "cache" / "x-v1.yaml").unlink()
    with pytest.raises(ReleaseError, match="but the lock says"):
        source(tmp_path, b"tampered")
    assert not (tmp_path / "cache" / "x-v1.yaml").exists()


def test_a_tampered_cache_is_fetched_anew(tmp_path: Path) -> None:
    source(tmp_path, FIRST)
    (tmp_path / "cache" / "x-v1.yaml").write_bytes(b"tampered")
    assert source(tmp_path, FIRST) == FIRST


def test_the_locks_comments_survive(tmp_path: Path) -> None:
    (tmp_path / "lock.yaml").write_text("# why\n")
    source(tmp_path, FIRST)
    assert (tmp_path / "lock.yaml").read_text().startswith("# why\nx-v1: ")


def test_an_unreachable_source_is_told_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(
        ReleaseError, match=r"x v1 can't be fetched .* \(no network\); let this machine reach it, or"
    ):
        published(tmp_path, offline)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"Content-Length: 5\r\n\r\nwhole", None),
        (b"Content-Length: 9\r\n\r\nshort", "cut off after 5 of 9 bytes"),
        (b"Content-Length: many\r\n\r\nwhole", "broken or was cut off: .*'many'"),
        (b"Transfer-Encoding: chunked\r\n\r\n9\r\nshort", "cut off: IncompleteRead"),
        (b"Content-Length: 12\r\n\r\nmuch, much..", "larger than 10 bytes"),
    ],
    ids=["whole", "short", "no-number", "short-chunk", "large"],
)
def test_what_is_not_whole_is_no_download(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, expected: str | None
) -> None:
    ours, theirs = socket.socketpair()

    def opened(*_: object, **__: object) -> http.client.HTTPResponse:
        response = http.client.HTTPResponse(ours)
        response.begin()
        return response

    monkeypatch.setattr("urllib.request.OpenerDirector.open", opened)
    monkeypatch.setattr("releases.fetch._LARGEST_BYTES", 10)
    with ours:
        with theirs:
            theirs.sendall(b"HTTP/1.1 200 OK\r\n" + answer)
        if expected is None:
            assert download("https://host/x") == b"whole"
            return
        with pytest.raises(OSError, match=expected):
            download("https://host/x")


def test_an_answer_that_is_not_http_is_no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: object, **__: object) -> None:
        raise http.client.BadStatusLine("SSH-2.0")

    monkeypatch.setattr("urllib.request.OpenerDirector.open", opened)
    with pytest.raises(OSError, match=r"the answer is broken or was cut off: SSH-2\.0"):
        download("https://host/x")


@pytest.mark.parametrize("content", [b"\xff\xfe: x\n", b"1: x\n", b"a: 1\n", b"[" * 9000])
def test_what_is_no_lock_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lock.yaml").write_bytes(content)
    with pytest.raises(ReleaseError, match=r"lock\.yaml is not a lock; restore it from Git"):
        source(tmp_path, FIRST)


def test_what_is_no_manifest_is_never_locked(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="holds something that is not an object"):
        source(tmp_path, b"<html>sign in</html>")
    assert not (tmp_path / "lock.yaml").exists()
    assert source(tmp_path, FIRST) == FIRST


def test_only_https_is_fetched() -> None:
    with pytest.raises(OSError, match="not an https address"):
        download("http://host/x")


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("http://127.0.0.1/x", "redirects to http://127.0.0.1/x, which is not an https address"),
        ("ftp://127.0.0.1/x", "redirects to ftp://127.0.0.1/x, which is not an https address"),
        ("https://elsewhere/x", None),
    ],
)
def test_a_redirect_leads_to_https_alone(
    monkeypatch: pytest.MonkeyPatch, location: str, expected: str | None
) -> None:
    def answer(_: object, request: urllib.request.Request) -> urllib.response.addinfourl:
        head = http.client.HTTPMessage()
        redirected = request.full_url == "https://host/x"
        if redirected:
            head["Location"] = location
        status = 302 if redirected else 200
        made = urllib.response.addinfourl(io.BytesIO(b"whole"), head, request.full_url, status)
        vars(made)["msg"] = "answer"  # as the library's own handlers do
        return made

    for handler in ("HTTPHandler.http_open", "HTTPSHandler.https_open", "FTPHandler.ftp_open"):
        monkeypatch.setattr(f"urllib.request.{handler}", answer)
    if expected is None:
        assert download("https://host/x") == b"whole"
        return
    with pytest.raises(OSError, match=expected):
        download("https://host/x")


def test_the_committed_lock_names_only_releases_of_the_catalog() -> None:
    known = {lock_key(name, version) for name, entry in catalog().items() for version in entry.supported}
    assert read_lock().keys() <= known


def test_tekton_runs_under_the_tenants_own_account() -> None:
    made = {one["metadata"]["name"]: one for one in transform(TEKTON_PIPELINES, TEKTON)}
    assert made["config-defaults"]["data"] == {"default-service-account": "pipeline"}
    assert made["feature-flags"]["data"] == {"other": "kept", "set-security-context": "true"}
    assert made["config-logging"] == TEKTON[2]


def test_what_was_published_is_left_as_it_is() -> None:
    before = json.dumps(TEKTON)
    transform(TEKTON_PIPELINES, TEKTON)
    assert json.dumps(TEKTON) == before


def test_the_order_of_the_publication_doesnt_matter() -> None:
    assert transform(TEKTON_PIPELINES, TEKTON) == transform(TEKTON_PIPELINES, reversed(TEKTON))


def test_a_release_without_what_must_be_set_is_refused() -> None:
    with pytest.raises(ReleaseError, match="no ConfigMap config-defaults"):
        transform(TEKTON_PIPELINES, TEKTON[:1])


def test_the_units_runner_reads_what_is_written() -> None:
    assert parse(serialize(TEKTON)) == TEKTON


def prepared(tmp_path: Path, content: str, adaptation: Adaptation = UNADAPTED) -> PreparedRelease:
    directory = tmp_path / "releases"
    directory.mkdir(exist_ok=True)
    (directory / "tekton-pipelines-v1.6.0.yaml").write_text(content)
    return prepare(
        TEKTON_PIPELINES,
        adaptation=adaptation,
        source=Directory(path=directory),
        root=tmp_path,
        folder=Path(".run/dev/manifests"),
    )


def test_the_digest_is_that_of_what_is_applied(tmp_path: Path) -> None:
    made = prepared(tmp_path, yaml.safe_dump_all(TEKTON))
    content = (tmp_path / made.manifest).read_bytes()
    assert hashlib.sha256(content).hexdigest() == made.sha256
    assert made.manifest == Path(f".run/dev/manifests/tekton-pipelines-{made.sha256[:12]}.yaml")


def test_what_is_applied_is_outlined_and_the_outline_is_kept_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = yaml.safe_dump_all(TEKTON)
    first = prepared(tmp_path, text)
    assert [line.rpartition(" ")[0] for line in first.contents.outline] == [
        "ConfigMap tekton-pipelines/config-defaults",
        "ConfigMap tekton-pipelines/config-logging",
        "ConfigMap tekton-pipelines/feature-flags",
    ]

    def fail(*_: object, **__: object) -> None:
        pytest.fail("outlined again")

    monkeypatch.setattr("releases.prepare.outline", fail)
    assert prepared(tmp_path, text) == first


def test_a_comment_in_the_publication_changes_nothing_but_a_value_does(tmp_path: Path) -> None:
    first = prepared(tmp_path, yaml.safe_dump_all(TEKTON))
    assert prepared(tmp_path, "# new\n" + yaml.safe_dump_all(TEKTON)) == first
    changed = [*TEKTON[:2], config_map("config-logging", level="debug")]
    assert prepared(tmp_path, yaml.safe_dump_all(changed)).sha256 != first.sha256


def test_a_lost_or_broken_cache_is_made_anew(tmp_path: Path) -> None:
    text = yaml.safe_dump_all(TEKTON)
    first = prepared(tmp_path, text)
    (tmp_path / first.manifest).unlink()
    (tmp_path / ".run/dev/manifests/tekton-pipelines.json").write_text("{cut o")
    assert prepared(tmp_path, text) == first
    assert (tmp_path / first.manifest).is_file()
    (tmp_path / first.manifest).with_suffix(".contents.json").write_bytes(b"\xff")
    assert prepared(tmp_path, text) == first
    index = tmp_path / ".run/dev/manifests/tekton-pipelines.json"
    for broken in (b"\xff", b'{"key": ' + b"[" * 9000 + b"]" * 9000 + b"}"):
        index.write_bytes(broken)
        assert prepared(tmp_path, text) == first
    index.write_text(json.dumps(dict.fromkeys(json.loads(index.read_text()), 1)))
    assert prepared(tmp_path, text) == first


def test_an_adaptation_sets_data_of_config_maps_but_never_what_is_set_everywhere() -> None:
    adaptation = Adaptation(
        config_maps={
            "config-logging": {"level": "debug"},
            "config-defaults": {"default-timeout-minutes": "90", "default-service-account": "default"},
        }
    )
    made = {one["metadata"]["name"]: one["data"] for one in transform(TEKTON_PIPELINES, TEKTON, adaptation)}
    assert made["config-logging"] == {"level": "debug"}
    assert made["config-defaults"] == {
        "default-timeout-minutes": "90",
        "default-service-account": "pipeline",
    }


def test_an_adaptation_of_a_config_map_that_is_not_there_is_refused() -> None:
    with pytest.raises(ReleaseError, match="tekton-pipelines has no ConfigMap config-nothing"):
        transform(TEKTON_PIPELINES, TEKTON, Adaptation(config_maps={"config-nothing": {"a": "b"}}))


def test_equal_adaptations_are_equal_texts() -> None:
    one = Adaptation(config_maps={"a": {"x": "1", "y": "2"}, "b": {}})
    other = Adaptation(config_maps={"b": {}, "a": {"y": "2", "x": "1"}})
    assert one.as_json() == other.as_json() != UNADAPTED.as_json()


def test_each_adaptation_is_prepared_once_and_none_is_taken_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = yaml.safe_dump_all(TEKTON)
    adaptation = Adaptation(config_maps={"config-logging": {"level": "debug"}})
    plain, adapted = prepared(tmp_path, text), prepared(tmp_path, text, adaptation)
    assert plain.sha256 != adapted.sha256
    assert '"level":"debug"' in (tmp_path / adapted.manifest).read_text()
    assert '"level":"debug"' not in (tmp_path / plain.manifest).read_text()

    def fail(*_: object, **__: object) -> None:
        pytest.fail("parsed again")

    monkeypatch.setattr("yaml.load_all", fail)
    assert (prepared(tmp_path, text), prepared(tmp_path, text, adaptation)) == (plain, adapted)


def test_a_changed_transformation_is_applied_to_an_unchanged_publication(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = yaml.safe_dump_all(TEKTON)
    first = prepared(tmp_path, text)
    monkeypatch.setattr("releases.prepare.transform", lambda _, manifests, __: manifests[:1])
    assert prepared(tmp_path, text) == first
    monkeypatch.setattr("releases.prepare._TRANSFORMATION", b"another module")
    assert prepared(tmp_path, text).sha256 != first.sha256


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "is empty"),
        ("# nothing", "holds no object"),
        ("a: [", "is not YAML"),
        ("a: 1", "not an object"),
        ("- a", "not an object"),
    ],
)
def test_what_is_no_manifest_is_refused(content: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=why):
        prepared(tmp_path, content)


def test_a_release_that_is_not_in_the_folder_is_named(tmp_path: Path) -> None:
    for folder, expected in (
        (
            tmp_path,
            f"manifest of tekton-pipelines is not there: {tmp_path}/tekton-pipelines-v1.6.0.yaml; put",
        ),
        (tmp_path / "none", f"the folder of manifests is not there: {tmp_path}/none; put it there, or"),
    ):
        with pytest.raises(ReleaseError, match=re.escape(expected)):
            prepare(TEKTON_PIPELINES, source=Directory(path=folder), root=tmp_path, folder=Path("x"))
