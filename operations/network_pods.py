"""The objects that `operations check network` makes for a while on a cluster, as plain manifests."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from components.compute_cluster import namespace
from components.image_repository import pull_secret, pulls_with
from components.names import TENANT, labels
from components.pod_security import container_security, pod_security
from components.tenant_network import WORKSPACE_DIGEST, TenantNetwork, network_policy
from operations import network_probe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from components.kubernetes_object import Manifest

COMPONENT: Final = "network-check"
SELECTOR: Final = f"app.kubernetes.io/component={COMPONENT}"
"""What all of these objects have, and nothing else."""

CHECK_SECONDS: Final = 600
"""However a check ends, the work of its pods ends after this."""

SERVER: Final = "server"
CLIENT: Final = "client"

_MESSAGE: Final = "/dev/termination-log"
"""What is written there stands in the pod's status: so nobody needs the right to read logs."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the pods of one tenant stand.

    Attributes
    ----------
    tenant
        Name of the tenant.
    namespace
        Name of the namespace on the cluster.
    account
        Their ServiceAccount.
    """

    tenant: str
    namespace: str
    account: str = "default"


@dataclass(frozen=True, kw_only=True)
class PodArgs:
    """What all pods of a check have.

    Attributes
    ----------
    run
        What tells this check from others.
    image
        An image with Python.
    user
        Number of the user and group they run as; None where the cluster assigns it.
    pulls
        With what made-up tenants' images are pulled: a `.docker/config.json`, base64. None where they are
        pulled without, or by what the tenants' accounts have.
    """

    run: str
    image: str
    user: int | None = None
    pulls: str | None = field(default=None, repr=False)


def pod_name(run: str, role: str) -> str:
    """Name a pod; there is one of each role in a namespace.

    Parameters
    ----------
    run
        What tells this check from others.
    role
        `SERVER` or `CLIENT`.
    """
    return f"{COMPONENT}-{run}-{role}"


def _labels() -> dict[str, str]:
    return {**labels(COMPONENT), "app.kubernetes.io/managed-by": "pipeline-service-operations"}


def server(place: Place, args: PodArgs, word: str) -> Manifest:
    """Make a pod that says a word to whoever connects.

    Parameters
    ----------
    place
        Where.
    args
        What all pods have.
    word
        The word.
    """
    pod = _pod(place, args, SERVER, ("serve", word))
    [container] = pod["spec"]["containers"]
    container["ports"] = [{"containerPort": network_probe.PORT, "protocol": "TCP"}]
    container["readinessProbe"] = {"tcpSocket": {"port": network_probe.PORT}, "periodSeconds": 1}
    return pod


def client(place: Place, args: PodArgs, targets: Sequence[Mapping[str, object]]) -> Manifest:
    """Make a pod that tries whom it reaches, and ends.

    Parameters
    ----------
    place
        Where.
    args
        What all pods have.
    targets
        Whom, as `operations.network_probe.probe` takes them.
    """
    return _pod(place, args, CLIENT, ("probe", json.dumps(list(targets)), _MESSAGE))


def _pod(place: Place, args: PodArgs, role: str, arguments: Sequence[str]) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(args.run, role),
            "namespace": place.namespace,
            "labels": {**_labels(), "pipeline-service/check": args.run},
        },
        "spec": {
            "activeDeadlineSeconds": CHECK_SECONDS,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "serviceAccountName": place.account,
            "automountServiceAccountToken": False,
            **pulls_with(args.pulls),
            "securityContext": pod_security(args.user),
            "containers": [
                {
                    "name": role,
                    "image": args.image,
                    "command": ["python3", "-c", inspect.getsource(network_probe), *arguments],
                    # Within what little of its quota a tenant may have left.
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "32Mi"},
                        "limits": {"memory": "64Mi"},
                    },
                    "terminationMessagePath": _MESSAGE,
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "securityContext": container_security(),
                }
            ],
        },
    }


def made_up_tenant(place: Place, args: PodArgs) -> list[Manifest]:
    """Make a namespace as a tenant has one, with the NetworkPolicy and the pull secret that a tenant has.

    Parameters
    ----------
    place
        The made-up tenant.
    args
        What its pods have.
    """
    own = {TENANT: place.tenant, WORKSPACE_DIGEST: args.run}
    home = namespace(place.namespace, COMPONENT, "baseline")
    home["metadata"]["labels"] |= _labels() | own
    objects = [home, network_policy(place.namespace, own, TenantNetwork(), _labels())]
    if args.pulls is not None:
        objects.append(pull_secret(place.namespace, args.pulls, COMPONENT))
    return objects
