"""Waiting for objects to become ready, and what is kept where they do not."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.on_demand import STAND_INS
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.engine.plugins.conftest import KubernetesProject

pytestmark = STAND_INS

DEPLOYMENT = """
deployment = k8s.apps.v1.Deployment("deployment",
    metadata={"name": "deployment", "namespace": values["namespace"],
              "annotations": values.get("annotations", {})},
    spec={"replicas": values["replicas"], "selector": {"matchLabels": {"app": "a"}},
          "template": {"metadata": {"labels": {"app": "a"}},
                       "spec": {"containers": [{"name": "c", "image": "busybox"}]}}},
    opts=pulumi.ResourceOptions(provider=cluster, custom_timeouts=pulumi.CustomTimeouts(
        create=values.get("create", "3s"), update="60s")))
after = k8s.core.v1.ConfigMap("after", metadata={"name": "after", "namespace": values["namespace"]}, data={},
    opts=pulumi.ResourceOptions(provider=cluster, depends_on=[deployment]))
"""


def test_object_that_does_not_become_ready_is_kept_and_the_next_up_goes_on(kube: KubernetesProject) -> None:
    kube.write(DEPLOYMENT, replicas=1)  # there is no node to run it
    error = kube.project.up(fails=True)
    assert f"apps/v1/Deployment {kube.namespace}/deployment not ready after 3 s" in error
    assert "0 of 1 updated replicas available" in error
    path = kube.path("deployments", "deployment", "/apis/apps/v1")
    uid = kube.plane.get(path)["metadata"]["uid"]
    state = kube.project.state("deployment")
    assert state["outputs"]["metadata"]["uid"] == uid
    assert state["initErrors"]
    assert "after" not in kube.project.names()

    kube.set(replicas=0)
    kube.project.up()
    assert kube.plane.get(path)["metadata"]["uid"] == uid
    assert "initErrors" not in kube.project.state("deployment")
    assert "after" in kube.project.names()


def test_unready_object_is_awaited_again_even_where_nothing_changed(kube: KubernetesProject) -> None:
    kube.write(DEPLOYMENT, replicas=1)
    kube.project.up(fails=True)
    path = kube.path("deployments", "deployment", "/apis/apps/v1")
    over = threading.Event()

    def become_available() -> None:
        # The controller counts ready pods; on a cluster without nodes only a pod's status can be made up.
        while not over.is_set():
            for pod in kube.plane.get(kube.path("pods"))["items"]:
                condition = {"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}
                kube.plane.patch(
                    kube.path("pods", pod["metadata"]["name"]) + "/status",
                    {"status": {"phase": "Running", "conditions": [condition]}},
                )
            time.sleep(0.5)
            if kube.plane.get(path)["status"].get("availableReplicas"):
                return

    helper = threading.Thread(target=become_available)
    helper.start()
    try:
        kube.project.up()
    finally:
        over.set()
        helper.join()
    assert "initErrors" not in kube.project.state("deployment")
    assert kube.project.state("deployment")["outputs"]["status"]["availableReplicas"] == 1


def test_skip_await_returns_at_once(kube: KubernetesProject) -> None:
    kube.write(DEPLOYMENT, replicas=1, annotations={"pulumi.com/skipAwait": "true"})
    kube.project.up()
    assert kube.project.names() == {"deployment", "after"}


def test_refresh_reports_an_object_that_is_no_longer_ready(kube: KubernetesProject) -> None:
    kube.write(DEPLOYMENT, replicas=0, create="60s")
    kube.project.up()
    kube.plane.patch(kube.path("deployments", "deployment", "/apis/apps/v1"), {"spec": {"replicas": 1}})
    kube.project.run("refresh", "--yes", "--skip-preview")
    assert kube.project.state("deployment")["initErrors"]
    assert kube.project.changes()["deployment"] == "update"


WAITED = """
config = k8s.core.v1.ConfigMap("config", metadata={"name": "config", "namespace": values["namespace"],
    "annotations": {"pulumi.com/waitFor": values["wait_for"],
                    "pulumi.com/timeoutSeconds": values["seconds"]}}, data={}, opts=options)
pulumi.export("phase", config.data)
"""


@pytest.mark.parametrize("wait_for", ["jsonpath={.data.phase}=Ready", '["jsonpath={.data.phase}"]'])
def test_wait_for_holds_dependents_until_the_field_has_its_value(
    kube: KubernetesProject, wait_for: str
) -> None:
    kube.write(WAITED, wait_for=wait_for, seconds="60")
    path = kube.path("configmaps", "config")

    def make_ready() -> None:
        until(lambda: kube.plane.exists(path), "created")
        time.sleep(1)
        kube.plane.patch(path, {"data": {"phase": "Ready"}})

    helper = threading.Thread(target=make_ready)
    helper.start()
    kube.project.up()
    helper.join()
    assert kube.project.outputs() == {"phase": {"phase": "Ready"}}


def test_wait_for_that_is_not_met_says_what_is_missing(kube: KubernetesProject) -> None:
    kube.write(WAITED, wait_for="jsonpath={.data.phase}=Ready", seconds="2")
    error = kube.project.up(fails=True)
    assert ".data.phase is not there, not Ready" in error
    assert kube.project.state("config")["initErrors"]


def test_wait_for_that_is_no_expression_is_an_error(kube: KubernetesProject) -> None:
    kube.write(WAITED, wait_for="phase=Ready", seconds="2")
    assert "must start with jsonpath= or condition=" in kube.project.up(fails=True)


def test_token_secret_is_filled_in_when_created_and_its_data_is_secret(kube: KubernetesProject) -> None:
    kube.write("""
account = k8s.core.v1.ServiceAccount("account", metadata={"name": "robot", "namespace": values["namespace"]},
    opts=options)
token = k8s.core.v1.Secret("token", type="kubernetes.io/service-account-token",
    metadata={"name": "robot-token", "namespace": values["namespace"],
              "annotations": {"kubernetes.io/service-account.name": account.metadata.name}}, opts=options)
pulumi.export("keys", token.data.apply(sorted))
pulumi.export("token", token.data["token"])
""")
    output = kube.project.up()
    assert kube.project.outputs()["keys"] == ["ca.crt", "namespace", "token"]
    token = kube.project.outputs()["token"]
    assert len(token) > 100
    assert token not in output + kube.project.export() + kube.project.run("stack", "output")
    assert kube.project.changes() == {}


def test_cancelled_wait_keeps_the_object(kube: KubernetesProject) -> None:
    kube.write(WAITED, wait_for="jsonpath={.data.phase}=Ready", seconds="100")
    path = kube.path("configmaps", "config")
    process = kube.project.start("up", "--yes", "--skip-preview")
    until(lambda: kube.plane.exists(path) or process.poll() is not None, "created")
    assert process.poll() is None
    process.send_signal(2)
    # Sooner than the wait itself would have ended.
    output = process.communicate(timeout=60)[0]
    assert "waiting was cancelled" in output
    assert kube.project.state("config")["initErrors"]
