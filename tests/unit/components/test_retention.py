"""Which finished runs are pruned, and by whom."""

from __future__ import annotations

import ast
import http.client
import inspect
import json
import sys
import urllib.error
from datetime import UTC, datetime, timedelta
from email.message import Message
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import retention_manifests as manifests
from components import retention_prune
from components.kcp_identity import kubeconfig
from components.retention_prune import Policy, Run, decide, policies_by_path, prune, read_run
from tests.support.recording import Recorder, environment, record

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def run(number: int, age: timedelta | None, workspace: str = "a") -> Run:
    return Run(
        base="https://kcp/east",
        workspace=workspace,
        namespace="default",
        name=f"run-{number}",
        uid=f"{workspace}-{number}",
        version="1",
        completed=None if age is None else NOW - age,
    )


ages = st.none() | st.timedeltas(min_value=timedelta(days=-2), max_value=timedelta(days=20))
fleets = st.lists(st.tuples(ages, st.sampled_from("abc")), max_size=40).map(
    lambda drawn: [run(number, age, workspace) for number, (age, workspace) in enumerate(drawn)]
)
policy = st.builds(
    Policy, tenant=st.just("t"), runs=st.integers(0, 12), days=st.integers(1, 15) | st.just(1_000_000)
)


@given(fleets, policy, policy)
def test_the_newest_within_their_days_are_kept_and_no_other_finished_run(
    runs: list[Run], first: Policy, second: Policy
) -> None:
    policies = {"a": first, "b": second}
    doomed = decide(runs, policies, NOW)
    assert all(one.completed is not None and one.workspace in policies for one in doomed)
    assert len({one.uid for one in doomed}) == len(doomed)
    for workspace, wanted in policies.items():
        finished = [one for one in runs if one.workspace == workspace and one.completed is not None]
        kept = [one.completed for one in finished if one not in doomed and one.completed]
        gone = [one.completed for one in finished if one in doomed and one.completed]
        young = [one for one in finished if one.completed and NOW - one.completed <= timedelta(wanted.days)]
        assert len(kept) == min(wanted.runs, len(young))
        assert not kept or not gone or max(gone) <= min(kept)


@given(fleets, policy)
def test_what_was_decided_once_leaves_nothing_to_decide(runs: list[Run], wanted: Policy) -> None:
    policies = {"a": wanted}
    doomed = decide(runs, policies, NOW)
    assert decide([one for one in runs if one not in doomed], policies, NOW) == []


@given(fleets, policy, st.integers(0, 40))
def test_a_pass_takes_the_oldest_of_each_workspace_in_turn(
    runs: list[Run], wanted: Policy, most: int
) -> None:
    doomed = decide(runs, dict.fromkeys("abc", wanted), NOW)
    chosen = doomed[:most]
    for workspace in "abc":
        due = [one for one in doomed if one.workspace == workspace]
        assert due == sorted(due, key=lambda one: one.end)
        taken = [one for one in chosen if one.workspace == workspace]
        # Nobody has less than another who has more to delete.
        assert len(taken) == len(due) or all(
            sum(one.workspace == other for one in chosen) <= len(taken) + 1 for other in "abc"
        )


def item(status: object, **metadata: str) -> dict[str, Any]:
    own = {"name": "x", "namespace": "default", "uid": "1", "resourceVersion": "2", **metadata}
    return {"metadata": {**own, "annotations": {"kcp.io/cluster": "a"}}, "status": status}


def status(verdict: str, time: object = "2026-04-01T10:00:00Z") -> dict[str, Any]:
    conditions = [{"type": "Other", "status": "True"}, {"type": "Succeeded", "status": verdict}]
    return {"conditions": conditions, "completionTime": time}


