"""What mirrors can't name, and what would reach out where the settings say that nothing does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from components.own_images import own_images
from releases.errors import ImageError
from releases.image_names import canonical, mirrored, parse
from stacks import partial
from stacks.problems import Problem, key_path

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from stacks.partial import Entry

_ELSEWHERE: Final = ("directory", "bundle")
"""Keys of the section releases by which manifests come from a place that needs no network."""


def check(sections: Entry) -> Iterator[Problem]:
    """Find images of ours that a mirror can't name, and, offline, what would reach out.

    Parameters
    ----------
    sections
        The settings as they stand in the stack file.
    """
    images = partial.section(sections, "imageRepository")
    if not partial.entries(sections, "computeClusters"):
        return
    mirrors = {
        canonical(str(prefix)): mirror
        for prefix, mirror in partial.section(images, "mirrors").items()
        if isinstance(mirror, str)
    }
    named = []
    for image in own_images(gateway=bool(partial.texts(partial.section(sections, "gateway"), "clusters"))):
        try:
            mirrored(parse(image), mirrors)
        except ImageError as error:
            place = key_path(["imageRepository", error.setting])
            yield Problem(key=place, value="", why=error.why, mend=error.mend)
        else:
            named.append(image)
    if images.get("offline") is not True:
        return
    releases = partial.section(sections, "releases")
    if not any(releases.get(key) for key in _ELSEWHERE):
        yield Problem(
            key=key_path(["releases", "directory"]),
            value="",
            why="imageRepository.offline is true, and without it manifests are fetched from their URLs",
            mend="name a folder, or a bundle, that holds them; or take offline out",
        )
    yield from not_served(named, mirrors)


def not_served(images: Collection[str], mirrors: Mapping[str, str]) -> Iterator[Problem]:
    """Find the images that no mirror serves.

    Parameters
    ----------
    images
        Names of images, as the manifests have them before they are sent to mirrors.
    mirrors
        What replaces the beginning of a name, by that beginning.
    """
    for image in sorted(images):
        name = parse(image)
        if mirrored(name, mirrors) is None:
            yield Problem(
                key=key_path(["imageRepository", "mirrors"]),
                value="",
                why=f"imageRepository.offline is true, and no mirror serves {image}",
                mend=f"put it into a registry that the clusters reach, and add {name.registry}: REGISTRY",
            )
