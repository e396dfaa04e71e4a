"""Names of container images: read as container runtimes read them, and sent to mirrors."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from releases.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DEFAULT_REGISTRY: Final = "docker.io"
_OFFICIAL: Final = "library"
_DEFAULT_TAG: Final = "latest"
_ALIASES: Final[Mapping[str, str]] = {
    "index.docker.io": DEFAULT_REGISTRY,
    "registry-1.docker.io": DEFAULT_REGISTRY,
}

_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_REGISTRY: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?")
_PATH: Final = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


class ImageNameError(ValueError):
    """A text is no image's name; the message says why."""


@dataclass(frozen=True, kw_only=True)
class ImageName:
    """The name of an image, nothing in it left to a default.

    Attributes
    ----------
    registry
        Host of the registry, with its port where one is given.
    path
        The repository in that registry.
    tag
        Its tag; None where only a digest is given.
    digest
        Its digest, `sha256:` and 64 digits; None where it isn't pinned.
    """

    registry: str
    path: str
    tag: str | None
    digest: str | None

    @property
    def repository(self) -> str:
        """Registry and path: what a mirror stands for, or a part of it."""
        return f"{self.registry}/{self.path}"

    @property
    def tagged(self) -> str:
        """The name without its digest: what a list of digests has it under."""
        return self.repository if self.tag is None else f"{self.repository}:{self.tag}"

    def __str__(self) -> str:
        return self.tagged if self.digest is None else f"{self.tagged}@{self.digest}"


def parse(text: str) -> ImageName:
    """Read an image's name as container runtimes do.

    Where its first part is no registry, the image is one of docker.io, and in `library/` there where it has
    one part alone.

    Parameters
    ----------
    text
        The name, such as `busybox`, `ghcr.io/team/app:v1` or `quay.io/app:v1@sha256:…`.

    Raises
    ------
    ImageNameError
        It is not the name of an image.
    """
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise ImageNameError(f'"{text}" has a digest that is not sha256: and 64 hexadecimal digits')
    first, slash, path = rest.partition("/")
    if slash and is_registry(first):
        registry = _ALIASES.get(first, first)
    else:
        registry, path = DEFAULT_REGISTRY, rest
    if not _REGISTRY.fullmatch(registry):
        raise ImageNameError(f'"{text}" begins with "{first}", which is not a registry')
    path, colon, tag = path.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise ImageNameError(f'"{text}" has a tag that can\'t be one')
    if not _PATH.fullmatch(path):
        raise ImageNameError(f'"{text}" is not the name of an image')
    if registry == DEFAULT_REGISTRY and "/" not in path:
        path = f"{_OFFICIAL}/{path}"
    return ImageName(
        registry=registry,
        path=path,
        tag=tag or (None if digest else _DEFAULT_TAG),
        digest=digest or None,
    )


def is_registry(first: str) -> bool:
    """Tell whether the first part of an image's name is a registry to container runtimes.

    It is where it has a dot or a port, is `localhost`, or has a capital letter.

    Parameters
    ----------
    first
        What stands before the first slash.
    """
    return first == "localhost" or re.search(r"[.:A-Z\[]", first) is not None


def canonical(prefix: str) -> str:
    """Write the beginning of images' names with the one name of its registry, as `parse` does.

    Parameters
    ----------
    prefix
        A registry, or a registry and the beginning of a path.
    """
    first, slash, rest = prefix.partition("/")
    return f"{_ALIASES.get(first, first)}{slash}{rest}"


def is_digest(value: object) -> bool:
    """Tell whether a value is the digest of an image.

    Parameters
    ----------
    value
        Any value.
    """
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def covers(prefix: str, repository: str) -> bool:
    """Tell whether a prefix is a repository's, part by part: `ghcr.io/team` is not `ghcr.io/teams/app`'s.

    Parameters
    ----------
    prefix
        A registry, or a registry and the beginning of a path.
    repository
        Registry and path of an image.
    """
    return repository == prefix or repository.startswith(f"{prefix}/")


def longest(prefixes: Iterable[str], repository: str) -> str | None:
    """Find the longest prefix that covers a repository.

    Parameters
    ----------
    prefixes
        The prefixes.
    repository
        Registry and path of an image.
    """
    return max((prefix for prefix in prefixes if covers(prefix, repository)), key=len, default=None)


def mirrored(name: ImageName, mirrors: Mapping[str, str]) -> ImageName | None:
    """Name an image as its mirror has it.

    Parameters
    ----------
    name
        The image's own name.
    mirrors
        What replaces the beginning of a name, by that beginning; the longest that fits is taken.

    Returns
    -------
    ImageName or None
        The name in the mirror; None where no mirror has it.

    Raises
    ------
    ImageError
        Nothing is left to name it by: the prefix is all of its name, and its mirror a registry alone.
    """
    prefix = longest(mirrors, name.repository)
    if prefix is None:
        return None
    registry, _, path = (mirrors[prefix] + name.repository[len(prefix) :]).partition("/")
    if not path:
        raise ImageError(
            f"{prefix} is the whole name of an image, and {registry} a registry alone, in which it has none",
            f"name the image there, such as {registry}/{name.path}",
            setting="mirrors",
        )
    return replace(name, registry=registry, path=path)
