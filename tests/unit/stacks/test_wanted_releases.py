"""Versions of releases by stack and pool, and canaries before the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stacks.loader import read_stack_file
from stacks.wanted_releases import wanted_releases
from tests.support.recording import environment, record

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.recording import Recorder

TEKTON = "tekton-pipelines"
POOLS = {"canary": {"canary": True, "releases": {TEKTON: "v1.9.0"}}}
CLUSTERS: dict[str, dict[str, Any]] = {"a": {}, "b": {}, "z": {"pool": "canary"}}
RELEASES = ("tekton-pipelines", "api-syncagent-crds")


def test_a_pools_version_goes_before_the_stacks_and_that_before_the_catalogs() -> None:
    def versions(pool: dict[str, Any], of_the_stack: dict[str, str]) -> dict[str, str]:
        settings = environment(CLUSTERS, pools={"canary": pool}, releases={"versions": of_the_stack})
        return {name: wanted[TEKTON] for name, wanted in wanted_releases(settings).items()}

    assert versions({}, {}) == {"a": "v1.6.0", "b": "v1.6.0", "z": "v1.6.0"}
    assert versions(POOLS["canary"], {}) == {"a": "v1.6.0", "b": "v1.6.0", "z": "v1.9.0"}
    back = {"releases": {TEKTON: "v1.6.0"}}
    assert versions(back, {TEKTON: "v1.9.0"}) == {"a": "v1.9.0", "b": "v1.9.0", "z": "v1.6.0"}


def test_a_pools_version_changes_the_units_of_its_clusters_alone() -> None:
    before, _ = record(environment(CLUSTERS, pools={"canary": {"canary": True}}))
    after, outputs = record(environment(CLUSTERS, pools=POOLS))
    changed = {one.name for urn, one in after.registrations.items() if before.registrations[urn] != one}
    assert changed - {"z"} == {"z-tekton-pipelines-apply", "z-tekton-pipelines-ready"}
    assert after.named("z-tekton-pipelines-apply").inputs["environment"]["UNIT_VERSION"] == "v1.9.0"
    versions = {name: cluster.releases[TEKTON] for name, cluster in outputs.compute_clusters.items()}
    assert versions == {"a": "v1.6.0", "b": "v1.6.0", "z": "v1.9.0"}


def needed(recorder: Recorder, cluster: str) -> set[str]:
    """The other clusters whose commands a cluster's releases wait for."""
    found = set()
    for release in RELEASES:
        for urn in recorder.reaches(recorder.named(f"{cluster}-{release}-apply").urn):
            name = urn.rpartition("::")[2]
            if name.endswith("-ready"):
                found.add(name.partition("-")[0])
    return found


def test_releases_of_all_others_wait_for_every_canary_and_canaries_for_nobody() -> None:
    clusters = {**CLUSTERS, "y": {"pool": "canary"}}
    recorder, _ = record(environment(clusters, pools=POOLS))
    for name in ("a", "b"):
        assert needed(recorder, name) == {"y", "z"}
        for release in RELEASES:
            reached = recorder.reaches(recorder.named(f"{name}-{release}-apply").urn)
            for canary in ("y", "z"):
                for part in ("tekton-pipelines-ready", "api-syncagent-crds-ready", "agent"):
                    assert recorder.named(f"{canary}-{part}").urn in reached
    for name in ("y", "z"):
        assert needed(recorder, name) == set()


def test_without_a_canary_no_cluster_waits_for_another() -> None:
    recorder, _ = record(environment(CLUSTERS, pools={"canary": {}}))
    assert [needed(recorder, name) for name in CLUSTERS] == [set(), set(), set()]


def test_openshift_clusters_wait_for_canaries_too_and_can_be_ones() -> None:
    openshift = {"distribution": "openshift"}
    recorder, _ = record(environment({"a": openshift, "z": {**openshift, "pool": "canary"}}, pools=POOLS))
    reached = recorder.reaches(recorder.named("a-openshift-pipelines-operator-rh-apply").urn)
    assert recorder.named("z-tekton-config-ready").urn in reached


def test_nothing_inputs_or_names_changes_where_a_pool_becomes_a_canary() -> None:
    before, _ = record(environment(CLUSTERS, pools={"canary": {}}))
    after, _ = record(environment(CLUSTERS, pools={"canary": {"canary": True}}))
    assert before.registrations.keys() == after.registrations.keys()
    for urn, one in after.registrations.items():
        assert one.inputs == before.registrations[urn].inputs


def test_only_what_the_entry_names_is_adopted() -> None:
    recorder, _ = record(environment({"a": {"adopt": [TEKTON]}, "b": {}}))
    adopting = [
        one.name
        for one in recorder.of_type("command:local:Command")
        if one.inputs["environment"].get("UNIT_ADOPT") == "true"
    ]
    assert adopting == ["a-tekton-pipelines-apply", "a-tekton-pipelines-ready"]


def test_the_settings_of_a_stack_file_reach_the_units(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.x.yaml"
    path.write_text("""config:
  pipeline-service:kcp: {kubeconfig: {environment: KCP_KUBECONFIG}}
  pipeline-service:computeClusters: {a: {kubeconfig: {environment: A_KUBECONFIG}}}
  pipeline-service:releases: {versions: {tekton-pipelines: v1.9.0}}
""")
    recorder, _ = record(read_stack_file(path))
    assert recorder.named("a-tekton-pipelines-apply").inputs["environment"]["UNIT_VERSION"] == "v1.9.0"
