"""How open operations are settled."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest

from operations.errors import OperationError
from operations.pending import INTERRUPTED, Action, decide, operations, settle

Json = dict[str, Any]
STACK = "urn:pulumi:dev::shop::pulumi:pulumi:Stack::shop-dev"
PROVIDER = "urn:pulumi:dev::shop::pulumi:providers:kubernetes::kcp"
NAMESPACE = "urn:pulumi:dev::shop::kubernetes:core/v1:Namespace::team"


def resource(**changes: Any) -> Json:  # noqa: ANN401 - the state's values are JSON
    inputs = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}
    return {
        "urn": NAMESPACE,
        "custom": True,
        "type": "kubernetes:core/v1:Namespace",
        "inputs": inputs,
        "provider": f"{PROVIDER}::1",
    } | changes


def checkpoint(*pending: Json, resources: tuple[Json, ...] = ()) -> Json:
    held = [
        {"urn": STACK, "custom": False, "type": "pulumi:pulumi:Stack"},
        {"urn": PROVIDER, "custom": True, "id": "1", "type": "pulumi:providers:kubernetes"},
        *resources,
    ]
    return {"version": 3, "deployment": {"resources": held, "pending_operations": list(pending)}}


def creating(**changes: Any) -> Json:  # noqa: ANN401
    return {"type": "creating", "resource": resource(**changes)}


def live(*managers: str, **metadata: str) -> Json:
    fields = [{"manager": manager} for manager in managers]
    return {"metadata": {"name": "team", "managedFields": fields} | metadata}


def never(_resource: Mapping[str, Any]) -> None:
    raise AssertionError("looked up without need")


def found(entry: Json | None) -> Any:  # noqa: ANN401
    return lambda _resource: entry


@pytest.mark.parametrize("kind", ["updating", "deleting", "reading", "importing"])
def test_what_the_next_update_does_again_is_cleared_without_a_look(kind: str) -> None:
    state = checkpoint({"type": kind, "resource": resource(id="team")}, resources=(resource(id="team"),))
    (decision,) = decide(state, never)
    assert decision.action is Action.CLEAR
    settled = settle(state, [decision])
    assert settled["deployment"]["resources"] == state["deployment"]["resources"]
    assert operations(settled) == []


@pytest.mark.parametrize("type_", ["command:local:Command", "pulumi:providers:kubernetes"])
def test_creates_that_can_be_done_again_are_cleared_without_a_look(type_: str) -> None:
    (decision,) = decide(checkpoint(creating(type=type_)), never)
    assert decision.action is Action.CLEAR


def test_a_create_whose_object_is_not_there_is_cleared() -> None:
    state = checkpoint(creating())
    decisions = decide(state, found(None))
    assert decisions[0].action is Action.CLEAR
    assert settle(state, decisions)["deployment"]["resources"] == state["deployment"]["resources"]


def test_a_create_whose_object_is_there_is_adopted_as_not_yet_ready() -> None:
    state = checkpoint(creating())
    before = deepcopy(state)
    decisions = decide(state, found(live("kcp", "pulumi-kubernetes-1a2b")))
    settled = settle(state, decisions)
    adopted = settled["deployment"]["resources"][-1]
    assert adopted["id"] == "team"
    assert adopted["initErrors"] == [INTERRUPTED]
    assert adopted["outputs"]["__fieldManager"] == "pulumi-kubernetes-1a2b"
    assert adopted["outputs"]["__inputs"] == adopted["inputs"] == resource()["inputs"]
    assert adopted["outputs"]["__initialApiVersion"] == "v1"
    assert operations(settled) == []
    assert state == before


def test_the_id_of_a_namespaced_object_names_its_real_namespace() -> None:
    (decision,) = decide(checkpoint(creating()), found(live("pulumi-kubernetes", namespace="default")))
    assert decision.id == "default/team"


def test_an_adopted_secret_brings_no_live_value_into_the_state() -> None:
    sealed = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:abc"}
    inputs = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "team"}, "stringData": sealed}
    state = checkpoint(creating(type="kubernetes:core/v1:Secret", inputs=inputs))
    entry = live("pulumi-kubernetes-1") | {"data": {"token": "cGxhaW4="}}
    settled = settle(state, decide(state, found(entry)))
    assert "cGxhaW4=" not in str(settled)
    assert settled["deployment"]["resources"][-1]["outputs"]["stringData"] == sealed


@pytest.mark.parametrize("managers", [(), ("kubectl-create",), ("not-pulumi-kubernetes",)])
def test_an_object_that_somebody_else_made_is_not_taken(managers: tuple[str, ...]) -> None:
    with pytest.raises(OperationError, match="team exists but Pulumi did not create it"):
        decide(checkpoint(creating()), found(live(*managers)))


def test_an_object_on_its_way_out_is_waited_for() -> None:
    entry = live("pulumi-kubernetes-1", deletionTimestamp="2025-01-01T00:00:00Z")
    with pytest.raises(OperationError, match="being deleted"):
        decide(checkpoint(creating()), found(entry))


@pytest.mark.parametrize(
    ("kind", "type_"), [("creating", "aws:s3:Bucket"), ("dreaming", "kubernetes:core/v1:Pod")]
)
def test_what_is_not_known_is_not_guessed(kind: str, type_: str) -> None:
    with pytest.raises(OperationError, match="team: "):
        decide(checkpoint({"type": kind, "resource": resource(type=type_)}), never)


def test_a_replacement_that_deleted_first_takes_its_predecessors_place() -> None:
    old = resource(id="team", pendingReplacement=True)
    later = resource(urn=NAMESPACE + "-child", dependencies=[NAMESPACE])
    state = checkpoint(creating(), resources=(old, later))
    settled = settle(state, decide(state, found(live("pulumi-kubernetes-1"))))
    urns = [entry["urn"] for entry in settled["deployment"]["resources"]]
    assert urns == [STACK, PROVIDER, NAMESPACE, NAMESPACE + "-child"]
    assert "pendingReplacement" not in settled["deployment"]["resources"][2]


def test_a_replacement_that_created_first_leaves_its_predecessor_to_be_deleted() -> None:
    old = resource(id="old-team")
    state = checkpoint(creating(), resources=(old,))
    settled = settle(state, decide(state, found(live("pulumi-kubernetes-1"))))
    entries = [(entry["id"], entry.get("delete", False)) for entry in settled["deployment"]["resources"][2:]]
    assert entries == [("team", False), ("old-team", True)]


def test_an_object_that_the_state_holds_is_not_doubled() -> None:
    state = checkpoint(creating(), resources=(resource(id="team"),))
    decisions = decide(state, found(live("pulumi-kubernetes-1")))
    assert decisions[0].action is Action.CLEAR
    assert settle(state, decisions)["deployment"]["resources"] == state["deployment"]["resources"]


def test_a_state_without_open_operations_needs_no_decision() -> None:
    assert decide(checkpoint(), never) == []
    assert operations({"deployment": {}}) == []
