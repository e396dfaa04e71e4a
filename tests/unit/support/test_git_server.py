"""The Git server that tests of Argo CD stand on does what a real one does."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.pki import Authority, Identity
from tests.support.git_server import BRANCH, git, git_server


def test_what_is_committed_can_be_cloned_and_what_is_pushed_arrives(tmp_path: Path) -> None:
    with git_server(tmp_path / "served") as server:
        url = server.repository("config", {"clusters/a.yaml": "one\n", "clusters/b.yaml": "two\n"})
        clone = tmp_path / "clone"
        git("clone", "--quiet", url, str(clone))
        assert (clone / "clusters" / "a.yaml").read_text() == "one\n"

        (clone / "clusters" / "a.yaml").write_text("three\n")
        git("commit", "--quiet", "--all", "--message=mine", directory=clone)
        git("push", "--quiet", directory=clone)
        assert server.head("config") == git("rev-parse", "HEAD", directory=clone).strip()

        server.commit("config", {"clusters/b.yaml": None})
        git("pull", "--quiet", directory=clone)
        assert [path.name for path in (clone / "clusters").iterdir()] == ["a.yaml"]
        assert any(request.startswith("POST /config.git/git-receive-pack") for request in server.requests)


def test_a_push_larger_than_gits_buffer_arrives(tmp_path: Path) -> None:
    with git_server(tmp_path / "served") as server:
        url = server.repository("config", {"small": "x"})
        clone = tmp_path / "clone"
        git("clone", "--quiet", url, str(clone))
        lines = (str(number * 7919) for number in range(700_000))
        (clone / "large").write_text("\n".join(lines))
        git("add", "--all", directory=clone)
        git("commit", "--quiet", "--message=large", directory=clone)
        git("push", "--quiet", directory=clone)  # in chunks, from 1 MiB on
        assert server.head("config") == git("rev-parse", f"refs/heads/{BRANCH}", directory=clone).strip()


def test_without_the_credential_nothing_is_served(tmp_path: Path) -> None:
    with git_server(tmp_path / "served", credential=("reader", "secret")) as server:
        url = server.repository("config", {"a": "b"})
        with pytest.raises(AssertionError, match=r"could not read Username|Authentication failed"):
            git("-c", "credential.helper=", "-c", "core.askPass=", "ls-remote", url)
        with_credential = url.replace("http://", "http://reader:secret@")
        assert server.head("config") in git("ls-remote", with_credential)


def test_over_https_it_is_known_by_its_authority_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the machine's owner has set would count more.
    monkeypatch.delenv("GIT_SSL_CAINFO", raising=False)
    authority = Authority(tmp_path / "pki")
    identity = authority.issue("git", Identity(common_name="git", names=("127.0.0.1",)))
    with git_server(tmp_path / "served", identity=identity) as server:
        url = server.repository("config", {"a": "b"})
        assert url.startswith("https://")
        with pytest.raises(AssertionError, match="certificate"):
            git("ls-remote", url)
        known = f"http.sslCAInfo={authority.pair.certificate}"
        assert server.head("config") in git("-c", known, "ls-remote", url)
