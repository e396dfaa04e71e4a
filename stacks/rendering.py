"""What a compute cluster holds, as files for the GitOps repository: made without engine, cluster or secret.

The objects are made by the same functions that the components register; a test compares the two.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from components import compute_cluster, openshift_pipelines, retention_manifests, syncer_manifests
from components.delivery import SYNC_OPTIONS, SYNC_WAVE, Delivery, is_bootstrap
from releases.catalog import ARGO_CD, ARGO_CD_HA
from stacks import (
    mapping,
    mapping_gateway,
    mapping_images,
    mapping_pipelines_as_code,
    mapping_releases,
    rendered_yaml,
)
from stacks.vocabulary import Distribution
from units.manifest import CRD, identify, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from components.kubernetes_object import Manifest
    from stacks.loader import LoadedEnvironment

_WAVES: Final[Mapping[str, str]] = {"Namespace": "-3", CRD: "-2"}
"""By kind: when Argo CD applies it, before the others. Kinds that a definition brings come after them."""

_LATER: Final = "1"

_LAST: Final = "2"
"""Of what lies in the namespace that OpenShift's operator makes: Argo CD tries until it is there."""

_BUILT_IN_GROUPS: Final = ("apps", "batch", "autoscaling", "policy")
"""API groups of Kubernetes without a dot; the others of its own end in `.k8s.io`."""


class RenderingError(Exception):
    """Something can't be written to a repository."""


def delivered_clusters(environment: LoadedEnvironment) -> list[str]:
    """Name the clusters whose content the repository holds.

    Parameters
    ----------
    environment
        The environment.
    """
    clusters = environment.settings.compute_clusters
    return sorted(name for name, entry in clusters.items() if entry.delivery is not Delivery.DIRECT)


def delivered_releases(environment: LoadedEnvironment, cluster: str) -> list[str]:
    """Name the releases on a cluster that the repository holds: all but Argo CD, which doesn't bring itself.

    Parameters
    ----------
    environment
        The environment.
    cluster
        Name of the cluster.
    """
    return sorted(set(environment.prepared[cluster]) - {ARGO_CD, ARGO_CD_HA})


def own_objects(environment: LoadedEnvironment, cluster: str) -> dict[str, list[Manifest]]:
    """Make our own objects on a cluster, but for those that stay with this program, by folder.

    Parameters
    ----------
    environment
        The environment.
    cluster
        Name of the cluster.
    """
    pods = mapping.agent_pods(environment, cluster)
    repositories = mapping_pipelines_as_code.repository_rules(environment.settings, cluster)
    folders: dict[str, list[Manifest]] = {
        "ground": [
            *compute_cluster.ground(mapping_images.image_policy(environment, cluster), repositories).values()
        ],
        "syncer": [
            *syncer_manifests.cluster_objects(
                pods.pull_secret, repositories=repositories is not None
            ).values(),
            *syncer_manifests.published_resources(cluster, repositories=repositories is not None).values(),
            # The digest of its credential is not known here; what delivers adds it (units/deliver.py).
            syncer_manifests.deployment(cluster, pods, None),
        ],
        "retention": [
            # The Secret among them stays with this program, and so is made without its content.
            *retention_manifests.ground("").values(),
            retention_manifests.job(cluster, mapping.retention_pods(environment, cluster)),
        ],
        "gateway": [*mapping_gateway.gateway(environment, cluster).values()],
        "events": [*mapping_gateway.events_listener(environment, cluster).values()],
    }
    if environment.settings.compute_clusters[cluster].distribution is Distribution.OPENSHIFT:
        setup = mapping_releases.on_openshift(environment.settings, environment.images)
        folders["tekton"] = [
            openshift_pipelines.subscription(),
            openshift_pipelines.tekton_config(setup),
            *openshift_pipelines.policies(setup).values(),
        ]
    for name, tenant in sorted(environment.settings.tenants.items()):
        if tenant.cluster == cluster:
            folders[f"tenants/{name}"] = _tenant(environment, name)
    kept = {folder: [one for one in objects if not is_bootstrap(one)] for folder, objects in folders.items()}
    return {folder: objects for folder, objects in kept.items() if objects}


