"""What the GitOps repository gets is what the program registers: all of it, but for what stays with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from components.cluster_delivery import identities
from components.delivery import SYNC_OPTIONS, SYNC_WAVE
from components.haproxy_pods import SECRET_DIGEST
from components.pipelines_as_code import FINALIZERS
from components.tekton import CHAINS_FINALIZERS
from stacks.gateway_sources import GatewaySources
from stacks.rendering import RenderingError, cluster_content, own_objects, release_objects, render
from tests.support.recording import Recorder, environment, loaded, record
from units.deliver import read_delivery

if TYPE_CHECKING:
    from stacks.settings import EnvironmentSettings

DIGEST = "pipeline-service/kubeconfig-digest"
APP = {"id": 12, "privateKey": {"secret": "appKey"}, "webhookSecret": {"secret": "appHook"}}
IMAGES = {"imageRepository": {"pullSecret": {"secret": "pull"}, "allowedRegistries": ["ghcr.io"]}}
EVENTS = {
    "pipelinesAsCode": {"enabled": True, "githubApp": APP},
    "gateway": {
        "clusters": ["east"],
        "host": "events.example.com",
        "tls": {"secret": "gatewayCertificate"},
        "mutualTls": {"secret": "eventsTls"},
    },
}
"""The gateway on one cluster, Pipelines as Code on all."""


def settings(delivery: str = "direct", **more: object) -> EnvironmentSettings:
    return environment(
        {
            "east": {"delivery": delivery},
            "west": {
                "distribution": "openshift",
                "delivery": delivery,
                "events": {"host": "west.example.com", "exposure": "route"},
            },
            "other": {},
        },
        {
            "team-a": {"cluster": "east", "namespaces": ["default", "ci"]},
            "team-b": {"cluster": "east", "suspended": True, "onSuspension": "stop"},
            "team-c": {"cluster": "west", "external": {"path": "root:org:c", "binders": {"users": ["erin"]}}},
            "team-d": {"cluster": "other"},
        },
        argocd={"enabled": True},
        gitops={"repository": "https://git.example.com/sre/clusters"},
        **more,
    )


def on_cluster(recorder: Recorder, cluster: str) -> dict[str, dict[str, Any]]:
    """Give what is registered on a cluster, but for Argo CD's own, as the objects it makes."""
    found = {}
    for one in recorder.registrations.values():
        ours = one.type.startswith("kubernetes:") and "argocd" not in one.name
        if f"::cluster-{cluster}::" in one.provider and ours:
            made = {key: value for key, value in one.inputs.items() if value is not None}
            found[identities([made])] = made
    return found


def rendered(given: EnvironmentSettings, cluster: str) -> dict[str, dict[str, Any]]:
    """Give what is rendered of our own, as it is registered: without what speaks to Argo CD."""
    found = {}
    # Whoever renders knows no secret.
    unknowing = replace(loaded(given), gateway=GatewaySources(), github_app=None)
    for objects in own_objects(unknowing, cluster).values():
        for one in objects:
            plain = json.loads(json.dumps(one))
            plain["metadata"].get("annotations", {}).pop(SYNC_OPTIONS, None)
            if not plain["metadata"].get("annotations", True):
                del plain["metadata"]["annotations"]
            found[identities([plain])] = plain
    return found


