"""Names and labels that more than one part uses."""

from __future__ import annotations

import hashlib
from typing import Final

PART_OF: Final = "pipeline-service"

FIELD_MANAGER: Final = "pipeline-service"
"""Field manager of what units apply."""

OPERATOR_NAMESPACE: Final = "pipeline-service"
"""Namespace of this program's own records, on every cluster and in every tenant's workspace."""

SYNCER_NAMESPACE: Final = "pipeline-service-syncer"

SYNCER_GROUP: Final = "syncagent.kcp.io"
"""API group of the agent, and prefix of its marks on what it copies."""

RETENTION_NAMESPACE: Final = "pipeline-service-retention"

GATEWAY_NAMESPACE: Final = "pipeline-service-gateway"

EVENTS_NAMESPACE: Final = "pipeline-service-events"
"""Namespace of what takes events from gateways on other clusters."""

RESULTS_NAMESPACE: Final = "pipeline-service-results"

SUSPENDED: Final = "pipeline-service/suspended"
"""Label of the namespaces in which no run may start."""

WORKSPACE_PATH: Final = "pipeline-service/workspace"
KCP_NAMESPACE_NAME: Final = "pipeline-service/namespace"
"""Annotations of a tenant's namespace on its cluster: which namespace of which workspace it is."""

TENANT: Final = "pipeline-service/tenant"
"""Label with the name of the tenant that an object belongs to."""

_PART_LENGTH: Final = 20
_DIGEST_LENGTH: Final = 12

TENANT_NAMESPACE_TEMPLATE: Final = (
    '{{ .ClusterPath | splitList ":" | last | trunc 20 }}'
    "-{{ .Object.metadata.namespace | trunc 20 }}"
    '-{{ printf "%s/%s" .ClusterPath .Object.metadata.namespace | sha256sum | trunc 12 }}'
)
"""What `tenant_namespace` computes, as api-syncagent's Go template with sprig's functions."""


def digest(text: str) -> str:
    """Digest a text, so that its change is seen and itself is not.

    Parameters
    ----------
    text
        The text.

    Returns
    -------
    str
        Its sha256, in hexadecimal.
    """
    return hashlib.sha256(text.encode()).hexdigest()


def tenant_namespace(workspace: str, namespace: str) -> str:
    """Name the namespace that a kcp namespace has on the tenant's cluster.

    It is made from the workspace's path, not from its logical cluster's id, so it is known before the
    workspace exists. The digest keeps two namespaces apart that the shortening would make equal.

    Parameters
    ----------
    workspace
        Path of the tenant's workspace, from the root.
    namespace
        Name of the namespace in it.
    """
    unique = digest(f"{workspace}/{namespace}")[:_DIGEST_LENGTH]
    return f"{workspace.rsplit(':', 1)[-1][:_PART_LENGTH]}-{namespace[:_PART_LENGTH]}-{unique}"


def labels(component: str, **more: str) -> dict[str, str]:
    """Label an object as a part of the service.

    Parameters
    ----------
    component
        Which part of the service it belongs to.
    **more
        Further labels of the prefix `pipeline-service/`.
    """
    return {
        "app.kubernetes.io/part-of": PART_OF,
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": "pulumi",
        **{f"pipeline-service/{key}": value for key, value in more.items()},
    }
