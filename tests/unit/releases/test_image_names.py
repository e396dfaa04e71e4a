"""Names of images are read as container runtimes read them, and no prefix takes another's image."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases.errors import ImageError
from releases.image_names import ImageNameError, covers, mirrored, parse

DIGEST = "sha256:" + "a1" * 32


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("team/app", "docker.io/team/app:latest"),
        ("docker.io/busybox", "docker.io/library/busybox:latest"),
        ("index.docker.io/team/app:1", "docker.io/team/app:1"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:1", "localhost:5000/app:1"),
        ("Registry/app", "Registry/app:latest"),
        ("registry:5000/app", "registry:5000/app:latest"),
        ("ghcr.io/a/b/c:v1", "ghcr.io/a/b/c:v1"),
        ("[::1]:5000/app:1", "[::1]:5000/app:1"),
        (f"busybox@{DIGEST}", f"docker.io/library/busybox@{DIGEST}"),
        (f"ghcr.io/a/b:v1@{DIGEST}", f"ghcr.io/a/b:v1@{DIGEST}"),
        ("evil.io/ghcr.io/x", "evil.io/ghcr.io/x:latest"),
    ],
)
def test_nothing_is_left_to_a_default(written: str, meant: str) -> None:
    assert str(parse(written)) == meant
    assert parse(meant) == parse(written)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "/app",
        "ghcr.io/",
        "ghcr.io/App",
        "ghcr.io//app",
        "ghcr.io/app:",
        "app:-x",
        "app@sha256:12",
        f"app@{DIGEST.upper()}",
        "https://ghcr.io/app",
        "app v1",
        "-.io/app",
        "a/../b",
    ],
)
def test_what_is_no_image_is_refused(written: str) -> None:
    with pytest.raises(ImageNameError):
        parse(written)


@pytest.mark.parametrize(
    ("prefix", "repository", "expected"),
    [
        ("ghcr.io", "ghcr.io/team/app", True),
        ("ghcr.io/team", "ghcr.io/team/app", True),
        ("ghcr.io/team/app", "ghcr.io/team/app", True),
        ("ghcr.io/tea", "ghcr.io/team/app", False),
        ("ghcr.io", "ghcr.io.evil.example/app", False),
        ("ghcr.io", "evil.example/ghcr.io/app", False),
        ("ghcr.io/team/app", "ghcr.io/team", False),
    ],
)
def test_a_prefix_ends_where_a_part_ends(prefix: str, repository: str, *, expected: bool) -> None:
    assert covers(prefix, repository) is expected


def test_the_longest_mirror_wins() -> None:
    mirrors = {
        "ghcr.io": "m.example/ghcr",
        "ghcr.io/tektoncd": "m.example:5000/tekton",
        "docker.io": "hub.example",
    }
    there = {
        name: str(mirrored(parse(name), mirrors))
        for name in ("ghcr.io/tektoncd/pipeline/nop:v1", "ghcr.io/kcp-dev/agent:v1", "busybox", "quay.io/a:1")
    }
    assert there == {
        "ghcr.io/tektoncd/pipeline/nop:v1": "m.example:5000/tekton/pipeline/nop:v1",
        "ghcr.io/kcp-dev/agent:v1": "m.example/ghcr/kcp-dev/agent:v1",
        "busybox": "hub.example/library/busybox:latest",
        "quay.io/a:1": "None",
    }


def test_an_image_that_its_mirror_leaves_no_name_is_refused() -> None:
    for mirror in ("m.example", "m.example:5000"):
        with pytest.raises(ImageError, match=f"such as {mirror}/library/busybox$"):
            mirrored(parse("busybox"), {"docker.io/library/busybox": mirror})
    kept = mirrored(parse("busybox"), {"docker.io/library/busybox": "m.example/b"})
    assert str(kept) == "m.example/b:latest"


_PART = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)


@given(
    host=st.builds("{}.{}".format, _PART, _PART),
    parts=st.lists(_PART, min_size=1, max_size=4),
    tag=st.one_of(st.none(), _PART),
    pinned=st.booleans(),
)
def test_what_was_read_reads_the_same_again(
    host: str, parts: list[str], tag: str | None, *, pinned: bool
) -> None:
    text = f"{host}/{'/'.join(parts)}" + (f":{tag}" if tag else "") + (f"@{DIGEST}" if pinned else "")
    name = parse(text)
    assert parse(str(name)) == name
    assert name.digest == (DIGEST if pinned else None)
    # A mirror keeps what is behind the prefix, and the digest, whatever the prefix is.
    there = mirrored(name, {host: "mirror.example:5000/deep"})
    assert there is not None
    assert there.path == f"deep/{name.path}"
    assert (there.tag, there.digest) == (name.tag, name.digest)
