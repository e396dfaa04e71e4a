"""What others must know of a prepared manifest, so that nobody parses it again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from releases.images import images_by_place, pod_namespaces

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a release's manifest holds, before its images were sent to mirrors or pinned.

    Attributes
    ----------
    images
        Every image it names.
    injected
        Those among them that its controllers put into the pods of others.
    pod_namespaces
        The namespaces in which its own pods run.
    outline
        Its objects as they are applied, a line for each, with images, rights and versions below it.
    """

    images: tuple[str, ...] = ()
    injected: tuple[str, ...] = ()
    pod_namespaces: tuple[str, ...] = ()
    outline: tuple[str, ...] = ()

    def as_json(self) -> str:
        """Write it; equal contents are equal texts."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")) + "\n"


def contents(manifests: Iterable[Mapping[str, Any]]) -> Contents:
    """Look through manifests.

    Parameters
    ----------
    manifests
        The objects.
    """
    objects = list(manifests)
    images = images_by_place(objects)
    return Contents(
        images=tuple(images.all), injected=images.told, pod_namespaces=tuple(pod_namespaces(objects))
    )


def from_json(text: str | bytes) -> Contents | None:
    """Read what `Contents.as_json` wrote.

    Parameters
    ----------
    text
        The text.

    Returns
    -------
    Contents or None
        None where somebody broke it: it can be made anew.
    """
    try:
        return Contents(**{key: tuple(value) for key, value in json.loads(text).items()})
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
