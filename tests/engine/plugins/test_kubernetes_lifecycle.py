"""The life of objects: preview, create, update, replace, delete, refresh, import."""

from __future__ import annotations

import base64
import threading
import time
from typing import TYPE_CHECKING

from tests.support.on_demand import STAND_INS
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.engine.plugins.conftest import KubernetesProject

pytestmark = STAND_INS

CONFIG_MAP = """
config = k8s.core.v1.ConfigMap(
    "config",
    metadata={"name": "config", "namespace": values["namespace"],
              "labels": values.get("labels", {"a": "1"}), "annotations": values.get("annotations", {})},
    data=values.get("data", {"key": "one"}),
    opts=pulumi.ResourceOptions(provider=cluster, ignore_changes=values.get("ignore", [])),
)
"""


def test_preview_keeps_unknowns_and_secrets_and_changes_nothing(kube: KubernetesProject) -> None:
    kube.write("""
account = k8s.core.v1.ServiceAccount("account", metadata={"namespace": values["namespace"]}, opts=options)
dependent = k8s.core.v1.ConfigMap("dependent",
    metadata={"name": "dependent", "namespace": values["namespace"]},
    data={"uid": account.metadata.uid, "fixed": "known", "hidden": pulumi.Output.secret("swordfish-1")},
    opts=options)
""")
    steps = kube.project.preview()
    assert {name: step["op"] for name, step in steps.items() if name in ("account", "dependent")} == {
        "account": "create",
        "dependent": "create",
    }
    data = steps["dependent"]["newState"]["inputs"]["data"]
    assert data["fixed"] == "known"
    assert data["uid"] == "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    assert data["hidden"] == "[secret]"
    assert not kube.plane.exists(kube.path("configmaps", "dependent"))
    names = [item["metadata"]["name"] for item in kube.plane.get(kube.path("serviceaccounts"))["items"]]
    assert not [name for name in names if name.startswith("account-")]


def test_preview_right_after_up_shows_no_change(kube: KubernetesProject) -> None:
    # Each of these is written in a form that the API server returns differently.
    kube.write("""
where = {"namespace": values["namespace"]}
k8s.core.v1.Secret("secret", metadata={"name": "secret", **where}, string_data={"password": "swordfish-2"},
    opts=options)
k8s.core.v1.ResourceQuota("quota", metadata={"name": "quota", **where},
    spec={"hard": {"cpu": "1000m", "pods": "4"}}, opts=options)
k8s.apps.v1.Deployment("deployment", metadata={"name": "deployment", "labels": {}, **where}, spec={
    "replicas": 0, "selector": {"matchLabels": {"app": "a"}},
    "template": {"metadata": {"labels": {"app": "a"}}, "spec": {
        "hostNetwork": False, "volumes": [{"name": "v", "emptyDir": {}}], "containers": [
            {"name": "c", "image": "busybox", "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}}}]}}},
    opts=options)
k8s.core.v1.Service("service", metadata={"name": "service", **where}, spec={"ports": [{"port": 80}]},
    opts=options)
k8s.core.v1.ServiceAccount("autonamed", metadata=where, opts=options)
k8s.rbac.v1.ClusterRole("role", metadata={"name": values["namespace"]}, rules=[
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}], opts=options)
""")
    kube.project.up()
    assert kube.project.changes() == {}
    kube.project.run("refresh", "--yes", "--skip-preview")
    assert kube.project.changes() == {}
    kube.project.destroy()


def test_state_has_id_inputs_and_field_manager_as_the_official_plugin_keeps_them(
    kube: KubernetesProject,
) -> None:
    kube.write(CONFIG_MAP)
    kube.project.up()
    state = kube.project.state("config")
    assert state["id"] == f"{kube.namespace}/config"
    assert state["outputs"]["__inputs"]["data"] == {"key": "one"}
    assert state["outputs"]["__initialApiVersion"] == "v1"
    assert state["outputs"]["__fieldManager"].startswith("pulumi-kubernetes-")
    assert (
        state["outputs"]["metadata"]["uid"]
        == kube.plane.get(kube.path("configmaps", "config"))["metadata"]["uid"]
    )


def test_update_is_server_side_apply_and_leaves_fields_of_others_alone(kube: KubernetesProject) -> None:
    kube.write(CONFIG_MAP, labels={"a": "1", "b": "1"})
    kube.project.up()
    path = kube.path("configmaps", "config")
    kube.plane.patch(path, {"metadata": {"labels": {"theirs": "yes"}}})
    kube.set(labels={"a": "2"})
    assert kube.project.changes() == {"config": "update"}
    kube.project.up()
    live = kube.plane.get(path)
    assert live["metadata"]["labels"] == {"a": "2", "theirs": "yes"}  # b is gone: it was applied here
    manager = kube.project.state("config")["outputs"]["__fieldManager"]
    applied = [item for item in live["metadata"]["managedFields"] if item["operation"] == "Apply"]
    assert [item["manager"] for item in applied] == [manager]


