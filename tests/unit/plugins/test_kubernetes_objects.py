from __future__ import annotations

from typing import Any

import pytest

from local.plugins.kubernetes.changes import changes, same_quantity
from local.plugins.kubernetes.kinds import force_new, kind_from_type, refuse_unsupported, resource_type
from local.plugins.kubernetes.managed_fields import owners, taken_over
from local.plugins.kubernetes.objects import (
    Kind,
    checkpoint,
    normalise,
    observed_inputs,
    parse_checkpoint,
    parse_id,
    resource_id,
    timeout_seconds,
    to_object,
    wait_expressions,
)
from local.plugins.kubernetes.settings import Settings
from local.plugins.protocol.differences import Change
from local.plugins.protocol.errors import ProviderError, UnsupportedError
from local.plugins.protocol.values import UNKNOWN, Secret, has_secret, secret_strings

CONFIG_MAP: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "config", "namespace": "team-a"},
    "data": {"a": "1"},
}


def test_checkpoint_can_be_taken_apart_again() -> None:
    live = {
        **CONFIG_MAP,
        "metadata": {**CONFIG_MAP["metadata"], "uid": "u", "managedFields": [{"manager": "m"}]},
    }
    state = checkpoint(CONFIG_MAP, live, {}, initial_api_version="v1", field_manager="m")
    inputs, seen = parse_checkpoint(state)
    assert inputs == CONFIG_MAP
    assert seen["metadata"]["uid"] == "u"
    assert "managedFields" not in seen["metadata"]
    assert state["__fieldManager"] == "m"


def test_secret_inputs_are_secret_in_state_and_in_what_the_server_made_of_them() -> None:
    given = {
        "kind": "ConfigMap",
        "data": {"open": "x", "hidden": Secret("swordfish")},
        "list": ["a", Secret("swordfish")],
    }
    live = {"kind": "ConfigMap", "data": {"open": "x", "hidden": "swordfish"}, "list": ["swordfish", "a"]}
    state = checkpoint(live, live, given, initial_api_version="v1", field_manager="m")
    for part in (state, state["__inputs"]):
        assert part["data"] == {"open": "x", "hidden": Secret("swordfish")}
        assert part["list"] == Secret(["swordfish", "a"])


def test_data_of_a_secret_is_always_secret() -> None:
    live = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": '{"data":"c2Vj"}'}},
        "data": {"token": "c2Vj"},
    }
    state = checkpoint(live, live, {}, initial_api_version="v1", field_manager="m")
    assert state["data"] == Secret({"token": "c2Vj"})
    assert state["__inputs"]["data"] == Secret({"token": "c2Vj"})
    assert has_secret(state["metadata"])
    assert "c2Vj" in secret_strings(state)


def test_string_data_is_compared_as_the_server_stores_it() -> None:
    inputs = {
        "apiVersion": "v1",
        "kind": "Secret",
        "stringData": {"a": "text", "b": UNKNOWN},
        "data": {"a": "b2xk"},
    }
    assert normalise(inputs)["data"] == {"a": "dGV4dA==", "b": UNKNOWN}
    assert "stringData" not in normalise(inputs)
    assert "stringData" in inputs  # not changed in place


def test_metadata_of_the_server_is_no_input() -> None:
    metadata: dict[str, Any] = {
        "name": "a",
        "uid": "u",
        "resourceVersion": "1",
        "labels": {},
        "annotations": None,
    }
    assert normalise({"metadata": metadata})["metadata"] == {"name": "a"}


