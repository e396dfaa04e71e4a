"""An identity in kcp for what runs on a compute cluster: ServiceAccount, rights, token, kubeconfig."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Final

import pulumi

from components.kubernetes_object import KubernetesObject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from components.kubernetes_object import Manifest

KCP_NAMESPACE: Final = "default"
"""Namespace of the workspace `compute` that holds the ServiceAccounts."""

KUBECONFIG_SECRET: Final = "kcp-kubeconfig"  # noqa: S105 -- the name of a Secret
KUBECONFIG_KEY: Final = "kubeconfig"


def service_account(name: str, labels: Mapping[str, str]) -> Manifest:
    """Make a ServiceAccount in the workspace `compute`.

    Parameters
    ----------
    name
        Its name.
    labels
        Its labels.
    """
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": KCP_NAMESPACE, "labels": dict(labels)},
    }


def token_secret(name: str, labels: Mapping[str, str]) -> Manifest:
    """Make the Secret into which kcp writes the token of a ServiceAccount.

    Parameters
    ----------
    name
        Name of the ServiceAccount.
    labels
        Labels of the Secret.
    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": f"{name}-token",
            "namespace": KCP_NAMESPACE,
            "labels": dict(labels),
            "annotations": {"kubernetes.io/service-account.name": name},
        },
        "type": "kubernetes.io/service-account-token",
    }


def token(data: Mapping[str, str] | None) -> str:
    """Read the token (base64) out of the data of a token Secret.

    Parameters
    ----------
    data
        The Secret's data, or None where it does not exist: when a destroy runs the program on a stack that
        was deployed in part. Nothing is made from the empty token then.

    Raises
    ------
    KeyError
        The Secret exists and kcp has not filled it in.
    """
    return "" if data is None else data["token"]


def kubeconfig(url: str, certificate_authority: str | None, user: str, token: str) -> str:
    """Make the kubeconfig with which an identity reaches kcp.

    Parameters
    ----------
    url
        Address of the workspace `compute`; it must contain `/clusters/<path>`.
    certificate_authority
        kcp's certificate authority, base64 of PEM, or None where the system's is to be used.
    user
        What the user is called in it.
    token
        The ServiceAccount's token, base64.
    """
    cluster = {"server": url}
    if certificate_authority is not None:
        cluster["certificate-authority-data"] = certificate_authority
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "kcp",
        "clusters": [{"name": "kcp", "cluster": cluster}],
        "contexts": [{"name": "kcp", "context": {"cluster": "kcp", "user": user}}],
        "users": [{"name": user, "user": {"token": base64.b64decode(token).decode()}}],
    }
    return json.dumps(document, sort_keys=True)


def kubeconfig_secret(namespace: str, labels: Mapping[str, str], encoded: pulumi.Input[str]) -> Manifest:
    """Make the Secret on a cluster from which what runs there has its kubeconfig.

    Parameters
    ----------
    namespace
        Its namespace.
    labels
        Its labels.
    encoded
        The kubeconfig, base64.
    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": KUBECONFIG_SECRET, "namespace": namespace, "labels": dict(labels)},
        "type": "Opaque",
        "data": {KUBECONFIG_KEY: encoded},
    }


def base64_text(text: str) -> str:
    """Encode a text as a Secret's data.

    Parameters
    ----------
    text
        The text.
    """
    return base64.b64encode(text.encode()).decode()


def register_identity(
    prefix: str,
    account: Manifest,
    rights: Mapping[str, Manifest],
    *,
    compute: pulumi.ProviderResource,
    parent: pulumi.Resource,
) -> pulumi.Output[str]:
    """Register a ServiceAccount in kcp with its rights.

    Parameters
    ----------
    prefix
        Beginning of the names in the stack's state.
    account
        The ServiceAccount.
    rights
        Its roles and bindings, by the rest of their names.
    compute
        The workspace `compute`.
    parent
        The component they are a part of.

    Returns
    -------
    pulumi.Output
        Its token, base64: a secret, and so is whatever is made of it.
    """
    registered = KubernetesObject(f"{prefix}-account", account, provider=compute, parent=parent)
    bound = [
        KubernetesObject(
            f"{prefix}-{part}", manifest, provider=compute, parent=parent, depends_on=[registered]
        )
        for part, manifest in rights.items()
    ]
    metadata = account["metadata"]
    secret = KubernetesObject(
        f"{prefix}-token",
        token_secret(metadata["name"], metadata["labels"]),
        provider=compute,
        parent=parent,
        # Nothing may start with a credential that may do nothing yet.
        depends_on=[registered, *bound],
    )
    given: pulumi.Output[str] = pulumi.Output.secret(secret.data.apply(token))
    return given
