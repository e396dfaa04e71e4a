"""What one manifest of a release changes against another: pure functions, nothing read or written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from releases.images import named_images
from releases.lock import sha256

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Manifest = dict[str, Any]

_CRD: Final = "CustomResourceDefinition"
_ROLES: Final = ("ClusterRole", "Role")
_SHORT: Final = 8


class Summary(BaseModel):
    """What a release adds, removes and changes against another version of it.

    Attributes
    ----------
    release
        Name of the release.
    old, new
        What was compared.
    added, removed, changed
        Objects, each as its kind and name.
    images_added, images_removed
        Images that the objects name.
    rights_added, rights_removed
        What roles allow: a line for each role and resource.
    versions_added, versions_dropped
        Versions that CustomResourceDefinitions serve.
    at_risk
        What objects in the cluster may stand in the way of, or suffer from.
    """

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, validate_by_name=True)

    release: str
    old: str
    new: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    images_added: tuple[str, ...]
    images_removed: tuple[str, ...]
    rights_added: tuple[str, ...]
    rights_removed: tuple[str, ...]
    versions_added: tuple[str, ...]
    versions_dropped: tuple[str, ...]
    at_risk: tuple[str, ...]


def summarize(
    release: str, old: tuple[str, Sequence[Manifest]], new: tuple[str, Sequence[Manifest]]
) -> Summary:
    """Summarise what a release changes.

    Parameters
    ----------
    release
        Its name.
    old, new
        What is compared, such as a version, and its objects; none where it was not or will not be there.
    """
    before = {_title(manifest): manifest for manifest in old[1]}
    after = {_title(manifest): manifest for manifest in new[1]}
    images = set(named_images(old[1])), set(named_images(new[1]))
    rights = _rights(old[1]), _rights(new[1])
    served = _served(old[1]), _served(new[1])
    return Summary(
        release=release,
        old=old[0],
        new=new[0],
        added=_minus(after, before),
        removed=_minus(before, after),
        changed=tuple(
            sorted(title for title in before.keys() & after.keys() if before[title] != after[title])
        ),
        images_added=_minus(images[1], images[0]),
        images_removed=_minus(images[0], images[1]),
        rights_added=_grouped(rights[1] - rights[0]),
        rights_removed=_grouped(rights[0] - rights[1]),
        versions_added=_minus(served[1], served[0]),
        versions_dropped=_minus(served[0], served[1]),
        at_risk=tuple(_at_risk(_definitions(old[1]), _definitions(new[1]))),
    )


def outline(manifests: Sequence[Manifest]) -> tuple[str, ...]:
    """Outline a manifest, so that two outlines, compared line by line, show what an upgrade changes.

    Parameters
    ----------
    manifests
        The objects.

    Returns
    -------
    tuple of str
        A line for each object, with the beginning of its digest; indented below it, the images it names, what
        it allows, and the versions it defines.
    """
    found: list[str] = []
    for manifest in sorted(manifests, key=_title):
        digest = sha256(json.dumps(manifest, sort_keys=True).encode())[:_SHORT]
        found.append(f"{_title(manifest)} {digest}")
        found += [f"  image {image}" for image in named_images([manifest])]
        found += _allowed(_rights([manifest]))
        for versions in _definitions([manifest]).values():
            stored = [name for name, about in versions.items() if about.get("storage")]
            served = [name for name, about in versions.items() if about.get("served")]
            found.append(f"  serves {', '.join(sorted(served))}; stores {', '.join(stored)}")
    return tuple(found)


def markdown(summary: Summary) -> str:
    """Write a summary for a pull request.

    Parameters
    ----------
    summary
        The summary.
    """
    counts = f"{len(summary.added)} added, {len(summary.removed)} removed, {len(summary.changed)} changed"
    lines = [f"### {summary.release}: {summary.old} to {summary.new}", "", f"Objects: {counts}.", ""]
    for title, items in (
        ("At risk", summary.at_risk),
        ("API versions no longer served", summary.versions_dropped),
        ("API versions newly served", summary.versions_added),
        ("Rights added", summary.rights_added),
        ("Rights removed", summary.rights_removed),
        ("Images added", summary.images_added),
        ("Images removed", summary.images_removed),
        ("Objects added", summary.added),
        ("Objects removed", summary.removed),
        ("Objects changed", summary.changed),
    ):
        if items:
            lines += [f"**{title}**", "", *(f"- {item}" for item in items), ""]
    return "\n".join(lines)


def _minus(one: Iterable[str], other: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(one) - set(other)))


def _title(manifest: Mapping[str, Any]) -> str:
    # Without the version of its API: an object that moves to another is the same object.
    metadata = manifest["metadata"]
    place = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
    group = str(manifest.get("apiVersion", "")).rpartition("/")[0]
    known = "." not in group or group.endswith(".k8s.io")
    return f"{manifest['kind']}{'' if known else f'.{group}'} {place}{metadata['name']}"


def _rights(manifests: Iterable[Mapping[str, Any]]) -> set[tuple[str, str, str]]:
    """List what roles allow, as role, resource and verb: however rules group them, they are the same."""
    found: set[tuple[str, str, str]] = set()
    for manifest in manifests:
        if manifest["kind"] not in _ROLES:
            continue
        role = _title(manifest)
        for rule in manifest.get("rules") or []:
            names = [f"/{name}" for name in rule.get("resourceNames") or []] or [""]
            resources = [
                f"{resource}{f'.{group}' if group else ''}{name}"
                for resource in rule.get("resources") or []
                for group in rule.get("apiGroups") or [""]
                for name in names
            ]
            for resource in (*resources, *(rule.get("nonResourceURLs") or [])):
                found |= {(role, resource, verb) for verb in rule.get("verbs") or []}
        if selectors := (manifest.get("aggregationRule") or {}).get("clusterRoleSelectors"):
            found |= {(role, "whatever roles of these labels allow", str(one)) for one in selectors}
    return found


def _grouped(rights: set[tuple[str, str, str]]) -> tuple[str, ...]:
    verbs: dict[tuple[str, str], list[str]] = {}
    for role, resource, verb in sorted(rights):
        verbs.setdefault((role, resource), []).append(verb)
    return tuple(f"{role}: {resource}: {', '.join(found)}" for (role, resource), found in verbs.items())


def _allowed(rights: set[tuple[str, str, str]]) -> list[str]:
    """Say in few lines what one role allows: resources of the same verbs stand together."""
    verbs: dict[str, set[str]] = {}
    for _, resource, verb in rights:
        verbs.setdefault(resource, set()).add(verb)
    resources: dict[str, list[str]] = {}
    for resource, found in sorted(verbs.items()):
        resources.setdefault(", ".join(sorted(found)), []).append(resource)
    return [f"  allows {found}: {', '.join(of)}" for found, of in sorted(resources.items())]


def _definitions(manifests: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Mapping[str, Any]]]:
    """List the versions of each CustomResourceDefinition, by name."""
    return {
        manifest["metadata"]["name"]: {version["name"]: version for version in manifest["spec"]["versions"]}
        for manifest in manifests
        if manifest["kind"] == _CRD
    }


def _served(manifests: Iterable[Mapping[str, Any]]) -> set[str]:
    return {
        f"{name} {version}"
        for name, versions in _definitions(manifests).items()
        for version, about in versions.items()
        if about.get("served")
    }


def _at_risk(
    old: Mapping[str, Mapping[str, Mapping[str, Any]]], new: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> Iterable[str]:
    for name, versions in sorted(old.items()):
        if name not in new:
            yield f"{name} is no longer part of the release: it is deleted, but kept while it has objects"
            continue
        for version, about in sorted(versions.items()):
            if version in new[name]:
                continue
            stored = " (new objects were stored as it)" if about.get("storage") else ""
            yield (
                f"{name} has no {version} any more{stored}: the API server refuses that while"
                f" status.storedVersions names {version}"
            )