def test_field_conflict_names_field_and_manager_and_can_be_forced(kube: KubernetesProject) -> None:
    kube.write(CONFIG_MAP)
    kube.project.up()
    kube.set(labels={"a": "2"})
    kube.project.up()  # from now on applied, so that another owner is a conflict
    path = kube.path("configmaps", "config")
    status, answer = kube.plane.request(
        "PATCH",
        f"{path}?fieldManager=somebody&force=true",
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"labels": {"a": "theirs"}}},
        "application/apply-patch+yaml",
    )
    assert status == 200, answer
    kube.set(labels={"a": "3"})
    error = kube.project.up(fails=True)
    assert ".metadata.labels.a" in error
    assert "somebody" in error
    assert kube.plane.get(path)["metadata"]["labels"] == {"a": "theirs"}
    kube.set(labels={"a": "3"}, annotations={"pulumi.com/patchForce": "true"})
    kube.project.up()
    assert kube.plane.get(path)["metadata"]["labels"] == {"a": "3"}


def test_ignored_fields_stay_as_their_other_owner_set_them(kube: KubernetesProject) -> None:
    kube.write(CONFIG_MAP, provider={"enable_config_map_mutable": True})
    kube.project.up()
    path = kube.path("configmaps", "config")
    kube.plane.patch(path, {"data": {"key": "theirs"}})
    kube.set(
        provider={"enable_config_map_mutable": True}, ignore=["data"], labels={"a": "2"}, data={"key": "two"}
    )
    kube.project.up()
    live = kube.plane.get(path)
    assert live["data"] == {"key": "theirs"}
    assert live["metadata"]["labels"] == {"a": "2"}


def test_immutable_field_replaces_and_deletes_first_under_a_fixed_name(kube: KubernetesProject) -> None:
    kube.write(
        """
k8s.rbac.v1.RoleBinding("binding", metadata={"name": "binding", "namespace": values["namespace"]},
    role_ref={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": values["role"]},
    subjects=[{"kind": "User", "name": "alice", "apiGroup": "rbac.authorization.k8s.io"}], opts=options)
""",
        role="view",
    )
    kube.project.up()
    path = kube.path("rolebindings", "binding", "/apis/rbac.authorization.k8s.io/v1")
    before = kube.plane.get(path)
    kube.set(role="edit")
    step = kube.project.preview()["binding"]
    assert step["detailedDiff"] == {"roleRef.name": {"kind": "update-replace", "inputDiff": False}}
    kube.project.up()
    after = kube.plane.get(path)
    assert after["roleRef"]["name"] == "edit"
    assert after["metadata"]["uid"] != before["metadata"]["uid"]


def test_changed_config_map_is_replaced_unless_the_provider_says_it_is_mutable(
    kube: KubernetesProject,
) -> None:
    kube.write(CONFIG_MAP)
    kube.project.up()
    path = kube.path("configmaps", "config")
    before = kube.plane.get(path)["metadata"]["uid"]
    kube.set(data={"key": "two"}, provider={"enable_config_map_mutable": True})
    kube.project.up()
    assert kube.plane.get(path)["data"] == {"key": "two"}
    assert kube.plane.get(path)["metadata"]["uid"] == before
    kube.set(data={"key": "three"})
    kube.project.up()
    assert kube.plane.get(path)["data"] == {"key": "three"}
    assert kube.plane.get(path)["metadata"]["uid"] != before


def test_new_name_replaces_and_creates_before_it_deletes(kube: KubernetesProject) -> None:
    kube.write(
        """
k8s.core.v1.ServiceAccount("account", metadata={"name": values["name"], "namespace": values["namespace"]},
    opts=options)
""",
        name="first",
    )
    kube.project.up()
    kube.set(name="second")
    step = kube.project.preview()["account"]
    assert step["detailedDiff"]["metadata.name"]["kind"] == "update-replace"
    kube.project.up()
    assert kube.plane.exists(kube.path("serviceaccounts", "second"))
    assert not kube.plane.exists(kube.path("serviceaccounts", "first"))


def test_existing_object_is_an_error_that_names_it(kube: KubernetesProject) -> None:
    kube.plane.create(kube.path("configmaps"), {"metadata": {"name": "config"}, "data": {"key": "theirs"}})
    kube.write(CONFIG_MAP)
    error = kube.project.up(fails=True)
    assert f"v1/ConfigMap {kube.namespace}/config already exists" in error
    assert "import_" in error
    assert kube.plane.get(kube.path("configmaps", "config"))["data"] == {"key": "theirs"}


