"""Pipelines as Code's own programs, run beside a control plane: with their own accounts, without pods."""

from __future__ import annotations

import json
import os
import subprocess
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import urllib3
import yaml

from local.layout import default_layout
from local.manifests import pipelines_as_code
from local.toolchain.build import ensure, module_source
from local.toolchain.catalog import PIPELINES_AS_CODE, TEKTON
from releases.catalog import PIPELINES_AS_CODE as RELEASE
from releases.pipelines_as_code import APP_SECRET, NAMESPACE
from releases.transform import transform
from tests.support.apiserver import STOP_SECONDS
from tests.support.ports import free_port
from tests.support.waiting import SECONDS, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.apiserver import ControlPlane


@dataclass(frozen=True, kw_only=True)
class PipelinesAsCode:
    """Its listener and its watcher, running.

    Attributes
    ----------
    url
        Where the listener takes events.
    log
        The listener's log.
    """

    url: str
    log: Path

    def logged(self, *words: str) -> bool:
        """Tell whether the listener's log has a line with all these words by now, or soon has."""
        deadline = time.monotonic() + SECONDS
        while not any(all(word in line for word in words) for line in self.log.read_text().splitlines()):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True


@contextmanager
def pipelines_as_code_beside(plane: ControlPlane, app_api: str) -> Iterator[PipelinesAsCode]:
    """Install its release without its pods, and run its programs on this machine instead.

    Parameters
    ----------
    plane
        The control plane.
    app_api
        Address of the API that it asks as a GitHub App.
    """
    toolchain = ensure((PIPELINES_AS_CODE,), default_layout().cache, print, path=os.environ["PATH"])
    install(plane)
    port = free_port()
    common = {
        "SYSTEM_NAMESPACE": NAMESPACE,
        "CONFIG_LOGGING_NAME": "pac-config-logging",
        "PAC_GIT_PROVIDER_TOKEN_APIURL": app_api,
    }
    observability = {"name": "pipelines-as-code-config-observability"}
    metrics = {
        "Domain": "test",
        "Component": "test",
        "PrometheusPort": free_port(),
        "ConfigMap": observability,
    }
    with ExitStack() as running:
        for part, variables in (
            (
                "controller",
                {
                    "PAC_CONTROLLER_PORT": str(port),
                    "PAC_CONTROLLER_LABEL": "default",
                    "PAC_CONTROLLER_SECRET": APP_SECRET,
                    "PAC_CONTROLLER_CONFIGMAP": "pipelines-as-code",
                    "PAC_DISABLE_HEALTH_PROBE": "true",
                    "K_METRICS_CONFIG": json.dumps(metrics),
                    "K_TRACING_CONFIG": '{"backend":"none","debug":"false","sample-rate":"0"}',
                    "K_SINK_TIMEOUT": "30",
                },
            ),
            (
                "watcher",
                {
                    "PAC_WATCHER_PORT": str(free_port()),
                    "PAC_DISABLE_HA": "true",
                    "PAC_DISABLE_HEALTH_PROBE": "true",
                    "METRICS_DOMAIN": "test",
                    "METRICS_PROMETHEUS_PORT": str(free_port()),
                    "CONFIG_OBSERVABILITY_NAME": observability["name"],
                    "CONFIG_LEADERELECTION_NAME": "pac-watcher-config-leader-election",
                },
            ),
        ):
            name = f"pipelines-as-code-{part}"
            program = toolchain.program(PIPELINES_AS_CODE, name)
            running.enter_context(_process(plane, name, program, {**common, **variables}))
        made = PipelinesAsCode(
            url=f"http://127.0.0.1:{port}", log=plane.directory / "pipelines-as-code-controller.log"
        )
        _wait_until_live(made)
        yield made


def install(plane: ControlPlane) -> None:
    """Install the release as clusters get it, but for its Deployments, and the kind of its runs."""
    tekton = module_source(TEKTON) / "config" / "300-crds" / "300-pipelinerun.yaml"
    published = pipelines_as_code(module_source(PIPELINES_AS_CODE) / "config", PIPELINES_AS_CODE.version)
    objects = [
        yaml.safe_load(tekton.read_text()),
        *(
            one
            for one in transform(RELEASE, published)
            if one["kind"] not in ("Deployment", "ValidatingWebhookConfiguration")
        ),
    ]
    # No webhook of Tekton's answers here.
    objects[0]["spec"].pop("conversion", None)
    objects.sort(key=lambda one: one["kind"] != "Namespace")
    kubectl(plane, "apply", "--server-side", "--filename=-", stdin=yaml.safe_dump_all(objects))
    for name in ("repositories.pipelinesascode.tekton.dev", "pipelineruns.tekton.dev"):
        kubectl(plane, "wait", "--for=condition=Established", f"crd/{name}", f"--timeout={SECONDS:.0f}s")


def kubectl(plane: ControlPlane, *arguments: str, stdin: str | None = None) -> str:
    """Run kubectl as administrator, which must succeed; return what it prints."""
    command = ["kubectl", f"--kubeconfig={plane.directory / 'admin.kubeconfig'}", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def _process(plane: ControlPlane, name: str, program: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Run a program by its ServiceAccount's credential until the end of the block."""
    kubeconfig = plane.directory / f"{name}.kubeconfig"
    kubeconfig.write_text(json.dumps(_kubeconfig(plane, name)))
    log = plane.directory / f"{name}.log"
    environment = {"PATH": os.environ["PATH"], "HOME": str(plane.directory), **variables}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(program)],
            env={**environment, "KUBECONFIG": str(kubeconfig)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _kubeconfig(plane: ControlPlane, account: str) -> dict[str, Any]:
    token = kubectl(plane, "create", "token", account, f"--namespace={NAMESPACE}").strip()
    document: dict[str, Any] = json.loads(plane.kubeconfig())
    document["users"][0]["user"] = {"token": token}
    return document


def _wait_until_live(made: PipelinesAsCode) -> None:
    def live() -> bool:
        try:
            return urllib3.request("GET", f"{made.url}/live", retries=False, timeout=SECONDS).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    until(live, "live", lambda: made.log.read_text()[-3000:])