@pytest.mark.parametrize(
    ("live", "inputs", "expected"),
    [
        ({"a": 1, "server": 2}, {"a": 5}, {"a": 1}),
        ({}, {"a": 5}, {}),
        (
            {},
            {"a": False, "b": {}, "c": [], "d": "", "e": 0},
            {"a": False, "b": {}, "c": [], "d": "", "e": 0},
        ),
        ({}, {"a": UNKNOWN}, {}),
        ({"a": [{"b": 1, "s": 2}, {"extra": 1}]}, {"a": [{"b": 9}]}, {"a": [{"b": 1}]}),
        ({"a": []}, {"a": [{"b": 9}]}, {"a": []}),
        ({"a": "text"}, {"a": {"b": 1}}, {"a": "text"}),
    ],
)
def test_live_values_are_seen_in_the_shape_of_the_inputs(
    live: dict[str, Any], inputs: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert observed_inputs(live, inputs) == expected


def test_schema_fields_are_spelt_as_kubernetes_and_as_the_sdk_do() -> None:
    given = {"spec": {"schema": {"x_kubernetes_preserve_unknown_fields": True}}}
    assert to_object(given) == {"spec": {"schema": {"x-kubernetes-preserve-unknown-fields": True}}}
    state = checkpoint(to_object(given), to_object(given), given, initial_api_version="", field_manager="")
    assert state["spec"] == given["spec"]


@pytest.mark.parametrize(
    ("identifier", "parts"), [("team-a/config", ("team-a", "config")), ("role", ("", "role"))]
)
def test_ids_name_namespace_and_name(identifier: str, parts: tuple[str, str]) -> None:
    assert parse_id(identifier) == parts
    assert resource_id({"metadata": {"namespace": parts[0], "name": parts[1]}}) == identifier


def test_custom_timeout_goes_before_annotation_and_default() -> None:
    annotated = {"metadata": {"annotations": {"pulumi.com/timeoutSeconds": "20"}}}
    assert timeout_seconds(annotated, 5, 600) == 5
    assert timeout_seconds(annotated, 0, 600) == 20
    assert timeout_seconds({}, 0, 600) == 600


def test_wait_expressions_are_one_or_a_list() -> None:
    def annotated(text: str) -> dict[str, Any]:
        return {"metadata": {"annotations": {"pulumi.com/waitFor": text}}}

    assert wait_expressions(annotated("condition=Ready")) == ["condition=Ready"]
    assert wait_expressions(annotated('["condition=A", "jsonpath={.b}"]')) == ["condition=A", "jsonpath={.b}"]
    assert wait_expressions({}) == []


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        ("kubernetes:core/v1:Namespace", Kind("v1", "Namespace")),
        ("kubernetes:apps/v1:Deployment", Kind("apps/v1", "Deployment")),
        ("kubernetes:tenancy.kcp.io/v1alpha1:Workspace", Kind("tenancy.kcp.io/v1alpha1", "Workspace")),
    ],
)
def test_types_name_kinds(token: str, kind: Kind) -> None:
    assert kind_from_type(token) == kind
    assert kind.group == ("" if "/" not in kind.api_version else kind.api_version.split("/")[0])


def test_type_is_read_from_the_urn_of_a_child() -> None:
    urn = "urn:pulumi:dev::project::pipeline-service:syncer:Syncer$kubernetes:core/v1:Secret::a::with-colons"
    assert resource_type(urn) == "kubernetes:core/v1:Secret"


def test_foreign_types_are_no_kinds() -> None:
    with pytest.raises(ProviderError, match="aws:s3:Bucket"):
        kind_from_type("aws:s3:Bucket")


@pytest.mark.parametrize(
    ("token", "inputs"),
    [
        ("kubernetes:helm.sh/v3:Release", {}),
        ("kubernetes:helm.sh/v4:Chart", {}),
        ("kubernetes:kustomize:Directory", {}),
        ("kubernetes:yaml/v2:ConfigGroup", {}),
        ("kubernetes:core/v1:ConfigMapList", {}),
        ("kubernetes:networking.k8s.io/v1:IngressList", {}),
        ("kubernetes:apps/v1:DeploymentPatch", {}),
        ("kubernetes:example.com/v1:WidgetPatch", {"kind": "Widget"}),
    ],
)
def test_what_is_no_kind_is_refused_by_name(token: str, inputs: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match=token.replace("/", "/")):
        refuse_unsupported(token, inputs)


@pytest.mark.parametrize("token", ["kubernetes:example.com/v1:AllowList", "kubernetes:example.com/v1:Patch"])
def test_custom_kinds_may_be_called_lists_and_patches(token: str) -> None:
    refuse_unsupported(token, {"kind": token.rpartition(":")[2]})


@pytest.mark.parametrize(
    ("obj", "settings", "replaced"),
    [
        (CONFIG_MAP, Settings(), True),
        (CONFIG_MAP, Settings(config_map_mutable=True), False),
        ({**CONFIG_MAP, "immutable": True}, Settings(config_map_mutable=True), True),
        ({**CONFIG_MAP, "kind": "Secret"}, Settings(), True),
        ({**CONFIG_MAP, "kind": "Secret"}, Settings(secret_mutable=True), False),
        ({**CONFIG_MAP, "kind": "Other"}, Settings(), False),
    ],
)
def test_changed_data_replaces_as_the_official_plugin_has_it(
    obj: dict[str, Any], settings: Settings, *, replaced: bool
) -> None:
    assert (("data",) in force_new(obj, settings)) is replaced


def compare(new: dict[str, Any], live: dict[str, Any] | None = None, **options: Any) -> Any:  # noqa: ANN401
    arguments: dict[str, Any] = {"settings": Settings(config_map_mutable=True), "namespaced": True, **options}
    return changes(CONFIG_MAP, live or CONFIG_MAP, new, **arguments)


def test_unchanged_inputs_do_not_differ() -> None:
    assert compare(CONFIG_MAP).found == {}


