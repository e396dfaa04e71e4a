"""Pipelines as Code on a compute cluster: what it needs beside its release, as plain manifests.

Why each: docs/adr/0011-pipelines-as-code.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from components.access import Subject, role_binding
from components.names import labels
from releases.pipelines_as_code import APP_SECRET, CONTROLLER, NAMESPACE, WATCHER, tenant_role

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pulumi

    from components.kubernetes_object import Manifest

FINALIZERS: Final = (
    {"resource": "pipelineruns.tekton.dev", "finalizer": "pipelinesascode.tekton.dev/finalizer"},
)
"""Its watcher puts it on every run that it made (v0.37.0, pkg/reconciler/controller.go): without the watcher,
runs and so tenants' namespaces could never go."""


@dataclass(frozen=True, kw_only=True)
class AppCredentials:
    """The credentials of a GitHub App.

    Attributes
    ----------
    app_id
        Its number.
    private_key
        Its private key, as PEM.
    webhook_secret
        With what GitHub signs its events.
    """

    app_id: int
    private_key: pulumi.Input[str]
    webhook_secret: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class PacSetup:
    """How Pipelines as Code is set up where OpenShift's operator brings it.

    Attributes
    ----------
    settings
        What is set in its ConfigMap.
    environment
        Environment variables of listener and watcher.
    replicas
        Number of listeners.
    resources
        Requests and limits of their pods, by Deployment.
    blocked_networks
        Networks that they never reach.
    """

    settings: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=dict)
    replicas: int = 1
    resources: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)
    blocked_networks: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class RepositoryRules:
    """What Repository objects on a cluster are held to.

    Attributes
    ----------
    namespace
        Namespace of Pipelines as Code, which alone may hold others.
    provider_urls
        APIs that they may name beside their repository's own host.
    concurrency_limit
        Most runs at a time that they may ask for; None: not limited.
    unsigned_gitea
        Whether they may be of Gitea, no signature of whose events is checked.
    """

    namespace: str
    provider_urls: Sequence[str] = ()
    concurrency_limit: int | None = None
    unsigned_gitea: bool = False


def operator_settings(setup: PacSetup | None) -> dict[str, Any]:
    """Say the same in the operator's words: TektonConfig's `spec.platforms.openshift.pipelinesAsCode`.

    Parameters
    ----------
    setup
        How it is set up; None: not at all.
    """
    if setup is None:
        return {"enable": False}
    variables = [{"name": name, "value": value} for name, value in sorted(setup.environment.items())]
    return {
        "enable": True,
        "settings": dict(setup.settings),
        "options": {
            "deployments": {
                deployment: {
                    "spec": {
                        **({"replicas": setup.replicas} if deployment == CONTROLLER else {}),
                        "template": {
                            "spec": {
                                "containers": [
                                    {
                                        "name": container,
                                        **({"env": variables} if variables else {}),
                                        "resources": {
                                            part: dict(amounts)
                                            for part, amounts in setup.resources.get(deployment, {}).items()
                                        },
                                    }
                                ]
                            }
                        },
                    }
                }
                for deployment, container in ((CONTROLLER, "pac-controller"), (WATCHER, "pac-watcher"))
            }
        },
    }


def app_secret(credentials: AppCredentials, namespace: str = NAMESPACE) -> Manifest:
    """Make the Secret with the credentials of the GitHub App.

    Parameters
    ----------
    credentials
        The credentials.
    namespace
        Namespace of Pipelines as Code.
    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": APP_SECRET, "namespace": namespace, "labels": labels("pipelines-as-code")},
        "type": "Opaque",
        "stringData": {
            "github-application-id": str(credentials.app_id),
            "github-private-key": credentials.private_key,
            "webhook.secret": credentials.webhook_secret,
        },
    }


def tenant_bindings(tenant_namespace: str, tenant: str) -> dict[str, Manifest]:
    """Let it work in a tenant's namespace: read Secrets, make runs, report how they go.

    Parameters
    ----------
    tenant_namespace
        Name of the namespace on the cluster.
    tenant
        Name of the tenant.
    """
    return {
        part: role_binding(
            tenant_role(account),
            tenant_namespace,
            tenant_role(account),
            [Subject(kind="ServiceAccount", name=account, namespace=NAMESPACE)],
            labels("tenant", tenant=tenant),
        )
        for part, account in (("pac-controller", CONTROLLER), ("pac-watcher", WATCHER))
    }
