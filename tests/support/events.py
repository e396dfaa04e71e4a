"""Events in the embedded environment: a Git provider that its pods reach, and tenants' repositories at it."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.names import tenant_namespace
from local.demo_event import (
    NAME,
    PROVIDER_NAMESPACE,
    SHA_LABEL,
    connection,
    gateway_origin,
    provider_objects,
)
from local.git_provider.provider import GitProvider
from local.git_provider.server import served
from local.layout import default_layout
from local.network import Network
from stacks.loader import read_stack_file
from tests.support.live import ROOT, STACK, Done, in_workspace, kubectl, objects, pulumi, wait_until
from tests.support.runs import TENANTS, condition

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local.git_provider.hooks import Hook
    from local.git_provider.repository import Repository

REPOSITORIES = "repositories.pipelinesascode.tekton.dev"


@dataclass(frozen=True, kw_only=True)
class Connected:
    """A tenant whose repository is connected by a webhook.

    Attributes
    ----------
    tenant, user, cluster
        Its name, a developer of it, and its cluster.
    repository, hook, token
        Its repository, the webhook there, and a token for it.
    """

    tenant: str
    user: str
    cluster: str
    repository: Repository
    hook: Hook
    token: str

    @property
    def workspace(self) -> str:
        return f"{TENANTS}:{self.tenant}"

    @property
    def namespace(self) -> str:
        """Its namespace on its cluster."""
        return tenant_namespace(self.workspace, "default")

    def apply(self, url: str | None = None, *, check: bool = True, **spec: object) -> Done:
        """Make Secret and Repository in kcp as the tenant's user, for its repository or another URL."""
        made = connection(url or self.repository.html_url, self.token, self.hook.secret)
        made["items"][1]["spec"] |= spec
        return in_workspace(
            self.workspace,
            *("apply", "--namespace=default", "--filename=-"),
            user=self.user,
            check=check,
            stdin=json.dumps(made),
        )

    def copied(self) -> bool:
        """Tell whether its Repository and the Secret that it names are on its cluster."""
        there = f"--namespace={self.namespace}"
        secrets = {one["metadata"]["name"] for one in objects(self.cluster, "secrets", there)}
        return bool(objects(self.cluster, REPOSITORIES, there)) and NAME in secrets

    def connect(self) -> None:
        """Make Secret and Repository in kcp, and wait until they are on its cluster."""
        self.apply()
        wait_until(self.copied, "copied to the cluster", lambda: self.namespace)

    def disconnect(self) -> None:
        """Delete them."""
        in_workspace(
            self.workspace,
            *("delete", f"{REPOSITORIES}/{NAME}", f"secret/{NAME}", "--namespace=default"),
            "--ignore-not-found",
        )


def runs_of(cluster: str, sha: str) -> list[dict[str, Any]]:
    """Return the runs that a commit has started anywhere on a cluster."""
    return objects(cluster, "pipelineruns.tekton.dev", "--all-namespaces", f"--selector={SHA_LABEL}={sha}")


def succeeded(cluster: str, sha: str, count: int = 1) -> bool:
    """Tell whether a commit has as many runs on a cluster, and all succeeded."""
    found = runs_of(cluster, sha)
    return len(found) == count and all(condition(run)[0] == "True" for run in found)


@contextmanager
def git_provider(folder: Path, events_url: str, *clusters: str) -> Iterator[GitProvider]:
    """Run a Git provider that pods of clusters reach, and that finds the gateway."""
    layout = default_layout()
    provider = GitProvider(folder)
    provider.sender.names.update(
        gateway_origin(read_stack_file(ROOT / f"Pulumi.{STACK}.yaml"), ROOT, events_url)
    )
    with served(provider, Network(layout.identity, layout.network).machine()) as api:
        try:
            for cluster in clusters:
                made = {"apiVersion": "v1", "kind": "List", "items": provider_objects(api)}
                kubectl(cluster, "apply", "--filename=-", stdin=json.dumps(made))
            yield provider
        finally:
            for cluster in clusters:
                kubectl(cluster, "delete", f"namespace/{PROVIDER_NAMESPACE}", "--ignore-not-found")


def output(name: str) -> Any:  # noqa: ANN401 -- JSON
    """Return an output of the stack."""
    return json.loads(pulumi("stack", "output", name, "--json").out)