def test_missing_namespace_means_default() -> None:
    live = {**CONFIG_MAP, "metadata": {"name": "config", "namespace": "default"}}
    new = {**CONFIG_MAP, "metadata": {"name": "config"}}
    assert changes(live, live, new, settings=Settings(), namespaced=True).found == {}


def test_namespace_of_a_kind_without_namespaces_does_not_differ() -> None:
    live = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
    new = {**live, "metadata": {"name": "n", "namespace": "ignored"}}
    assert changes(live, live, new, settings=Settings(), namespaced=False).found == {}


def test_drift_in_the_state_differs_although_the_inputs_do_not() -> None:
    result = compare(CONFIG_MAP, {**CONFIG_MAP, "data": {"a": "drifted"}})
    assert result.found == {("data", "a"): Change.UPDATE}


def test_ignored_paths_do_not_differ() -> None:
    assert compare({**CONFIG_MAP, "data": {"a": "2"}}, ignored=[("data",)]).found == {}


def test_unknown_value_differs_and_may_replace() -> None:
    result = compare({**CONFIG_MAP, "data": {"a": UNKNOWN}}, settings=Settings())
    assert result.found == {("data", "a"): Change.UPDATE}
    assert result.replacing == [("data", "a")]


@pytest.mark.parametrize(
    ("metadata", "delete_first"),
    [
        ({"name": "config", "namespace": "team-a"}, True),
        ({"name": "config", "namespace": "team-b"}, False),
        ({"name": "other", "namespace": "team-a"}, False),
        ({"name": "config", "namespace": "team-a", "annotations": {"pulumi.com/autonamed": "true"}}, False),
    ],
)
def test_old_object_is_deleted_first_only_where_both_would_have_one_name(
    metadata: dict[str, Any], *, delete_first: bool
) -> None:
    result = compare({**CONFIG_MAP, "metadata": metadata, "data": {"a": "2"}}, settings=Settings())
    assert result.replacing
    assert result.delete_first is delete_first


def test_change_above_a_fixed_field_replaces_only_where_it_holds_the_field() -> None:
    base = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"}}
    for spec, replaces in (({"replicas": 1}, False), ({"selector": {"matchLabels": {"a": "b"}}}, True)):
        result = changes(base, base, {**base, "spec": spec}, settings=Settings(), namespaced=True)
        assert bool(result.replacing) is replaces


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("1", "1000m", True),
        ("1Gi", "1024Mi", True),
        ("500m", 0.5, True),
        ("1", 1, True),
        ("1k", "1000", True),
        ("1e3", "1k", True),
        ("2E", "2000P", True),
        ("1", "1001m", False),
        ("1G", "1Gi", False),
        ("one", "one ", False),
        (True, "1", False),
    ],
)
def test_equal_quantities_do_not_differ(old: Any, new: Any, *, same: bool) -> None:  # noqa: ANN401
    assert same_quantity(("spec", "hard", "cpu"), old, new) is same
    assert same_quantity(("data", "cpu"), old, new) is False  # only where Kubernetes has quantities


FIELDS: list[dict[str, Any]] = [
    {"manager": "pulumi-kubernetes", "operation": "Update", "fieldsV1": {"f:data": {"f:a": {}}}},
    {
        "manager": "pulumi-kubernetes",
        "operation": "Update",
        "subresource": "status",
        "fieldsV1": {"f:status": {}},
    },
    {"manager": "controller", "operation": "Update", "fieldsV1": {"f:spec": {"f:x": {}}}},
]


def test_first_update_takes_over_what_the_creation_owns_and_nothing_else() -> None:
    taken = taken_over({"metadata": {"managedFields": FIELDS}}, "mine")
    assert taken is not None
    assert taken[:2] == FIELDS[1:]
    assert taken[2] == {"manager": "mine", "operation": "Apply", "fieldsV1": {"f:data": {"f:a": {}}}}
    assert taken_over({"metadata": {"managedFields": taken}}, "mine") is None


def test_new_field_manager_takes_over_from_its_predecessor() -> None:
    entries = [
        {"manager": "old", "operation": "Apply", "fieldsV1": {"f:data": {"f:a": {}}}},
        {"manager": "new", "operation": "Apply", "fieldsV1": {"f:data": {"f:b": {}}}},
    ]
    assert taken_over({"metadata": {"managedFields": entries}}, "new", {"old"}) == [
        {"manager": "new", "operation": "Apply", "fieldsV1": {"f:data": {"f:b": {}, "f:a": {}}}}
    ]


def test_owners_of_a_path_are_found() -> None:
    live = {"metadata": {"managedFields": FIELDS}}
    assert owners(live, ("spec",)) == {"controller"}
    assert owners(live, ("data", "a")) == {"pulumi-kubernetes"}
    assert owners(live, ("data", "b")) == set()
