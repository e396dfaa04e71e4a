"""Tekton Results itself, real with its database, holds apart what the reader reads for tenants."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import ssl
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from components.exposure import ResultsExposure
from components.names import RESULTS_NAMESPACE, tenant_namespace
from components.results_lookup import Reader, Refusal, Route, Server, trusting
from components.results_manifests import (
    READER,
    SERVER_NAMESPACE,
    WATCHER,
    ReaderFront,
    ReaderPods,
    reader_objects,
)
from components.tenant_manifests import TenantQuota, namespace_objects
from components.tenant_network import TenantNetwork
from local.layout import default_layout
from local.manifests import write_release_manifests
from local.pki import Authority, Identity
from local.toolchain.build import ensure, module_source
from local.toolchain.catalog import TEKTON_RESULTS
from releases.catalog import TEKTON_RESULTS as RELEASE
from releases.transform import transform
from stacks.mapping_results import adaptation
from tests.support.apiserver import ControlPlane, control_plane
from tests.support.on_demand import ON_DEMAND
from tests.support.ports import free_port
from tests.support.postgresql import OWNER
from tests.support.postgresql_here import postgresql_here
from tests.support.recording import environment
from tests.support.results import PLACE, RESULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = ON_DEMAND

A, B = "root:service:tenants:a", "root:service:tenants:b"
HOME = {path: tenant_namespace(path, "default") for path in (A, B)}
RUN, TASK = "pipelineruns.tekton.dev", "taskruns.tekton.dev"
ANNOTATIONS = ("result", "record", "log", "eventlist")
PASSWORD = "made-up"
SECONDS = 120
NOT_FOUND = 404
APPLIED = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "ConfigMap", "Role", "RoleBinding"} | {
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}


def definition(plural: str, kind: str) -> dict[str, Any]:
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}}}
    spec = {"group": "tekton.dev", "scope": "Namespaced", "names": names}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.tekton.dev"},
        "spec": {**spec, "versions": [{**version, "schema": {"openAPIV3Schema": schema}}]},
    }


@dataclass(frozen=True)
class Place:
    """A cluster with Results."""

    plane: ControlPlane
    folder: Path
    results: Server
    reader: Reader

    def kubectl(
        self, *arguments: str, stdin: object = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        return kubectl(self.folder, *arguments, stdin=stdin, check=check)

    def lists(self, parent: str) -> int:
        """Return what Results answers the reader's account of a namespace."""
        path = f"/apis/results.tekton.dev/v1alpha2/parents/{parent}/results/-/records"
        return self.results.ask(path, self.reader.account.read_text())[0]

    def found(self, workspace: str, name: str) -> dict[str, Any] | None:
        """Return a run as the reader finds it."""
        try:
            return self.reader.run(Route(workspace=workspace, namespace="default", run=name, what=""))[1]
        except Refusal as refusal:
            if refusal.status == NOT_FOUND:
                return None
            raise


