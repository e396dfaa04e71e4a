"""Images reach containerd once for each of their builds, and are known by digest as pulled ones are."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from local import node
from local.cluster import Cluster
from local.node import import_images
from local.oci import ImageFile, ImageSpec, assemble, image_digest

NAME = "ghcr.io/tektoncd/pipeline/nop:v1.6.0"
REPOSITORY = "ghcr.io/tektoncd/pipeline/nop"


class Containerd:
    """An image store, driven by the arguments of `ctr images`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.images: dict[str, str] = {}
        self.imports = 0
        monkeypatch.setattr(node, "ctr", self.run)

    def run(self, _: Cluster, *arguments: str, seconds: float = 0) -> str:
        match arguments:
            case ("images", "list"):
                rows = (f"{name} application/x {digest} 1 MiB" for name, digest in self.images.items())
                return "\n".join(["REF TYPE DIGEST SIZE", *rows])
            case ("images", "import", archive):
                assert seconds > 0
                self.imports += 1
                self.images[NAME] = image_digest(Path(archive))
            case ("images", "tag", name, other):
                assert other not in self.images, "ctr refuses a name that exists"
                self.images[other] = self.images[name]
            case ("images", "remove", name):
                del self.images[name]
            case _:
                raise AssertionError(arguments)
        return ""


@pytest.fixture
def containerd(monkeypatch: pytest.MonkeyPatch) -> Containerd:
    return Containerd(monkeypatch)


def archive(folder: Path, content: bytes) -> Path:
    return assemble(
        ImageSpec(name=NAME, files={"/nop": ImageFile(source=content)}), folder / f"{content.hex()}.tar"
    )


def imported(archive: Path) -> list[str]:
    return import_images(cast("Cluster", None), {NAME: archive})


def test_an_image_is_known_by_tag_and_by_digest(containerd: Containerd, tmp_path: Path) -> None:
    # Chains: "expected imageID sha256:18ea… to be separable by @", and no provenance of any run.
    first = archive(tmp_path, b"first")
    assert imported(first) == [NAME]
    digest = image_digest(first)
    assert containerd.images == {NAME: digest, f"{REPOSITORY}@{digest}": digest}


def test_an_image_that_is_there_is_left_alone(containerd: Containerd, tmp_path: Path) -> None:
    first = archive(tmp_path, b"first")
    imported(first)
    assert imported(first) == []
    assert containerd.imports == 1


def test_another_build_takes_the_place_of_the_one_before(containerd: Containerd, tmp_path: Path) -> None:
    imported(archive(tmp_path, b"first"))
    second = archive(tmp_path, b"second")
    assert imported(second) == [NAME]
    digest = image_digest(second)
    assert containerd.images == {NAME: digest, f"{REPOSITORY}@{digest}": digest}


def test_an_image_that_an_earlier_run_brought_gets_its_digests_name(
    containerd: Containerd, tmp_path: Path
) -> None:
    first = archive(tmp_path, b"first")
    digest = image_digest(first)
    containerd.images = {NAME: digest}
    assert imported(first) == []
    assert containerd.images == {NAME: digest, f"{REPOSITORY}@{digest}": digest}