@pytest.mark.parametrize("more", [{}, IMAGES, EVENTS], ids=["least", "images", "events"])
@pytest.mark.parametrize("cluster", ["east", "west"])
def test_what_is_rendered_is_what_direct_delivery_registers_but_for_what_stays(
    cluster: str, more: dict[str, Any]
) -> None:
    recorder, _ = record(settings(**more))
    direct = on_cluster(recorder, cluster)
    for one in direct.values():
        if one["kind"] == "Deployment":
            # The one follows from a token that only kcp knows: units/deliver.py writes it. The other from
            # certificates, and after new ones pods are restarted by hand.
            pods = one["spec"]["template"]["metadata"]
            assert [key for key in (DIGEST, SECRET_DIGEST) if pods["annotations"].pop(key, None)]
            if not pods["annotations"]:
                del pods["annotations"]
    recorder, _ = record(settings("gitops", **more))
    stays = on_cluster(recorder, cluster)
    ours = rendered(settings("gitops", **more), cluster)

    units = {"Subscription", "TektonConfig"}  # they are registered as units
    assert {key: one for key, one in ours.items() if one["kind"] not in units} == {
        key: one for key, one in direct.items() if key not in stays
    }
    of_parts = {
        "east": {("Secret", "gateway-tls"), ("Secret", "gateway-mutual-tls"), ("Secret", "github-webhook")}
        | {("Namespace", "pipeline-service-gateway")},
        "west": {("Secret", "events-listener-tls"), ("Namespace", "pipeline-service-events")},
    }
    expected = {("Secret", "pipeline-service-pull")} if more is IMAGES else set()
    if more is EVENTS:
        expected = of_parts[cluster] | {("Secret", "pipelines-as-code-secret")}
    assert {(one["kind"], one["metadata"]["name"]) for one in stays.values()} - expected == {
        ("Namespace", "pipeline-service"),
        ("Namespace", "pipeline-service-syncer"),
        ("Namespace", "pipeline-service-retention"),
        ("Secret", "kcp-kubeconfig"),
    }
    assert expected <= {(one["kind"], one["metadata"]["name"]) for one in stays.values()}


def test_gitops_registers_no_release_and_what_lies_in_kcp_as_before() -> None:
    before, _ = record(settings())
    after, _ = record(settings("gitops"))

    def names(recorder: Recorder) -> set[str]:
        """Name what lies in kcp, and the units of tenants."""
        return {
            one.name
            for one in recorder.registrations.values()
            if "::kcp-" in one.provider
            or (one.name.startswith("team-") and one.type == "command:local:Command")
        }

    assert names(before) == names(after)
    commands = {one.name for one in after.of_type("command:local:Command")}
    assert {name for name in commands if name.startswith(("east", "west")) and "-argo" not in name} == {
        "east-delivery",
        "west-delivery",
    }
    assert "other-tekton-pipelines-apply" in commands


def test_handover_registers_all_of_it_and_only_keeps_it() -> None:
    before, _ = record(settings(deletionProtection=True))
    after, _ = record(settings("handover", deletionProtection=True))

    def but_for_argo_cd(recorder: Recorder) -> set[str]:
        return {urn for urn in recorder.registrations if "argo" not in urn}

    assert but_for_argo_cd(before) == but_for_argo_cd(after)
    recorder, _ = record(settings("gitops"))
    stays = {one.urn for one in recorder.registrations.values()} - {
        one.urn for one in recorder.registrations.values() if one.name.endswith("-delivery")
    }
    held = [
        one
        for one in after.registrations.values()
        if one.urn not in stays
        and not one.type.startswith("pipeline-service")
        and not one.name.endswith("-delivery")
    ]
    assert held
    for one in held:
        assert one.ignore_changes == ("*",), one.urn
        assert not one.protect, one.urn
    applied = [one for one in held if not one.name.endswith("-ready")]
    assert {one.urn for one in applied if not one.retain_on_delete} == set()
    assert not [one for one in before.registrations.values() if one.retain_on_delete]


def test_the_change_back_comes_before_anything_on_the_cluster_and_the_handover_after_everything() -> None:
    direct, _ = record(settings())
    gate = direct.named("east-delivery").urn
    on_east = [one for one in direct.registrations.values() if "::cluster-east::" in one.provider]
    assert on_east
    assert {one.urn for one in on_east if gate not in direct.reaches(one.urn)} == set()

    handover, _ = record(settings("handover"))
    gate = handover.named("east-delivery").urn
    needed = handover.reaches(gate)
    on_east = [one for one in handover.registrations.values() if "::cluster-east::" in one.provider]
    assert {one.urn for one in on_east if one.urn not in needed} == set()


def test_a_refused_change_is_told_with_the_key_of_the_entry() -> None:
    recorder, _ = record(settings("gitops"))
    delivery = read_delivery(recorder.named("east-delivery").inputs["environment"])
    assert delivery.key == "computeClusters.east.delivery"
    assert delivery.wanted == "gitops"
    assert delivery.restart == "pipeline-service-syncer/api-syncagent"