@pytest.mark.parametrize("verdict", ["True", "False"])
def test_a_run_that_succeeded_or_failed_is_finished(verdict: str) -> None:
    assert read_run(item(status(verdict)), "").completed == datetime(2026, 4, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "strange",
    [
        None,
        {},
        "text",
        ["list"],
        {"conditions": []},
        {"conditions": "text", "completionTime": "2026-04-01T10:00:00Z"},
        {"conditions": [{}], "completionTime": "2026-04-01T10:00:00Z"},
        status("Unknown"),
        status("True", None),
        status("True", 7),
        status("True", "yesterday"),
        status("True", "2026-04-01T10:00:00"),
        {"conditions": [{"type": "Succeeded", "status": "True"}]},
    ],
)
def test_a_run_whose_status_does_not_say_when_it_finished_is_kept_and_stops_nothing(strange: object) -> None:
    assert read_run(item(strange), "").completed is None


def test_a_run_that_is_being_deleted_is_not_deleted_again() -> None:
    assert read_run(item(status("True"), deletionTimestamp="2026-04-02T10:00:00Z"), "").completed is None


def test_the_script_stands_alone() -> None:
    script = manifests.ground("")["retention-script"]["data"]["prune.py"]
    assert script == inspect.getsource(retention_prune)
    for node in ast.walk(ast.parse(script)):
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names
    assert len(script) < 500_000  # a ConfigMap holds a mebibyte


class Policies(retention_prune.Kcp):
    """A kcp that lists ConfigMaps by their labels."""

    def __init__(self, *maps: dict[str, Any]) -> None:
        super().__init__(kubeconfig("https://kcp/clusters/root:compute", None, "retention", "dA=="))
        self.maps = maps

    def items(self, url: str, **query: str) -> Any:  # noqa: ANN401 -- an iterator, as the real one's
        assert url == f"{self.server}/api/v1/namespaces/default/configmaps"
        wanted = dict(pair.split("=") for pair in query["labelSelector"].split(","))
        return iter([one for one in self.maps if wanted.items() <= one["metadata"]["labels"].items()])


def test_the_script_reads_the_policies_of_its_own_cluster_as_the_program_writes_them() -> None:
    own = Policy(tenant="t", runs=5, days=7)
    kcp = Policies(
        manifests.policy_map("east", "root:t", own),
        manifests.policy_map("west", "root:u", Policy(tenant="u", runs=1, days=1)),
    )
    problems: list[str] = []
    assert policies_by_path(kcp, "east", problems) == {"root:t": own}
    assert problems == []


def finished(workspace: str, number: int) -> dict[str, Any]:
    made = item(status("True"), name=f"run-{number}", uid=f"{workspace}-{number}")
    made["metadata"]["annotations"] = {"kcp.io/cluster": workspace}
    return made


class Shards(retention_prune.Kcp):
    """A kcp of several shards, of which some answer otherwise than they should."""

    def __init__(
        self,
        policies: list[dict[str, Any]],
        shards: dict[str, list[dict[str, Any]] | Exception],
        refused: dict[str, Exception],
    ) -> None:
        super().__init__(kubeconfig("https://kcp/clusters/root:compute", None, "retention", "dA=="))
        self.policies, self.shards, self.refused = policies, shards, refused
        self.tried: list[str] = []

    def request(self, url: str, method: str = "GET", body: object = None) -> dict[str, Any]:
        if method == "GET":
            return {"status": {"endpoints": [{"url": f"https://{shard}/"} for shard in self.shards]}}
        workspace, name = url.split("/")[4], url.rpartition("/")[2]
        assert isinstance(body, dict)
        self.tried.append(f"{workspace}/{name}")
        if workspace in self.refused:
            raise self.refused[workspace]
        return {}

    def items(self, url: str, **_query: str) -> Any:  # noqa: ANN401 -- an iterator, as the real one's
        if url.endswith("/configmaps"):
            return iter(self.policies)
        found = self.shards[url.split("/")[2]]
        if isinstance(found, Exception):
            raise found
        if url.endswith("/logicalclusters"):
            names = sorted(
                {one["metadata"]["annotations"]["kcp.io/cluster"] for one in found if "spec" not in one}
            )
            return iter(
                {"metadata": {"annotations": {"kcp.io/cluster": name, "kcp.io/path": f"root:{name}"}}}
                for name in names
            )
        return iter(found)


