"""From settings to each cluster's Argo CD."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from stacks import mapping_argocd
from stacks.argocd_settings import ArgoCdSettings
from stacks.mapping_releases import adaptation
from stacks.settings import EnvironmentSettings
from tests.support.recording import CREDENTIAL, environment, loaded, record, start_engine

OIDC = {"issuer": "https://login.example.com", "clientId": "argocd", "url": "https://{cluster}.example.com/a"}
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nQ0E=\n-----END CERTIFICATE-----\n"


def with_argocd(**more: object) -> EnvironmentSettings:
    return environment({"east": {}, "west": {"distribution": "openshift"}}, argocd={"enabled": True, **more})


def config(settings: EnvironmentSettings, cluster: str = "east") -> dict[str, Any]:
    return dict(adaptation(settings, cluster, "argo-cd").config_maps)


def test_no_cluster_gets_one_unless_it_is_enabled() -> None:
    recorder, outputs = record(environment({"east": {}}))
    assert [urn for urn in recorder.registrations if "argo" in urn.lower()] == []
    assert "argo-cd" not in outputs.compute_clusters["east"].releases


def test_each_cluster_gets_one_and_the_outputs_name_its_version() -> None:
    recorder, outputs = record(with_argocd())
    for cluster in ("east", "west"):
        assert outputs.compute_clusters[cluster].releases["argo-cd"] == "v3.2.0"
        assert recorder.named(f"{cluster}-argo-cd-apply")
    # This program applies everything itself: there is nothing that Argo CD would need a right for.
    roles = recorder.of_type("kubernetes:rbac.authorization.k8s.io/v1:ClusterRole")
    assert [one.name for one in roles if "argocd" in one.name] == []


def test_with_high_availability_it_is_the_other_manifest_of_the_same_installation() -> None:
    # Two URNs or units would be one installed and one removed after it, with all that both have.
    plain, _ = record(with_argocd())
    available, outputs = record(with_argocd(highAvailability=True))
    assert "argo-cd-ha" in outputs.compute_clusters["east"].releases
    assert plain.registrations.keys() == available.registrations.keys()
    before, after = (one.named("east-argo-cd-apply").inputs["environment"] for one in (plain, available))
    assert (before["UNIT_NAME"], after["UNIT_NAME"]) == ("argo-cd", "argo-cd")
    assert before["UNIT_SHA256"] != after["UNIT_SHA256"]


def test_it_never_runs_without_its_guard_nor_with_its_open_project() -> None:
    recorder, _ = record(with_argocd())
    guard = recorder.named("east-argocd-guard-binding").urn
    release = recorder.named("east-argo-cd-apply").urn
    projects = recorder.named("east-argocd-projects-apply")
    assert guard in recorder.reaches(release)
    assert release in recorder.reaches(projects.urn)
    (default,) = yaml.safe_load_all(projects.inputs["stdin"])
    assert (default["metadata"]["name"], default["spec"]["destinations"]) == ("default", [])


def test_its_own_manifest_depends_on_settings_and_cluster() -> None:
    settings = with_argocd(syncIntervalSeconds=30, oidc=OIDC)
    assert config(settings)["argocd-cm"]["timeout.reconciliation"] == "30s"
    assert config(settings)["argocd-cm"]["url"] == "https://east.example.com/a"
    assert config(settings, "west")["argocd-cm"]["url"] == "https://west.example.com/a"
    assert not adaptation(settings, "east", "argo-cd").assigned_users
    assert adaptation(settings, "west", "argo-cd").assigned_users
    assert not set(config(settings)) & set(adaptation(settings, "east", "tekton-pipelines").config_maps)


def test_nobody_signs_in_without_a_provider() -> None:
    assert {"url", "oidc.config"}.isdisjoint(config(with_argocd())["argocd-cm"])


@pytest.mark.parametrize("secret", [None, {"secret": "oidcSecret"}])
def test_the_providers_password_stands_in_a_secret_alone(secret: dict[str, str] | None) -> None:
    settings = with_argocd(oidc=OIDC | ({"clientSecret": secret} if secret else {}))
    oidc = yaml.safe_load(config(settings)["argocd-cm"]["oidc.config"])
    recorder, _ = record(settings)
    found = [one for one in recorder.registrations.values() if one.name == "east-argocd-oidc"]
    if secret is None:
        assert oidc["enablePKCEAuthentication"] is True
        assert found == []
    else:
        assert oidc["clientSecret"] == "$argocd-oidc:clientSecret"
        assert found[0].inputs["stringData"] == {"clientSecret": CREDENTIAL}
        assert "stringData" in found[0].secret_inputs


def test_groups_get_their_role_whatever_their_names_hold() -> None:
    settings = ArgoCdSettings.model_validate(
        {"admins": {"groups": ["z", 'a, "b"', "z"]}, "viewers": {"groups": ["v"]}}
    )
    assert mapping_argocd.policy(settings) == ('g,"a, ""b""",role:admin\ng,z,role:admin\ng,v,role:readonly\n')
    assert mapping_argocd.policy(ArgoCdSettings()) == ""


def test_it_follows_its_clusters_folder_where_it_delivers_something() -> None:
    settings = environment(
        {"east": {}},
        argocd={"enabled": True},
        gitops={
            "repository": "https://git.example.com:8443/sre/clusters",
            "credentials": {"secret": "gitToken"},
            "certificateAuthority": CERTIFICATE,
        },
    )
    assert config(settings)["argocd-tls-certs-cm"] == {"git.example.com": CERTIFICATE}
    start_engine()
    provider: Any = None
    args = mapping_argocd.argocd(loaded(settings), "east", provider, content=[], after=())
    assert args is not None
    assert args.source is not None
    assert args.source.path == "clusters/east"
    assert CREDENTIAL not in repr(args)
    nothing = mapping_argocd.argocd(loaded(settings), "east", provider, content=None, after=())
    assert nothing is not None
    assert nothing.source is None