@pytest.mark.parametrize("enabled", [True, False])
def test_what_chains_or_pipelines_as_code_hold_is_let_go_where_argo_cd_takes_them_away(
    *, enabled: bool
) -> None:
    chains = {"chains": {"enabled": enabled, "signingKey": {"secret": "signing-key"}}}
    given = environment(
        {"east": {"delivery": "gitops"}, "other": {}},
        argocd={"enabled": True},
        gitops={"repository": "https://git.example.com/sre/clusters"},
        tekton=chains,
        pipelinesAsCode={"enabled": not enabled},
    )
    recorder, _ = record(given)
    delivery = read_delivery(recorder.named("east-delivery").inputs["environment"])
    assert {
        one.deployment: (one.wanted, [(held.resource, held.finalizer) for held in one.let_go])
        for one in delivery.holders
    } == {
        deployment: (wanted, [(one["resource"], one["finalizer"]) for one in finalizers])
        for deployment, wanted, finalizers in (
            ("tekton-chains/tekton-chains-controller", enabled, CHAINS_FINALIZERS),
            ("pipelines-as-code/pipelines-as-code-watcher", not enabled, FINALIZERS),
        )
    }
    # Where this program applies it, its unit does that.
    assert "UNIT_HOLDERS" not in recorder.named("other-delivery").inputs["environment"]


@pytest.mark.parametrize(
    ("distribution", "of_the_app"),
    [("kubernetes", "pipelines-as-code"), ("openshift", "openshift-pipelines")],
)
def test_secrets_come_after_the_namespaces_that_argo_cd_would_make_later(
    distribution: str, of_the_app: str
) -> None:
    chains = {"chains": {"enabled": True, "signingKey": {"secret": "signing-key"}}}
    given = environment(
        {"east": {"delivery": "gitops", "distribution": distribution}},
        {"team-a": {"cluster": "east", "namespaces": ["default", "ci"]}},
        argocd={"enabled": True},
        gitops={"repository": "https://git.example.com/sre/clusters"},
        imageRepository={"pullSecret": {"secret": "pull"}},
        tekton=chains,
        pipelinesAsCode={"enabled": True, "githubApp": APP},
    )
    recorder, _ = record(given)
    places = recorder.named("east-places")
    assert "delete" not in {key for key, value in places.inputs.items() if value is not None}
    there = json.loads(places.inputs["environment"]["UNIT_PLACES"])
    secrets = [
        one
        for one in recorder.registrations.values()
        if one.type == "kubernetes:core/v1:Secret" and one.inputs["metadata"]["namespace"] in there
    ]
    assert {one.inputs["metadata"]["namespace"] for one in secrets} == set(there)
    assert of_the_app in there
    # All others lie in namespaces that are registered, or in Argo CD's, which its own release brings.
    registered = {one.inputs["metadata"]["name"] for one in recorder.of_type("kubernetes:core/v1:Namespace")}
    places_of_secrets = {
        one.inputs["metadata"]["namespace"]
        for one in recorder.of_type("kubernetes:core/v1:Secret")
        if "::cluster-east::" in one.provider
    }
    assert places_of_secrets <= registered | set(there) | {"argocd"}
    assert {one.urn for one in secrets if places.urn not in recorder.reaches(one.urn)} == set()


def test_without_secrets_in_them_argo_cd_makes_all_namespaces() -> None:
    for delivery in ("direct", "handover", "gitops"):
        recorder, _ = record(settings(delivery))
        assert not [one for one in recorder.registrations.values() if one.name.endswith("-places")]


def test_on_openshift_a_chains_is_the_operators() -> None:
    recorder, _ = record(settings("gitops"))
    assert "UNIT_HOLDERS" not in recorder.named("west-delivery").inputs["environment"]


def test_without_a_repository_nothing_watches_over_deliveries() -> None:
    recorder, _ = record(environment({"east": {}}))
    assert not [one for one in recorder.registrations.values() if "elivery" in one.urn]


def content(folder: Path) -> dict[str, Any]:
    given = loaded(settings("gitops"))
    for prepared in given.prepared["east"].values():
        path = folder / prepared.manifest
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}))
    return dict(cluster_content(given, "east", folder))


