"""A Pulumi engine that only records: what was registered, with which options, and what was secret."""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Never
from unittest.mock import patch

import pulumi
from pulumi.runtime import mocks, rpc
from pulumi.runtime.settings import SETTINGS, set_root_resource

from releases.adaptation import UNADAPTED, Adaptation
from releases.catalog import TEKTON_PIPELINES
from releases.contents import Contents
from releases.prepare import PreparedRelease
from stacks import rendering
from stacks.environment import compose
from stacks.gateway_sources import GatewaySources
from stacks.github_app import GitHubApp
from stacks.image_sources import read_images
from stacks.kubeconfigs import Kubeconfig
from stacks.loader import LoadedEnvironment
from stacks.mapping_releases import adaptation
from stacks.mutual_tls import MutualTls
from stacks.outputs import EnvironmentOutputs
from stacks.results_sources import ResultsSources
from stacks.settings import EnvironmentSettings
from stacks.shared_manifests import shared_manifests
from stacks.signing import SigningKey
from stacks.wanted_releases import wanted_releases

TOKEN = "bWFkZS11cC10b2tlbg=="
"""The made-up token that kcp gives a syncer's ServiceAccount here, base64 of `made-up-token`."""

CREDENTIAL = "made-up-credential"


CONTENTS = {
    TEKTON_PIPELINES: Contents(
        images=("ghcr.io/tekton/controller:v1", "ghcr.io/tekton/entrypoint:v1"),
        injected=("ghcr.io/tekton/entrypoint:v1",),
        pod_namespaces=("tekton-pipelines", "tekton-pipelines-resolvers"),
    )
}
"""What made-up releases hold."""

MUTUAL_TLS = MutualTls(
    authority="made-up-authority",
    gateway="made-up-private-gateway",
    listener="made-up-private-listener",
    expires=datetime(2100, 1, 1, tzinfo=UTC),
)
GITHUB_APP = GitHubApp(app_id=12, private_key="made-up-app-key", webhook_secret="made-up-app-secret")
SIGNING_KEY = SigningKey(private="made-up-private-key", public="made-up-public-key")

CERTIFICATE = ("made-up-certificate", "made-up-private-tls")

REGISTRY_PASSWORD = "made-up-registry-password"


@dataclass(frozen=True, kw_only=True)
class Registration:
    urn: str
    type: str
    name: str
    inputs: dict[str, Any]
    secret_inputs: frozenset[str]
    dependencies: frozenset[str]
    ignore_changes: tuple[str, ...]
    protect: bool
    retain_on_delete: bool
    provider: str
    parent: str


class _Mocks(mocks.Mocks):
    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        outputs = dict(args.inputs)
        if args.typ.startswith("kubernetes:") and "metadata" in outputs:
            outputs["metadata"] = {**outputs["metadata"], "uid": f"uid-of-{args.name}"}
        if args.typ == "kubernetes:core/v1:Secret" and args.inputs.get("type", "").endswith("account-token"):
            outputs["data"] = {"token": TOKEN}
        return f"{args.name}-id", outputs

    def call(self, args: mocks.MockCallArgs) -> Never:
        message = f"no function is called: {args.token}"
        raise AssertionError(message)


class Recorder(mocks.MockMonitor):
    def __init__(self) -> None:
        super().__init__(_Mocks())
        self.registrations: dict[str, Registration] = {}
        self.shared: dict[str, str] = {}

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        # The SDK's mock keeps only the nearest parent; the engine keeps the whole chain.
        chain = f"{parent.split('::')[2]}$" if parent and "Stack" not in parent.split("::")[2] else ""
        return f"urn:pulumi:dev::pipeline-service::{chain}{type_}::{name}"

    def RegisterResource(self, request: Any) -> Any:  # noqa: ANN401, N802 -- gRPC's name and types
        response = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        inputs = rpc.deserialize_properties(request.object, keep_unknowns=True)
        recorded = Registration(
            urn=response.urn,
            type=request.type,
            name=request.name,
            inputs={key: _plain(value) for key, value in inputs.items()},
            secret_inputs=frozenset(key for key, value in inputs.items() if _holds_secret(value)),
            dependencies=frozenset(request.dependencies),
            ignore_changes=tuple(request.ignoreChanges),
            protect=bool(request.protect),
            retain_on_delete=bool(request.retainOnDelete),
            provider=request.provider,
            parent=request.parent,
        )
        if recorded.urn in self.registrations:
            message = f"registered twice: {recorded.urn}"
            raise AssertionError(message)
        self.registrations[recorded.urn] = recorded
        return response

    def named(self, name: str, type_: str | None = None) -> Registration:
        found = [
            one
            for one in self.registrations.values()
            if one.name == name
            and (type_ is None or one.type == type_)
            and one.type.split(":")[0] != "pipeline-service"
        ]
        assert len(found) == 1, f"{name}: {[one.urn for one in found]}"
        return found[0]

    def of_type(self, type_: str) -> list[Registration]:
        return [one for one in self.registrations.values() if one.type == type_]

    def applied(self, unit: str) -> str:
        """The manifest of a unit of a tenant, with what it shares."""
        inputs = self.named(f"{unit}-apply").inputs
        file = inputs["environment"].get("UNIT_SHARED")
        return (self.shared[file] if file else "") + str(inputs["stdin"])

    def reaches(self, urn: str) -> set[str]:
        """Everything a resource depends on, directly or not, its provider included."""
        seen: set[str] = set()
        todo = [urn]
        while todo:
            one = self.registrations.get(todo.pop())
            for needed in (*one.dependencies, one.provider.rpartition("::")[0]) if one else ():
                if needed and needed not in seen:
                    seen.add(needed)
                    todo.append(needed)
        return seen