def kubectl(
    folder: Path, *arguments: str, stdin: object = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["kubectl", f"--kubeconfig={folder / 'kubeconfig'}", *arguments],
        input=None if stdin is None else json.dumps(stdin),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 0 or not check, done.stderr
    return done


def apply(folder: Path, *objects: dict[str, Any]) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    kubectl(folder, "apply", "--server-side", "--filename=-", stdin=listed)


def token(folder: Path, account: str, namespace: str) -> str:
    return kubectl(folder, "create", "token", account, f"--namespace={namespace}").stdout.strip()


def wait(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.5)


@contextlib.contextmanager
def as_pod(
    folder: Path, name: str, account: Path, command: list[str], **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that finds its account where a pod's is: in a mount namespace of its own."""
    place = "/run/secrets/kubernetes.io"
    steps = 'mount -t tmpfs none /run && mkdir -p $0 && cp -r $1 $0/serviceaccount && shift && exec "$@"'
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", steps, place, str(account), *command],
            cwd=folder,
            env={**os.environ, **variables},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder, pki = tmp_path_factory.mktemp("plane"), tmp_path_factory.mktemp("pki")
    authority = Authority(pki)
    tls = authority.issue("all", Identity(common_name="all", names=("localhost",)))
    layout = default_layout()
    programs = ensure([TEKTON_RESULTS], layout.cache, print, path=os.environ["PATH"]).folders[
        "tekton-results"
    ]
    database, port = free_port(), free_port()
    with contextlib.ExitStack() as stack:
        root = tmp_path_factory.mktemp("postgresql")
        root.chmod(0o755)
        stack.enter_context(postgresql_here(root, PASSWORD, tls, database))
        plane = stack.enter_context(control_plane(folder))
        (folder / "kubeconfig").write_text(plane.kubeconfig())
        _install(folder)
        accounts = {name: _account(folder, name, plane) for name in ("tekton-results-api", WATCHER)}
        (folder / "tls").mkdir()
        shutil.copy(tls.certificate, folder / "tls" / "tls.crt")
        shutil.copy(tls.key, folder / "tls" / "tls.key")
        shutil.copyfile(module_source(TEKTON_RESULTS) / "config/base/env/config", folder / "config")
        stack.enter_context(
            as_pod(
                folder,
                "api",
                accounts["tekton-results-api"],
                [str(programs / "api")],
                **_variables(database, authority),
                KUBERNETES_SERVICE_HOST="127.0.0.1",
                KUBERNETES_SERVICE_PORT=plane.server.rpartition(":")[2],
                TLS_PATH=str(folder / "tls"),
                SERVER_PORT=str(port),
                PROMETHEUS_PORT=str(free_port()),
            )
        )
        results = Server(f"https://localhost:{port}", trusting(tls.certificate))

        def serves() -> bool:
            with contextlib.suppress(OSError):
                return results.ask("/healthz", "none")[0] == 200
            return False

        wait(serves, (folder / "api.log").read_text())
        watcher = adaptation(_settings(), "a").deployments["tekton-results-watcher"].arguments
        config = yaml.safe_load(plane.kubeconfig())
        config["users"][0]["user"] = {"token": token(folder, WATCHER, SERVER_NAMESPACE)}
        (folder / "watcher.kubeconfig").write_text(yaml.safe_dump(config))
        command = [str(programs / "watcher"), "-api_addr", f"localhost:{port}", "-auth_mode", "token"]
        stack.enter_context(
            as_pod(
                folder,
                "watcher",
                accounts[WATCHER],
                [*command, *watcher, "-disable-ha"],
                KUBECONFIG=str(folder / "watcher.kubeconfig"),
                SSL_CERT_FILE=str(authority.pair.certificate),
                SYSTEM_NAMESPACE=SERVER_NAMESPACE,
                CONFIG_LOGGING_NAME="tekton-results-config-logging",
                CONFIG_LEADERELECTION_NAME="tekton-results-config-leader-election",
                CONFIG_OBSERVABILITY_NAME="tekton-results-config-observability",
                METRICS_DOMAIN="tekton.dev/results",
                METRICS_PROMETHEUS_PORT=str(free_port()),
                PROBES_PORT=str(free_port()),
            )
        )
        own = folder / "reader-token"
        own.write_text(token(folder, "reader", RESULTS_NAMESPACE))
        context = trusting(folder / "ca.crt")
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        cluster = Server(plane.server, context)
        reader = Reader(kcp=cluster, cluster=cluster, results=results, account=own)
        yield Place(plane, folder, results, reader)


def _settings() -> Any:  # noqa: ANN401 -- settings
    return environment({"a": {"results": PLACE}}, tekton={"results": RESULTS})


def _variables(port: int, authority: Authority) -> dict[str, str]:
    adapted = adaptation(_settings(), "a").deployments["tekton-results-api"].environment
    there = {
        "DB_HOST": "localhost",
        "DB_PORT": str(port),
        "DB_USER": OWNER,
        "DB_PASSWORD": PASSWORD,
        "DB_SSLROOTCERT": str(authority.pair.certificate),
    }
    return {**adapted, **there}


def _install(folder: Path) -> None:
    """Apply what the program applies, but for pods."""
    home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SERVER_NAMESPACE}}
    apply(folder, home, definition("pipelineruns", "PipelineRun"), definition("taskruns", "TaskRun"))
    sources = {(RELEASE, TEKTON_RESULTS.version): module_source(TEKTON_RESULTS)}
    (manifest,) = write_release_manifests(sources, folder / "releases")
    made = transform(RELEASE, yaml.safe_load_all(manifest.read_text()), adaptation(_settings(), "a"))
    apply(folder, *(one for one in made if one["kind"] in APPLIED))
    quota = TenantQuota(pipeline_runs=1, cpu="1", memory="1Gi", pods=1, storage="1Gi")
    for path, name in HOME.items():
        objects = namespace_objects(
            tenant=path[-1],
            workspace_path=path,
            kcp_namespace="default",
            namespace_name=name,
            quota=quota,
            network=TenantNetwork(egress=None),
            results=True,
        )
        apply(folder, objects["namespace"])
        apply(folder, objects["results"])
    front, pods = ReaderFront(port=443, exposure=ResultsExposure.CLUSTER_IP), ReaderPods(image="x", user=1)
    reader = reader_objects({}, front, pods)
    apply(folder, reader["results-namespace"])
    apply(folder, reader["results-role"], reader["results-account"])


def _account(folder: Path, name: str, plane: ControlPlane) -> Path:
    made = folder / f"account-{name}"
    made.mkdir()
    (made / "token").write_text(token(folder, name, SERVER_NAMESPACE))
    (made / "ca.crt").write_bytes(plane.authority.pem)
    return made