def test_definitions_and_namespaces_come_first_and_their_objects_last(tmp_path: Path) -> None:
    found = content(tmp_path)

    def waves(kind: str) -> set[str]:
        return {
            one["metadata"].get("annotations", {}).get(SYNC_WAVE, "0")
            for one in found.values()
            if one["kind"] == kind
        }

    assert waves("Namespace") == {"-3"}
    assert waves("PublishedResource") == {"1"}
    assert waves("Deployment") | waves("ClusterRole") | waves("NetworkPolicy") == {"0"}


def test_nothing_of_a_protected_tenant_is_pruned_and_a_retired_ones_is(tmp_path: Path) -> None:
    given = settings("gitops")
    assert given.deletion_protection
    found = content(tmp_path)
    kept = {path for path, one in found.items() if SYNC_OPTIONS in one["metadata"].get("annotations", {})}
    assert kept == {path for path in found if path.startswith("tenants/")}
    assert {found[path]["metadata"]["annotations"][SYNC_OPTIONS] for path in kept} == {
        "Prune=false,Delete=false"
    }
    assert len([path for path in kept if "/namespace." in path]) == 3
    retired = environment(
        {"east": {"delivery": "gitops", "homeOf": ["team-a"]}},
        {"team-a": {"cluster": "east", "retired": {"export": "0" * 64}}},
        argocd={"enabled": True},
        gitops={"repository": "https://git.example.com/sre/clusters"},
    )
    leaving = own_objects(loaded(retired), "east")["tenants/team-a"]
    assert leaving
    assert not [one for one in leaving if SYNC_OPTIONS in one["metadata"].get("annotations", {})]


def test_rendering_twice_gives_the_same_texts_and_no_secret(tmp_path: Path) -> None:
    first, second = render(content(tmp_path)), render(content(tmp_path))
    assert list(first.items()) == list(second.items())
    assert not [path for path in first if "/secret." in path]
    assert all(":" not in path for path in first)


def test_no_secret_of_a_release_is_rendered_and_one_with_content_refused(tmp_path: Path) -> None:
    given = loaded(settings("gitops"))
    empty = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "certs", "namespace": "tekton"}}
    for prepared in given.prepared["east"].values():
        path = tmp_path / prepared.manifest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(empty))
    assert not [one for one in content(tmp_path).values() if one["kind"] == "Secret"]
    path.write_text(json.dumps({**empty, "data": {"key": "c2VjcmV0"}}))
    release_objects.cache_clear()  # in earnest a file's name has its digest
    with pytest.raises(RenderingError, match="Secret certs with content") as caught:
        content(tmp_path)
    assert "c2VjcmV0" not in str(caught.value)


def test_two_objects_that_would_be_one_file_are_refused(tmp_path: Path) -> None:
    given = loaded(settings("gitops"))
    twins = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in ("a:b", "a_b")]
    for prepared in given.prepared["east"].values():
        path = tmp_path / prepared.manifest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{json.dumps(one)}\n" for one in twins))
    with pytest.raises(RenderingError, match=r"namespace\.a_b\.yaml; rename one"):
        content(tmp_path)


def test_argo_cd_follows_the_clusters_folder_from_the_handover_on_and_may_apply_what_stands_there() -> None:
    for delivery, follows in (("direct", False), ("handover", True), ("gitops", True)):
        recorder, _ = record(settings(delivery))
        applied = list(yaml.safe_load_all(recorder.named("east-argocd-projects-apply").inputs["stdin"]))
        paths = [one["spec"]["source"]["path"] for one in applied if one["kind"] == "Application"]
        assert paths == (["clusters/east"] if follows else []), delivery
        if follows:
            [project] = [
                one["spec"]
                for one in applied
                if one["kind"] == "AppProject" and one["metadata"]["name"] == "pipeline-service"
            ]
            allowed = {
                one["kind"]
                for key in ("clusterResourceWhitelist", "namespaceResourceWhitelist")
                for one in project[key]
            }
            assert "PublishedResource" in allowed
            assert not {"Secret", "*"} & allowed
            assert "Secret" in {one["kind"] for one in project["namespaceResourceBlacklist"]}
