"""An update that is killed, for real, and what `python -m operations recover` makes of its stack."""

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiserver import ControlPlane, control_plane, require_binaries
from tests.support.pulumi_project import ROOT, PulumiProject
from tests.support.waiting import until

SECRET = "plain-text-of-a-secret"
PROGRAM = """
kubeconfig = pulumi.Output.secret(Path("kubeconfig").read_text())
provider = k8s.Provider("cluster", kubeconfig=kubeconfig, cluster_identifier="test")
opts = pulumi.ResourceOptions(provider=provider)
namespace = k8s.core.v1.Namespace("shop", metadata={"name": values["namespace"]}, opts=opts)
slow = getattr(k8s.core.v1, values["kind"])(
    "slow",
    metadata={
        "name": "slow",
        "namespace": namespace.metadata.name,
        "annotations": {"pulumi.com/waitFor": "jsonpath={.metadata.labels.ready}=" + values["ready"]},
    },
    opts=opts,
    **({"data": values["data"]} if values["kind"] == "ConfigMap" else {"string_data": {
        "token": pulumi.Output.secret(values["data"]["token"])
    }}),
)
pulumi.export("slow", slow.metadata.name)
"""


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    require_binaries("pulumi", "kubectl")
    with control_plane(tmp_path_factory.mktemp("plane")) as running:
        yield running


class Shop:
    """A stack whose object `slow` is awaited until its label `ready` has the wanted value."""

    def __init__(self, plane: ControlPlane, folder: Path, namespace: str) -> None:
        self.plane = plane
        self.namespace = namespace
        self.project = PulumiProject(folder / "project")
        self.engines: list[subprocess.Popen[str]] = []
        (self.project.directory / "kubeconfig").write_text(plane.kubeconfig())
        self.project.write(PROGRAM)
        self.write()

    def write(
        self, *, ready: str = "yes", kind: str = "ConfigMap", data: dict[str, str] | None = None
    ) -> None:
        self.path = f"/api/v1/namespaces/{self.namespace}/{kind.lower()}s/slow"
        values = {"namespace": self.namespace, "kind": kind, "ready": ready, "data": data or {"a": "1"}}
        self.project.set_values(values)

    def start_up(self) -> subprocess.Popen[str]:
        engine = self.project.start("up", "--yes", "--skip-preview")
        self.engines.append(engine)
        return engine

    def export(self) -> dict[str, Any]:
        deployment: dict[str, Any] = json.loads(self.project.export())["deployment"]
        return deployment

    def live(self) -> dict[str, Any]:
        return self.plane.get(self.path)

    def make_ready(self, value: str = "yes") -> None:
        self.plane.patch(self.path, {"metadata": {"labels": {"ready": value}}})

    def kill_up_during_create(self) -> str:
        """Kill the engine while `slow` is awaited; return its uid."""
        engine = self.start_up()
        until(lambda: self.plane.exists(self.path), "created")
        engine.kill()
        engine.wait()
        pending = self.export()["pending_operations"]
        assert [(entry["type"], entry["resource"]["urn"].rpartition("::")[2]) for entry in pending] == [
            ("creating", "slow"),
        ]
        return str(self.live()["metadata"]["uid"])

    def recover(self) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "operations", "recover", "--stack", "test", "--grace", "5"]
        return subprocess.run(
            [*command, "--project", str(self.project.directory)],
            cwd=ROOT,
            env=self.project.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )

    def assert_settled(self) -> None:
        """The state holds each resource once, a preview is empty, and another recovery has nothing to do."""
        state = self.export()
        names = sorted(entry["urn"].rpartition("::")[2] for entry in state["resources"])
        assert names == ["cluster", "shop", "slow", "stand-ins-test"]
        assert not state.get("pending_operations")
        assert self.project.changes() == {}
        assert self.recover().stdout == "nothing to recover\n"


@pytest.fixture
def shop(plane: ControlPlane, tmp_path: Path) -> Iterator[Shop]:
    stack = Shop(plane, tmp_path, f"shop-{uuid.uuid4().hex[:8]}")
    yield stack
    for engine in stack.engines:
        if engine.poll() is None:
            engine.kill()
        engine.communicate()