def _holds_secret(value: object) -> bool:
    if rpc.is_rpc_secret(value):
        return True
    if isinstance(value, dict):
        return any(_holds_secret(one) for one in value.values())
    return isinstance(value, list) and any(_holds_secret(one) for one in value)


def _plain(value: object) -> Any:  # noqa: ANN401 -- whatever was given
    if rpc.is_rpc_secret(value):
        return _plain(rpc.unwrap_rpc_secret(value))
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def kubeconfig(host: str) -> Kubeconfig:
    return Kubeconfig(f"https://{host}:6443", {"certificate-authority-data": "Q0E="}, {"token": CREDENTIAL})


def made_up_release(name: str, version: str, adaptation: Adaptation = UNADAPTED) -> PreparedRelease:
    """Make a release that differs, as a prepared one does, with its version and its adaptation."""
    digest = hashlib.sha256(f"{name} {version} {adaptation.as_json()}".encode()).hexdigest()
    return PreparedRelease(
        name=name,
        version=version,
        sha256=digest,
        manifest=Path(f".run/dev/{name}-{digest[:12]}.yaml"),
        contents=replace(CONTENTS.get(name, Contents()), outline=(f"outline of {version}",)),
    )


def loaded(settings: EnvironmentSettings) -> LoadedEnvironment:
    """Make up what the settings refer to."""
    auths = {"registry.example.com": {"auth": REGISTRY_PASSWORD}}
    of_images = settings.image_repository.model_copy(update={"digests": None, "certificate_authority": None})
    reference = of_images.pull_secret
    images, _ = read_images(
        of_images, Path(), {} if reference is None else {reference.secret: {"auths": auths}}
    )
    return LoadedEnvironment(
        stack="dev",
        settings=settings,
        kubeconfigs={name: kubeconfig(name) for name in ("kcp", *settings.compute_clusters)},
        prepared={
            cluster: {
                name: made_up_release(name, version, adaptation(settings, cluster, name, images))
                for name, version in releases.items()
            }
            for cluster, releases in wanted_releases(settings).items()
        },
        folder=Path(".run/dev"),
        shared=shared_manifests(settings, Path(".run/dev/manifests")),
        images=images,
        secrets=defaultdict(lambda: CREDENTIAL),
        gateway=GatewaySources(
            certificate=None if settings.gateway.tls is None else CERTIFICATE,
            mutual_tls=None if settings.gateway.mutual_tls is None else MUTUAL_TLS,
        ),
        signing_key=SIGNING_KEY if settings.tekton.chains.enabled else None,
        results=ResultsSources(tls=CERTIFICATE, server_tls=CERTIFICATE)
        if settings.tekton.results.enabled
        else ResultsSources(),
        github_app=GITHUB_APP
        if settings.pipelines_as_code.enabled and settings.pipelines_as_code.github_app
        else None,
    )


def environment(
    clusters: dict[str, dict[str, Any]], tenants: dict[str, dict[str, Any]] | None = None, **more: object
) -> EnvironmentSettings:
    """Validate settings of which only what matters is given."""
    return EnvironmentSettings.model_validate(
        {
            "kcp": {"kubeconfig": {"path": "kcp"}},
            "computeClusters": {
                name: {"kubeconfig": {"path": name}, **entry} for name, entry in clusters.items()
            },
            "tenants": tenants or {},
            **more,
        }
    )


def start_engine(*, preview: bool = False) -> Recorder:
    """Start afresh, above all without the stack resource of an event loop that has ended."""
    asyncio.set_event_loop(asyncio.new_event_loop())
    set_root_resource(None)  # type: ignore[arg-type]
    SETTINGS.rpc_manager.clear()
    SETTINGS.outputs.clear()
    recorder = Recorder()
    pulumi.runtime.set_mocks(
        recorder.mocks, project="pipeline-service", stack="dev", preview=preview, monitor=recorder
    )
    return recorder


def record(settings: EnvironmentSettings) -> tuple[Recorder, EnvironmentOutputs]:
    """Compose an environment, and give what was registered."""
    recorder = start_engine()
    made = loaded(settings)
    recorder.shared = {one.file: one.text for one in made.shared.values() if one.file}
    outputs: list[EnvironmentOutputs] = []

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def run() -> None:
        # Made-up releases have no file.
        with patch.object(rendering, "release_objects", lambda _manifest: []):
            outputs.append(compose(made))

    run()
    return recorder, outputs[0]