def policy_of(name: str, **data: str) -> dict[str, Any]:
    made = manifests.policy_map("east", f"root:{name}", Policy(tenant=name, runs=0, days=1))
    return {**made, "data": {**made["data"], **data}}


def passed(kcp: Shards, **given: Any) -> list[str]:  # noqa: ANN401 -- whatever prune takes
    return prune(kcp, "east", **{"most": 100, "seconds": 60.0, "dry_run": False, "now": NOW, **given})


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.HTTPError("https://kcp", 500, "broken", Message(), None),
        TimeoutError("timed out"),
        http.client.IncompleteRead(b""),
        json.JSONDecodeError("no JSON", "<html>", 0),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_workspace_in_which_nothing_can_be_deleted_takes_nobodys_turn_and_fails_the_pass(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [finished("bad", number) for number in range(50)] + [
        finished("good", number) for number in range(8)
    ]
    kcp = Shards([policy_of("bad"), policy_of("good")], {"one": runs}, {"bad": error})
    problems = passed(kcp, most=20)
    assert sum(one.startswith("good/") for one in kcp.tried) == 8
    assert sum(one.startswith("bad/") for one in kcp.tried) == 3
    assert problems[-1] == "bad: 3 in a row failed; left to the next pass"
    assert all(problem.startswith("bad") for problem in problems)
    out = capsys.readouterr().out
    assert "tenant good: 8 runs, 8 finished, 8 deleted\n" in out
    assert "tenant bad: 50 runs, 50 finished, 0 deleted, 12 not\n" in out


def test_a_run_that_two_endpoints_list_counts_once(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [finished("a", number) for number in range(10)]
    kept = policy_of("a", runs="10", days="100")
    kcp = Shards([kept], {"one": runs, "same": runs}, {})
    assert passed(kcp) == []
    assert kcp.tried == []
    assert "tenant a: 10 runs, 10 finished, 0 deleted" in capsys.readouterr().out


def test_a_shard_without_answer_stops_no_other_and_fails_the_pass() -> None:
    kcp = Shards(
        [policy_of("a"), policy_of("b")],
        {"one": [finished("a", 1)], "two": TimeoutError("timed out"), "three": [finished("b", 1)]},
        {},
    )
    assert passed(kcp) == ["two: not looked at: timed out"]
    assert sorted(kcp.tried) == ["a/run-1", "b/run-1"]


def test_an_object_that_is_not_as_it_should_be_is_told_and_stops_no_other() -> None:
    odd: list[Any] = [
        {"spec": {}},
        {"spec": {}, "metadata": {"name": "no-workspace", "namespace": "n", "annotations": {}}},
        {"spec": {}, "metadata": None},
    ]
    kcp = Shards(
        [
            policy_of("a"),
            policy_of("b", runs="many"),
            policy_of("c", runs="-1"),
            policy_of("e", days="9999999999"),  # more than Python counts
            {"metadata": {"name": "d"}},
        ],
        {"one": [finished("a", 1), *odd, *(finished(name, 1) for name in "bce"), finished("a", 2)]},
        {},
    )
    problems = passed(kcp)
    assert sorted(kcp.tried) == ["a/run-1", "a/run-2"]
    assert [problem.partition(":")[0] for problem in problems] == [
        "ConfigMap default/retention-b",
        "ConfigMap default/retention-c",
        "ConfigMap default/retention-e",
        "ConfigMap d",
        "PipelineRun without a name",
        "PipelineRun n/no-workspace",
        "PipelineRun without a name",
    ]


def test_a_pass_that_takes_too_long_leaves_the_rest_to_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    kcp = Shards([policy_of("a")], {"one": [finished("a", number) for number in range(5)]}, {})
    assert passed(kcp, seconds=-1) == []
    assert kcp.tried == []
    assert capsys.readouterr().out == "tenant a: 5 runs, 5 finished, 0 deleted, 5 not\n"


def test_a_failed_pass_says_why_and_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig("https://kcp/clusters/root:compute", None, "retention", "dA=="))
    command = [f"--kubeconfig={path}", "--export=east"]
    kcp = Shards([policy_of("a")], {"one": [finished("a", 1)]}, {})
    monkeypatch.setattr(retention_prune, "Kcp", lambda _: kcp)
    assert retention_prune.main(command) == 0
    kcp.refused["a"] = TimeoutError("timed out")
    assert retention_prune.main(command) == 1
    assert capsys.readouterr().err == "error: a default/run-1: not deleted: timed out\n"
    monkeypatch.setattr(kcp, "policies", None)  # a list without items, as no server should give one
    assert retention_prune.main(command) == 1
    assert capsys.readouterr().err.startswith("error: kcp: ")


def test_the_identity_can_read_and_delete_what_its_own_export_holds_and_nothing_more() -> None:
    rights = manifests.kcp_rights("east")
    rules = rights["role"]["rules"]
    assert [(rule["resources"], rule["verbs"], rule["resourceNames"]) for rule in rules] == [
        (["apiexportendpointslices"], ["get"], ["east"]),
        (["apiexports/content"], ["get", "list", "delete"], ["east"]),
    ]
    assert [(rule["resources"], rule["verbs"]) for rule in rights["policies"]["rules"]] == [
        (["configmaps"], ["list"])
    ]


def test_the_pods_meet_the_restricted_pod_security_level_and_hold_no_credential_of_the_cluster() -> None:
    marked = manifests.ground("")["retention-namespace"]["metadata"]["labels"]
    assert marked["pod-security.kubernetes.io/enforce"] == "restricted"
    spec = manifests.job("east", manifests.RetentionPods(image="python:3", user=65532))["spec"][
        "jobTemplate"
    ]["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    [container] = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_passes_never_overlap() -> None:
    spec = manifests.job("east", manifests.RetentionPods(image="python:3", user=None))["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert (spec["schedule"], spec["jobTemplate"]["spec"]["activeDeadlineSeconds"]) == ("*/10 * * * *", 540)


def composed() -> Recorder:
    external = {"path": "root:far", "binders": {"users": ["erin"]}}
    tenants = {
        "team": {
            "cluster": "east",
            "retention": {"runs": 40, "days": 3},
            "quota": {"pipelineRuns": 50},
        },
        "far": {"cluster": "west", "external": external, "retention": {"runs": 40, "days": 4}},
    }
    recorder, _ = record(environment({"east": {}, "west": {"distribution": "openshift"}}, tenants))
    return recorder


def test_every_tenant_has_a_policy_by_its_path_an_external_one_as_well() -> None:
    recorder = composed()
    found = {
        name: recorder.named(f"{name}-retention", "kubernetes:core/v1:ConfigMap").inputs
        for name in ("team", "far")
    }
    # Of a stored-runs quota, half is kept free.
    assert found["team"]["data"] == {
        "workspace": "root:pipeline-service:tenants:team",
        "tenant": "team",
        "runs": "25",
        "days": "3",
    }
    assert found["far"]["data"] == {"workspace": "root:far", "tenant": "far", "runs": "40", "days": "4"}
    assert found["far"]["metadata"]["labels"]["pipeline-service/cluster"] == "west"


def test_retention_comes_after_the_syncer_of_its_cluster_and_so_goes_before_it() -> None:
    recorder = composed()
    reached = recorder.reaches(recorder.named("east-retention-job").urn)
    assert recorder.named("east-agent").urn in reached
    assert recorder.named("west-agent").urn not in reached
    assert recorder.named("east-retention-kcp-binding").urn in reached


def test_openshift_assigns_the_retentions_user_itself() -> None:
    recorder = composed()
    users = {}
    for name in ("east", "west"):
        job = recorder.named(f"{name}-retention-job").inputs["spec"]["jobTemplate"]
        users[name] = job["spec"]["template"]["spec"]["securityContext"].get("runAsUser")
    assert users == {"east": 65532, "west": None}