def test_an_object_whose_create_was_cut_off_is_adopted_and_awaited(shop: Shop) -> None:
    uid = shop.kill_up_during_create()
    done = shop.recover()
    assert (done.returncode, done.stderr) == (0, "")
    assert "lock lifted" in done.stdout
    assert f"slow: {shop.namespace}/slow exists" in done.stdout
    assert shop.project.changes() == {"slow": "update"}
    engine = shop.start_up()
    with pytest.raises(subprocess.TimeoutExpired):
        engine.wait(timeout=6)  # not ready yet, so the update waits as the create did
    shop.make_ready()
    assert engine.wait(timeout=120) == 0
    assert shop.live()["metadata"]["uid"] == uid
    shop.assert_settled()


def test_an_adopted_secret_stays_out_of_the_state_in_plain_text(shop: Shop) -> None:
    shop.write(kind="Secret", data={"token": SECRET})
    shop.kill_up_during_create()
    assert shop.recover().returncode == 0
    state = str(shop.export())
    assert SECRET not in state
    assert shop.live()["data"]["token"] not in state
    shop.make_ready()
    shop.project.up()
    shop.assert_settled()


def test_a_create_that_left_nothing_is_cleared_and_done_again(shop: Shop) -> None:
    uid = shop.kill_up_during_create()
    shop.plane.delete(shop.path)
    done = shop.recover()
    assert done.returncode == 0
    assert "slow: it was not created" in done.stdout
    engine = shop.start_up()
    until(lambda: shop.plane.exists(shop.path), "created")
    shop.make_ready()
    assert engine.wait(timeout=120) == 0
    assert shop.live()["metadata"]["uid"] != uid
    shop.assert_settled()


def test_an_object_of_somebody_else_is_refused_and_the_state_left_alone(shop: Shop) -> None:
    shop.kill_up_during_create()
    shop.plane.delete(shop.path)
    foreign = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "slow"}}
    shop.plane.create(shop.path.removesuffix("/slow"), foreign)
    before = shop.export()
    done = shop.recover()
    assert done.returncode == 1
    assert "exists but Pulumi did not create it" in done.stderr
    assert done.stderr.count("\n") == 1
    assert shop.export() == before


def deployed(shop: Shop) -> str:
    """Deploy the stack; return the uid of `slow`."""
    engine = shop.start_up()
    until(lambda: shop.plane.exists(shop.path), "created")
    shop.make_ready()
    assert engine.wait(timeout=120) == 0
    return str(shop.live()["metadata"]["uid"])


def test_an_update_that_was_cut_off_is_done_again(shop: Shop) -> None:
    uid = deployed(shop)
    shop.write(ready="again")
    engine = shop.start_up()
    until(lambda: "again" in str(shop.live()["metadata"]["annotations"]), "updated")
    engine.kill()
    engine.wait()
    done = shop.recover()
    assert done.returncode == 0
    assert "slow: interrupted while updating" in done.stdout
    shop.make_ready("again")
    shop.project.up()
    assert shop.live()["metadata"]["uid"] == uid
    shop.assert_settled()


def test_a_replacement_that_was_cut_off_after_it_deleted_the_old_is_adopted(shop: Shop) -> None:
    old = deployed(shop)
    shop.write(data={"a": "2"})  # a ConfigMap's data counts as immutable, and its name is fixed
    engine = shop.start_up()
    until(lambda: shop.plane.request("GET", shop.path)[1].get("data") == {"a": "2"}, "replaced")
    engine.kill()
    engine.wait()
    new = shop.live()["metadata"]["uid"]
    assert new != old
    done = shop.recover()
    assert (done.returncode, done.stderr) == (0, "")
    assert f"slow: {shop.namespace}/slow exists" in done.stdout
    shop.make_ready()
    shop.project.up()
    assert shop.live()["metadata"]["uid"] == new
    shop.assert_settled()


def test_an_update_that_runs_is_left_alone(shop: Shop) -> None:
    engine = shop.start_up()
    until(lambda: shop.plane.exists(shop.path), "created")
    done = shop.recover()
    assert done.returncode == 1
    assert f"process {engine.pid}" in done.stderr
    assert "that process runs" in done.stderr
    shop.make_ready()
    assert engine.wait(timeout=120) == 0
    shop.assert_settled()