def test_delete_waits_until_finalizers_are_gone(kube: KubernetesProject) -> None:
    kube.write(CONFIG_MAP)
    kube.project.up()
    path = kube.path("configmaps", "config")
    kube.plane.patch(path, {"metadata": {"finalizers": ["example.com/hold"]}})
    released_at: list[float] = []

    def release() -> None:
        until(lambda: "deletionTimestamp" in kube.plane.get(path)["metadata"], "told to go")
        time.sleep(2)
        released_at.append(time.monotonic())
        kube.plane.patch(path, {"metadata": {"finalizers": []}})

    releaser = threading.Thread(target=release)
    releaser.start()
    kube.project.destroy()
    ended_at = time.monotonic()
    releaser.join()
    assert ended_at > released_at[0]
    assert not kube.plane.exists(path)


def test_delete_that_takes_too_long_names_the_finalizer_and_keeps_the_object_in_the_state(
    kube: KubernetesProject,
) -> None:
    kube.write(CONFIG_MAP, annotations={"pulumi.com/timeoutSeconds": "2"})
    kube.project.up()
    path = kube.path("configmaps", "config")
    kube.plane.patch(path, {"metadata": {"finalizers": ["example.com/hold"]}})
    error = kube.project.destroy(fails=True)
    assert "example.com/hold" in error
    assert "custom_timeouts" in error
    assert "config" in kube.project.names()
    kube.plane.patch(path, {"metadata": {"finalizers": []}})
    kube.project.destroy()  # it is gone by now: no error
    assert kube.project.names() == set()


def test_refresh_sees_drift_and_a_forcing_provider_heals_it(kube: KubernetesProject) -> None:
    # Whoever changed a field owns it, so healing is a conflict unless forced, with the official plugin, too.
    kube.write(CONFIG_MAP, provider={"enable_config_map_mutable": True, "enable_patch_force": True})
    kube.project.up()
    path = kube.path("configmaps", "config")
    kube.plane.patch(path, {"data": {"key": "drifted", "added": "by someone"}, "metadata": {"labels": None}})
    kube.project.run("refresh", "--yes", "--skip-preview")
    assert kube.project.state("config")["inputs"]["data"] == {"key": "drifted"}
    step = kube.project.preview()["config"]
    assert set(step["detailedDiff"]) == {"data.key", "metadata.labels"}
    kube.project.up()
    assert kube.plane.get(path)["data"]["key"] == "one"
    assert kube.plane.get(path)["metadata"]["labels"] == {"a": "1"}


def test_refresh_sees_that_an_object_is_gone_and_up_creates_it_anew(kube: KubernetesProject) -> None:
    kube.write(CONFIG_MAP)
    kube.project.up()
    path = kube.path("configmaps", "config")
    kube.plane.delete(path)
    kube.project.run("refresh", "--yes", "--skip-preview")
    assert kube.project.names() == set()
    kube.project.up()
    assert kube.plane.exists(path)


def test_update_of_an_object_that_someone_deleted_says_what_to_do(kube: KubernetesProject) -> None:
    kube.write(CONFIG_MAP)
    kube.project.up()
    kube.plane.delete(kube.path("configmaps", "config"))
    kube.set(labels={"a": "2"})
    error = kube.project.up(fails=True)
    assert "pulumi refresh" in error
    assert f"{kube.namespace}/config" in error


