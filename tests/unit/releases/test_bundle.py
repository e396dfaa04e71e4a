"""Bundles: the same bytes of the same content, and nothing broken or foreign is read."""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING

import pytest

from releases.bundle import BundleFile, broken_members, read_bundle, write_bundle
from releases.catalog import TEKTON_PIPELINES, find
from releases.errors import ReleaseError
from releases.lock import sha256

if TYPE_CHECKING:
    from pathlib import Path

MANIFESTS = {"tekton-pipelines-v1.6.0.yaml": b"a: 1\n", "api-syncagent-crds-v0.7.0.yaml": b"b: 2\n"}
IMAGES = ("ghcr.io/b:1", "docker.io/library/a:1")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    archive = tmp_path / "image.tar"
    archive.write_bytes(b"an image" * 1000)
    path = tmp_path / "made" / "bundle.tar.gz"
    write_bundle(path, manifests=MANIFESTS, images=IMAGES, archives={"image.tar": archive})
    return path


def rewritten(path: Path, change: dict[str, bytes | None], *, reverse: bool = False) -> None:
    """Write a bundle anew with other contents of some members; None takes one out."""
    with tarfile.open(path) as archive:
        members = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    items = {**members, **change}.items()
    with tarfile.open(path, "w:gz") as archive:
        for name, content in sorted(items, reverse=True) if reverse else items:
            if content is not None:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


def test_what_was_put_in_is_read_and_all_of_it_is_whole(bundle: Path) -> None:
    found = read_bundle(bundle)
    assert found.manifests == MANIFESTS
    assert found.images == ("docker.io/library/a:1", "ghcr.io/b:1")
    assert found.archives == {"image.tar": sha256(b"an image" * 1000)}
    assert broken_members(bundle) == []
    assert BundleFile(bundle).manifest(TEKTON_PIPELINES, find(TEKTON_PIPELINES, "v1.6.0")) == b"a: 1\n"
    assert [one.name for one in bundle.parent.iterdir()] == ["bundle.tar.gz"]


def test_the_same_content_makes_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    again = tmp_path / "other.tar.gz"
    backwards = dict(reversed(MANIFESTS.items()))
    write_bundle(
        again,
        manifests=backwards,
        images=[*reversed(IMAGES), IMAGES[0]],
        archives={"image.tar": tmp_path / "image.tar"},
    )
    assert again.read_bytes() == bundle.read_bytes()


def test_a_release_that_is_not_in_it_is_named_with_the_bundle(bundle: Path) -> None:
    with pytest.raises(ReleaseError, match=r"tekton-pipelines is not in bundle\.tar\.gz: .*-v1\.9\.0\.yaml"):
        BundleFile(bundle).manifest(TEKTON_PIPELINES, find(TEKTON_PIPELINES, "v1.9.0"))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"manifests/tekton-pipelines-v1.6.0.yaml": b"tampered"}, r"tekton-pipelines-v1\.6\.0\.yaml is mis"),
        ({"manifests/tekton-pipelines-v1.6.0.yaml": None}, r"tekton-pipelines-v1\.6\.0\.yaml is missing"),
        ({"images.txt": b"evil.example.com/x:1\n"}, r"images\.txt is missing or not what it was"),
        ({"bundle.json": None}, r"does not begin with bundle\.json"),
        ({"bundle.json": b"{"}, r"does not begin with bundle\.json"),
        ({"bundle.json": b"[" * 100_000}, r"does not begin with bundle\.json"),
        ({"bundle.json": json.dumps({"format": 2, "sha256": {}}).encode()}, "has format 2"),
        ({"bundle.json": json.dumps({"format": 1, "sha256": {}}).encode()}, "its index doesn't name"),
    ],
)
def test_a_bundle_that_was_changed_is_refused(
    bundle: Path, change: dict[str, bytes | None], why: str
) -> None:
    rewritten(bundle, change)
    with pytest.raises(ReleaseError, match=why):
        read_bundle(bundle)