def pipeline_run(namespace: str, name: str, **annotations: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "annotations": annotations}
    return {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": metadata, "spec": {"x": "y"}}


@pytest.fixture(scope="module")
def failed(place: Place) -> str:
    """Give the uid of A's run `build`, which failed in its one task, once both are recorded."""
    home = HOME[A]
    asked = ("create", "--filename=-", "--output=jsonpath={.metadata.uid}")
    uid = place.kubectl(*asked, stdin=pipeline_run(home, "build")).stdout
    owner = {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "name": "build", "uid": uid}
    task = pipeline_run(home, "build-compile")
    task["kind"] = "TaskRun"
    task["metadata"] |= {"ownerReferences": [{**owner, "controller": True}]}
    place.kubectl(*asked, stdin=task)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    condition = {"type": "Succeeded", "status": "False", "reason": "Failed", "lastTransitionTime": now}
    status = json.dumps({"status": {"startTime": now, "completionTime": now, "conditions": [condition]}})
    for one in (f"{RUN}/build", f"{TASK}/build-compile"):
        place.kubectl("patch", one, f"-n={home}", "--subresource=status", "--type=merge", f"--patch={status}")
    wanted = Route(workspace=A, namespace="default", run="build", what="taskruns")

    def recorded() -> bool:
        found = place.found(A, "build")
        tasks = place.reader.task_runs(wanted) if found else []
        return bool(found and "status" in found and tasks and "status" in tasks[0][1])

    wait(recorded, "not recorded")
    assert [one["metadata"]["name"] for _, one in place.reader.task_runs(wanted)] == ["build-compile"]
    return uid


def test_a_run_is_found_by_its_own_tenants_path_alone(place: Place, failed: str) -> None:
    found = place.found(A, "build")
    assert found is not None
    assert found["metadata"]["uid"] == failed
    assert place.found(B, "build") is None


@pytest.mark.usefixtures("failed")
def test_the_readers_account_reads_in_tenants_namespaces_alone(place: Place) -> None:
    asked = (HOME[A], HOME[B], "-", "kube-system", SERVER_NAMESPACE)
    assert [place.lists(parent) for parent in asked] == [200, 200, 401, 401, 401]


@pytest.mark.parametrize("annotation", ANNOTATIONS)
def test_no_run_is_recorded_in_anothers_namespace(place: Place, failed: str, annotation: str) -> None:
    marks = {f"results.tekton.dev/{annotation}": f"{HOME[A]}/results/{failed}/records/{failed}"}
    made = pipeline_run(HOME[B], f"forged-{annotation}", **marks)
    refused = place.kubectl("create", "--filename=-", stdin=made, check=False)
    assert refused.returncode != 0
    assert f"results.tekton.dev/{annotation} names another namespace" in refused.stderr


def test_without_the_policy_anothers_record_would_be_replaced_and_even_so_not_be_shown(
    place: Place, failed: str
) -> None:
    # So the policy holds something, and the watcher is what it was when it was made.
    binding = "validatingadmissionpolicybinding/pipeline-service-results"
    kept = json.loads(place.kubectl("get", binding, "--output=json").stdout)
    place.kubectl("delete", binding)
    record = f"{HOME[A]}/results/{failed}/records/{failed}"
    marks = {"results.tekton.dev/result": f"{HOME[A]}/results/{failed}", "results.tekton.dev/record": record}
    try:
        made = pipeline_run(HOME[B], "forged", **marks)
        wait(
            lambda: place.kubectl("create", "--filename=-", stdin=made, check=False).returncode == 0,
            "the policy is still in force",
        )
        wait(lambda: place.found(A, "build") is None, "the record was not replaced")
        assert place.found(A, "forged") is None
    finally:
        del kept["metadata"]["resourceVersion"], kept["metadata"]["uid"]
        apply(place.folder, kept)
        place.kubectl("delete", f"{RUN}/forged", f"-n={HOME[B]}", "--timeout=60s", "--ignore-not-found")


def test_what_is_recorded_outlives_the_run_until_its_tenant_has_gone(place: Place, failed: str) -> None:
    # A change of the run has it recorded anew.
    place.kubectl("annotate", f"{RUN}/build", f"-n={HOME[A]}", "note=changed")
    wait(lambda: place.found(A, "build") is not None, "not recorded anew")
    begun = time.monotonic()
    for one in (f"{RUN}/build", f"{TASK}/build-compile"):
        place.kubectl("delete", one, f"-n={HOME[A]}", "--timeout=60s")
    assert time.monotonic() - begun < 60
    found = place.found(A, "build")
    assert found is not None
    assert found["metadata"]["uid"] == failed
    place.kubectl("delete", "rolebinding", READER, f"-n={HOME[A]}")
    wait(lambda: place.found(A, "build") is None, "found without the binding")
    assert place.lists(HOME[A]) == 401