def test_import_option_adopts_an_object_without_touching_it(kube: KubernetesProject) -> None:
    made = kube.plane.create(
        kube.path("configmaps"),
        {"metadata": {"name": "config", "labels": {"a": "1"}}, "data": {"key": "one"}},
    )
    kube.write(CONFIG_MAP.replace("ignore_changes", 'import_=values.get("import"), ignore_changes'))
    kube.set(**{"import": f"{kube.namespace}/config"})
    kube.project.up()
    assert kube.project.state("config")["id"] == f"{kube.namespace}/config"
    live = kube.plane.get(kube.path("configmaps", "config"))
    assert live["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    kube.set()
    assert kube.project.changes() == {}


def test_import_command_adopts_an_object(kube: KubernetesProject) -> None:
    kube.plane.create(kube.path("configmaps"), {"metadata": {"name": "config"}, "data": {"key": "one"}})
    kube.write("")
    kube.project.up()
    kube.project.run(
        "import",
        "kubernetes:core/v1:ConfigMap",
        "config",
        f"{kube.namespace}/config",
        "--provider",
        f"cluster={kube.project.state('cluster')['urn']}",
        "--generate-code=false",
        "--yes",
        "--skip-preview",
        "--protect=false",
    )
    state = kube.project.state("config")
    assert state["inputs"]["data"] == {"key": "one"}
    assert "uid" not in state["inputs"]["metadata"]
    kube.project.destroy()
    assert not kube.plane.exists(kube.path("configmaps", "config"))


def test_custom_resource_of_a_definition_in_the_same_program(kube: KubernetesProject) -> None:
    group = f"{kube.namespace}.example.com"
    kube.write(
        """
group = values["namespace"] + ".example.com"
definition = k8s.apiextensions.v1.CustomResourceDefinition("definition",
    metadata={"name": f"widgets.{group}", "annotations": {"pulumi.com/waitFor": "condition=Established"}},
    spec={"group": group, "scope": "Namespaced",
          "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
          "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
              "type": "object", "x_kubernetes_preserve_unknown_fields": True}}}]}, opts=options)
widget = k8s.apiextensions.CustomResource("widget", api_version=f"{group}/v1", kind="Widget",
    metadata={"name": "widget", "namespace": values["namespace"]}, spec={"size": values["size"]},
    opts=pulumi.ResourceOptions(provider=cluster, depends_on=[definition]))
""",
        size=1,
    )
    assert kube.project.changes()["widget"] == "create"  # the kind does not exist yet, which is no error
    kube.project.up()
    path = kube.path("widgets", "widget", f"/apis/{group}/v1")
    assert kube.plane.get(path)["spec"] == {"size": 1}
    assert kube.project.changes() == {}
    kube.set(size=2)
    kube.project.up()
    assert kube.plane.get(path)["spec"] == {"size": 2}
    kube.project.destroy()
    assert not kube.plane.exists(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.{group}")


def test_object_in_a_namespace_of_the_same_program(kube: KubernetesProject) -> None:
    kube.write("""
namespace = k8s.core.v1.Namespace("namespace", metadata={"name": values["namespace"] + "-own"}, opts=options)
k8s.core.v1.ConfigMap("inside", metadata={"name": "inside", "namespace": namespace.metadata.name},
    data={"a": "b"}, opts=options)
""")
    assert set(kube.project.changes()) >= {"namespace", "inside"}
    kube.project.up()
    assert kube.plane.exists(f"/api/v1/namespaces/{kube.namespace}-own/configmaps/inside")
    kube.project.destroy()
    assert not kube.plane.exists(f"/api/v1/namespaces/{kube.namespace}-own")


def test_every_kind_that_is_not_supported_is_refused_by_name(kube: KubernetesProject) -> None:
    refused = {
        "kubernetes:helm.sh/v3:Release": 'k8s.helm.v3.Release("r", chart="c", opts=options)',
        "kubernetes:core/v1:ConfigMapPatch": (
            'k8s.core.v1.ConfigMapPatch("r", metadata={"name": "x"}, data={}, opts=options)'
        ),
        "kubernetes:core/v1:ConfigMapList": 'k8s.core.v1.ConfigMapList("r", items=[], opts=options)',
        "kubernetes:yaml/v2:ConfigGroup": 'k8s.yaml.v2.ConfigGroup("r", yaml="a: b", opts=options)',
        "kubernetes:helm.sh/v4:Chart": 'k8s.helm.v4.Chart("r", chart="c", opts=options)',
        "kubernetes:yaml:decode": (
            'k8s.yaml.ConfigGroup("r", yaml="a: b", opts=pulumi.ResourceOptions(providers=[cluster]))'
        ),
    }
    for name, program in refused.items():
        kube.write(program)
        error = kube.project.run("preview", fails=True)
        assert f"{name} " in error, error
        assert "not supported by the stand-in" in error


def test_secret_data_never_stands_in_plain(kube: KubernetesProject) -> None:
    password = "swordfish-3-and-more"
    kube.write(
        """
password = pulumi.Output.secret(values["password"])
k8s.core.v1.Secret("secret", metadata={"name": "secret", "namespace": values["namespace"]},
    string_data={"password": password, "other": "not-marked-" + values["password"]}, opts=options)
k8s.core.v1.ConfigMap("config", metadata={"name": "config", "namespace": values["namespace"]},
    data={"nested": password.apply(lambda text: f"password={text}")}, opts=options)
""",
        password=password,
        provider={"enable_secret_mutable": True},
    )
    shown = kube.project.run("up", "--yes", "--diff")
    kube.set(password=f"{password}-2", provider={"enable_secret_mutable": True})
    shown += kube.project.run("up", "--yes", "--diff")
    shown += kube.project.run("preview", "--json")
    shown += kube.project.export()
    assert password not in shown
    assert base64.b64encode(password.encode()).decode().rstrip("=")[:-2] not in shown
    secret = kube.plane.get(kube.path("secrets", "secret"))
    assert base64.b64decode(secret["data"]["password"]).decode() == f"{password}-2"