def test_a_list_of_images_that_is_no_text_is_refused(bundle: Path) -> None:
    listed = b"\xff\n"
    index = json.dumps({"format": 1, "sha256": {"images.txt": sha256(listed)}}).encode()
    with tarfile.open(bundle) as archive:
        members: dict[str, bytes | None] = dict.fromkeys(archive.getnames())
    rewritten(bundle, {**members, "bundle.json": index, "images.txt": listed})
    with pytest.raises(ReleaseError, match=r"not a whole bundle: images\.txt is not text"):
        read_bundle(bundle)


def test_something_that_no_index_names_is_refused(bundle: Path) -> None:
    with tarfile.open(bundle) as archive:
        names = archive.getnames()
    assert names[0] == "bundle.json"
    rewritten(bundle, {"images/image.tar": None, "more.yaml": b"x", "../outside": b"x"})
    with pytest.raises(ReleaseError, match="its index doesn't name"):
        read_bundle(bundle)
    assert broken_members(bundle) == ["../outside", "images/image.tar", "more.yaml"]


def test_a_changed_image_is_found_where_all_is_read(bundle: Path) -> None:
    rewritten(bundle, {"images/image.tar": b"another"})
    assert read_bundle(bundle).manifests == MANIFESTS
    assert broken_members(bundle) == ["images/image.tar"]


def test_the_archives_are_unpacked(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    BundleFile(bundle).extract_archives(tmp_path / "out")
    assert {one.name: one.read_bytes() for one in (tmp_path / "out").iterdir()} == {
        "image.tar": b"an image" * 1000
    }


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"images/image.tar": b"another"}, r"images/image\.tar is not what it was"),
        ({"images/image.tar": None}, r"images/image\.tar is missing"),
        ({"images/more.tar": b"x"}, r"images/more\.tar is not what it was"),
        ({"images/../../outside.tar": b"x"}, "a name that no archive gets"),
        ({"images/..": b"x"}, "a name that no archive gets"),
        ({"manifests/tekton-pipelines-v1.6.0.yaml": b"x"}, r"-v1\.6\.0\.yaml is not what it was"),
    ],
)
def test_a_bundle_that_was_changed_is_not_unpacked(
    bundle: Path, tmp_path: Path, change: dict[str, bytes | None], why: str
) -> None:
    rewritten(bundle, change)
    (tmp_path / "in/out").mkdir(parents=True)
    with pytest.raises(ReleaseError, match=why):
        BundleFile(bundle).extract_archives(tmp_path / "in/out")
    assert [one.name for one in tmp_path.rglob("outside.tar")] == []


def test_where_there_is_no_place_to_unpack_it_is_said(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"can't be unpacked into .*No such file.*TMPDIR"):
        BundleFile(bundle).extract_archives(tmp_path / "none")


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9])
def test_a_bundle_cut_short_is_refused_wherever_it_was_cut(bundle: Path, part: float) -> None:
    content = bundle.read_bytes()
    bundle.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(ReleaseError, match=r"bundle\.tar\.gz is not a whole bundle"):
        broken_members(bundle)


def test_what_is_no_archive_and_what_is_not_there_are_told(bundle: Path) -> None:
    bundle.write_text("a text")
    with pytest.raises(ReleaseError, match="is not a whole bundle"):
        read_bundle(bundle)
    bundle.unlink()
    with pytest.raises(ReleaseError, match="is not there"):
        read_bundle(bundle)


def test_a_failed_write_leaves_the_bundle_of_before_and_nothing_else(bundle: Path) -> None:
    before = bundle.read_bytes()
    with pytest.raises(FileNotFoundError):
        write_bundle(bundle, manifests={}, images=(), archives={"gone.tar": bundle.parent / "gone.tar"})
    assert bundle.read_bytes() == before
    assert [one.name for one in bundle.parent.iterdir()] == ["bundle.tar.gz"]
