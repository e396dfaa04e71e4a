"""Register a Kubernetes object from its manifest: here alone a plain dict becomes an engine resource."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pulumi

from components.delivery import Delivery, is_bootstrap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Manifest = dict[str, Any]
"""A Kubernetes object as plain data; a value that may be unknown or secret can be a `pulumi.Input`."""

# Outputs are only resolved for properties that are registered, so `data` is registered even where it isn't
# given.
_OUTPUT_ONLY: Final = ("data",)
_SECRET_OUTPUTS: Final[Mapping[str, Sequence[str]]] = {"Secret": ("data", "stringData")}

_READ: Final = ("ConfigMap", "Secret")
"""Kinds that pods read when they start."""


def type_token(api_version: str, kind: str) -> str:
    """Name the type of a Kubernetes object as pulumi-kubernetes does.

    Parameters
    ----------
    api_version
        `v1`, or `group/version`.
    kind
        The object's kind.
    """
    return f"kubernetes:{api_version if '/' in api_version else f'core/{api_version}'}:{kind}"


class KubernetesObject(pulumi.CustomResource):
    """A Kubernetes object.

    The generated classes of pulumi-kubernetes do the same with a class for each kind, and translate every
    key between two spellings. Here a manifest stays what it is, so that what is unit-tested, rendered and
    deployed is one thing.

    Parameters
    ----------
    name
        Name in the stack's state.
    manifest
        The object.
    provider
        The API server it belongs to.
    parent
        The component it is a part of.
    depends_on
        What must be there before it, and stay until it is gone.
    ignore_changes
        Properties that something else manages once the object is there.
    protect
        Whether the engine refuses to delete it.
    retain
        Whether the engine only keeps it in the state: it neither changes nor deletes it.
    """

    def __init__(  # noqa: PLR0913 -- Pulumi's options that are used, one by one
        self,
        name: str,
        manifest: Mapping[str, Any],
        *,
        provider: pulumi.ProviderResource,
        parent: pulumi.Resource,
        depends_on: Sequence[pulumi.Resource] = (),
        ignore_changes: Sequence[str] = (),
        protect: bool = False,
        retain: bool = False,
    ) -> None:
        kind = str(manifest["kind"])
        super().__init__(
            type_token(str(manifest["apiVersion"]), kind),
            name,
            {**dict.fromkeys(_OUTPUT_ONLY), **manifest},
            pulumi.ResourceOptions(
                parent=parent,
                provider=provider,
                depends_on=list(depends_on),
                ignore_changes=["*"] if retain else list(ignore_changes),
                # None, not False: an explicit False would override nothing but would stand in every diff.
                # The engine refuses to forget what is protected, and what is retained needs no protection.
                protect=(protect and not retain) or None,
                retain_on_delete=retain or None,
                additional_secret_outputs=list(_SECRET_OUTPUTS.get(kind, ())),
            ),
        )

    @property
    def data(self) -> pulumi.Output[Mapping[str, str] | None]:
        """The data of a Secret (base64) or ConfigMap; None where a destroy runs before it was ever made."""
        output: pulumi.Output[Mapping[str, str] | None] = pulumi.get(self, "data")
        return output

    @property
    def uid(self) -> pulumi.Output[str]:
        """The object's uid: another one means that it was made anew, and that what lay in it is gone.

        Empty where a destroy runs before it was ever made.
        """
        metadata: pulumi.Output[Mapping[str, Any]] = pulumi.get(self, "metadata")
        return metadata.apply(lambda found: str(found.get("uid", "")))


def register_object(  # noqa: PLR0913 -- Pulumi's options that are used, one by one
    name: str,
    manifest: Mapping[str, Any],
    *,
    provider: pulumi.ProviderResource,
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource] = (),
    protect: bool = False,
) -> list[KubernetesObject]:
    """Register an object as its cluster's delivery says.

    What the cluster's Argo CD delivers is not registered; while it is handed over, it is only kept in the
    state.

    Parameters
    ----------
    name
        Name in the stack's state.
    manifest
        The object.
    provider
        The API server it belongs to.
    parent
        The component it is a part of.
    depends_on
        What must be there before it, and stay until it is gone.
    protect
        Whether the engine refuses to delete it.

    Returns
    -------
    list of KubernetesObject
        The object, or nothing where Argo CD delivers it.
    """
    # A ClusterProvider has it; its class isn't asked for, since its import takes time that validation hasn't.
    delivery: Delivery = getattr(provider, "delivery", Delivery.DIRECT)
    if is_bootstrap(manifest):
        delivery = Delivery.DIRECT
    if delivery is Delivery.GITOPS:
        return []
    return [
        KubernetesObject(
            name,
            manifest,
            provider=provider,
            parent=parent,
            depends_on=depends_on,
            protect=protect,
            retain=delivery is Delivery.HANDOVER,
        )
    ]


def register_objects(  # noqa: PLR0913 -- Pulumi's options that are used, one by one
    name: str,
    manifests: Mapping[str, Mapping[str, Any]],
    *,
    provider: pulumi.ProviderResource,
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource] = (),
    protect_first: bool = False,
) -> list[KubernetesObject]:
    """Register objects of which the first, most often their namespace, carries all others.

    Each is registered as its cluster's delivery says. A Deployment waits for the ConfigMaps and Secrets
    before it, which its pods read when they start: new pods that met an old map would keep it.

    Parameters
    ----------
    name
        Beginning of their names in the stack's state.
    manifests
        The objects by the rest of their names.
    provider
        The API server they belong to.
    parent
        The component they are a part of.
    depends_on
        What must be there before them, and stay until they are gone.
    protect_first
        Whether the engine refuses to delete the first.
    """
    registered: list[KubernetesObject] = []
    read: list[KubernetesObject] = []
    for part, manifest in manifests.items():
        made = register_object(
            f"{name}-{part}",
            manifest,
            provider=provider,
            parent=parent,
            # The first waits for all that they need, and the others for it alone: with each resource, the
            # state names every single part of the components that it depends on.
            depends_on=[*(registered[:1] or depends_on), *(read if manifest["kind"] == "Deployment" else ())],
            protect=protect_first and not registered,
        )
        registered += made
        read += made if manifest["kind"] in _READ else ()
    return registered