def _tenant(environment: LoadedEnvironment, name: str) -> list[Manifest]:
    room = mapping.tenant_room(environment, name)
    made = [one for namespace in room.namespaces for one in room.objects(name, namespace).values()]
    # As the engine refuses to delete its namespaces, so does Argo CD; and while they stay, so do its quota
    # and its network policy. Who leaves is retired first.
    return [_kept(one) for one in made] if mapping.protected(environment, name) else made


def _kept(manifest: Manifest) -> Manifest:
    metadata = manifest["metadata"]
    annotations = {**(metadata.get("annotations") or {}), SYNC_OPTIONS: "Prune=false,Delete=false"}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def cluster_content(environment: LoadedEnvironment, cluster: str, root: Path) -> dict[str, Mapping[str, Any]]:
    """Make what Argo CD applies on a cluster.

    Parameters
    ----------
    environment
        The environment; its kubeconfigs are not looked at.
    cluster
        Name of the cluster.
    root
        The project's folder.

    Returns
    -------
    dict
        The object of each file, by the file's path in the cluster's folder, in the order of the paths.

    Raises
    ------
    RenderingError
        A release has a Secret with content, or two objects would be one file.
    """
    content: dict[str, Mapping[str, Any]] = {}

    def put(folder: str, manifests: Iterable[Mapping[str, Any]]) -> None:
        for path, manifest in _files(folder, manifests):
            if path in content:
                raise RenderingError(f"two objects of cluster {cluster} would be the file {path}; rename one")
            content[path] = manifest

    for folder, objects in own_objects(environment, cluster).items():
        put(folder, objects)
    for name in delivered_releases(environment, cluster):
        manifests = release_objects(root / environment.release(cluster, name).manifest)
        _refuse_secrets(name, manifests)
        # Empty Secrets, for its controllers to fill: what delivers puts them there (units/deliver.py).
        put(f"releases/{name}", (one for one in manifests if one["kind"] != "Secret"))
    return dict(sorted(content.items()))


def followed(environment: LoadedEnvironment, cluster: str) -> list[Manifest] | None:
    """List what a cluster's Argo CD applies, for the rights it needs; None where it applies nothing.

    Parameters
    ----------
    environment
        The environment, as the engine runs it: in the project's folder.
    cluster
        Name of the cluster.
    """
    if environment.settings.compute_clusters[cluster].delivery is Delivery.DIRECT:
        return None
    return [dict(one) for one in cluster_content(environment, cluster, Path()).values()]


@cache
def release_objects(manifest: Path) -> list[Manifest]:
    """Read a release's objects; clusters that have the same share what is read.

    Parameters
    ----------
    manifest
        The file, whose name has its digest.
    """
    return parse(manifest.read_text())


def render(content: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Write what a cluster holds as texts.

    Parameters
    ----------
    content
        The object of each file.
    """
    return {path: rendered_yaml.write(manifest) for path, manifest in content.items()}


def _refuse_secrets(release: str, manifests: Iterable[Mapping[str, Any]]) -> None:
    """Refuse Secrets that a release brings with content: nobody would deliver it."""
    for one in manifests:
        if one["kind"] == "Secret" and (one.get("data") or one.get("stringData")):
            raise RenderingError(
                f"release {release} has Secret {one['metadata']['name']} with content, which no repository"
                " may hold; let this cluster's delivery be direct, or take it out of the release's manifest"
            )


def _files(folder: str, manifests: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for manifest in manifests:
        identity = identify(dict(manifest))
        parts = (identity.kind.lower(), identity.namespace, identity.name)
        # A colon, as names of roles have it, is no character for a file's name everywhere.
        name = ".".join(filter(None, parts)).replace(":", "_")
        yield f"{folder}/{name}.yaml", _waved(manifest)


def _waved(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    group = str(manifest["apiVersion"]).rpartition("/")[0]
    custom = bool(group) and group not in _BUILT_IN_GROUPS and not group.endswith(".k8s.io")
    metadata = manifest["metadata"]
    wave = _WAVES.get(manifest["kind"], _LATER if custom else None)
    if metadata.get("namespace") == openshift_pipelines.TEKTON_NAMESPACE:
        wave = _LAST
    if wave is None:
        return manifest
    annotations = {**(metadata.get("annotations") or {}), SYNC_WAVE: wave}
    if manifest["kind"] == "TektonConfig":
        # Its definition comes with what the Subscription brings, which would never be applied: Argo CD first
        # looks whether it knows every kind.
        annotations[SYNC_OPTIONS] = "SkipDryRunOnMissingResource=true"
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}
