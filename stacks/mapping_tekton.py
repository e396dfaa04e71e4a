"""From the settings of Tekton to what is changed in its releases.

Every key was read in Tekton Pipelines v1.6.0 and v1.9.0 (config/, pkg/apis/config, cmd/controller) and in
Chains v0.26.0 (pkg/config/config.go). They are written whatever they say, so that the defaults of
docs/tekton.md hold whichever version is installed.

Parameters mean what `stacks.mapping` says of them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from components.tekton_network import resolvers_policy
from releases.adaptation import Adaptation, DeploymentRules
from releases.catalog import TEKTON_CHAINS, TEKTON_PIPELINES
from releases.transform import RUN_SERVICE_ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stacks.tekton_settings import ResolversSettings, TektonControllerSettings, TektonSettings

_CONTROLLER: Final = "tekton-pipelines-controller"

_CLIENTS: Final = 2
"""Tekton's controller multiplies its flags for the API server by this (cmd/controller/main.go)."""


def adaptation(settings: TektonSettings, release: str) -> Adaptation:
    """Say what the settings change of one of Tekton's releases.

    Parameters
    ----------
    settings
        The settings.
    release
        Name of the release; what is none of Tekton's stays as it is.
    """
    if release == TEKTON_PIPELINES:
        return Adaptation(
            config_maps=config_maps(settings),
            deployments=_controller(settings.controller),
            objects=(resolvers_policy(blocked_networks(settings.resolvers)),),
        )
    if release == TEKTON_CHAINS:
        return Adaptation(config_maps={"chains-config": _chains(settings)})
    return Adaptation()


def config_maps(settings: TektonSettings) -> dict[str, dict[str, str]]:
    """Make what is set in the ConfigMaps of Tekton Pipelines.

    Returns
    -------
    dict
        Keys and values, by name of the ConfigMap.
    """
    features = settings.features
    return {
        "config-defaults": _defaults(settings),
        "feature-flags": {
            "enable-api-fields": features.api_fields.value,
            "coschedule": features.coschedule.value,
            "results-from": features.results_from.value,
            "max-result-size": str(features.max_result_size),
            "keep-pod-on-cancel": _flag(features.keep_pod_on_cancel),
            "set-security-context-read-only-root-filesystem": _flag(features.read_only_root_filesystem),
            "require-git-ssh-secret-known-hosts": _flag(features.require_known_hosts),
            # Events of all tenants would go to one place.
            "send-cloudevents-for-runs": "false",
        },
        "config-leader-election-controller": {"buckets": str(settings.controller.replicas)},
        **_resolvers(settings.resolvers),
    }


def _defaults(settings: TektonSettings) -> dict[str, str]:
    defaults = settings.defaults
    resources = _resources(
        {"cpu": defaults.cpu_request, "memory": defaults.memory_request},
        {"cpu": defaults.cpu_limit, "memory": defaults.memory_limit},
    )
    template = {"automountServiceAccountToken": defaults.automount_service_account_token}
    return {
        "default-timeout-minutes": str(settings.default_timeout_minutes),
        "default-max-matrix-combinations-count": str(defaults.max_matrix_combinations),
        "default-imagepullbackoff-timeout": f"{defaults.image_pull_back_off_minutes}m",
        "default-maximum-resolution-timeout": f"{settings.resolvers.timeout_seconds}s",
        "default-pod-template": json.dumps(template),
        **(
            {"default-container-resource-requirements": json.dumps({"default": resources}, sort_keys=True)}
            if resources
            else {}
        ),
    }


def _resolvers(settings: ResolversSettings) -> dict[str, dict[str, str]]:
    return {
        "resolvers-feature-flags": {
            "enable-git-resolver": _flag(settings.git.enabled),
            "enable-hub-resolver": _flag(settings.hub.enabled),
            "enable-bundles-resolver": _flag(settings.bundles.enabled),
            "enable-cluster-resolver": _flag(settings.cluster.enabled),
            "enable-http-resolver": _flag(settings.http.enabled),
        },
        "git-resolver-config": {"fetch-timeout": f"{settings.git.timeout_seconds}s"},
        "bundleresolver-config": {
            "fetch-timeout": f"{settings.bundles.timeout_seconds}s",
            # Registries' credentials hang on the account that runs have.
            "default-service-account": RUN_SERVICE_ACCOUNT,
        },
        "http-resolver-config": {"fetch-timeout": f"{settings.http.timeout_seconds}s"},
        "cluster-resolver-config": {
            "allowed-namespaces": ",".join(sorted(set(settings.cluster.namespaces))),
            # All but those: without it an empty list would allow every namespace.
            "blocked-namespaces": "*",
        },
    }


def _controller(settings: TektonControllerSettings) -> dict[str, DeploymentRules]:
    arguments: list[str] = []
    if settings.threads is not None:
        arguments += ["-threads-per-controller", str(settings.threads)]
    if settings.requests_per_second is not None:
        arguments += ["-kube-api-qps", f"{settings.requests_per_second / _CLIENTS:g}"]
    if settings.burst is not None:
        arguments += ["-kube-api-burst", str(settings.burst // _CLIENTS)]
    rules = DeploymentRules(
        # Left alone by default, so that somebody's own scaling holds.
        replicas=settings.replicas if settings.replicas > 1 else None,
        arguments=tuple(arguments),
        resources=controller_resources(settings),
        # Pods read the number of shares when they start, and must not work with different ones.
        annotations={"pipeline-service/shares": str(settings.replicas)} if settings.replicas > 1 else {},
    )
    return {} if rules == DeploymentRules() else {_CONTROLLER: rules}


def blocked_networks(settings: ResolversSettings) -> list[str]:
    """List the networks that resolvers never reach, beside clouds' metadata services."""
    return sorted(set(settings.blocked_networks))


def controller_resources(settings: TektonControllerSettings) -> dict[str, dict[str, str]]:
    """Make the requests and limits of the controller's pods."""
    return _resources(
        {"cpu": settings.cpu_request, "memory": settings.memory_request},
        {"memory": settings.memory_limit},
    )


def performance(settings: TektonControllerSettings) -> dict[str, int | bool]:
    """Size Tekton's controller in the words of OpenShift's TektonConfig.

    Returns
    -------
    dict
        What the operator is told; empty where the settings say nothing.
    """
    if settings.replicas == 1 and not (settings.threads or settings.requests_per_second or settings.burst):
        return {}
    rates = {"kube-api-qps": settings.requests_per_second, "kube-api-burst": settings.burst}
    return {
        "replicas": settings.replicas,
        "buckets": settings.replicas,
        "disable-ha": False,
        **({} if settings.threads is None else {"threads-per-controller": settings.threads}),
        **{key: value // _CLIENTS for key, value in rates.items() if value is not None},
    }


def _chains(settings: TektonSettings) -> dict[str, str]:
    repository = settings.chains.oci_repository
    storage = "tekton" if repository is None else "tekton,oci"
    return {
        "artifacts.taskrun.format": "slsa/v1",
        "artifacts.taskrun.storage": storage,
        "artifacts.taskrun.signer": "x509",
        "artifacts.pipelinerun.format": "slsa/v1",
        "artifacts.pipelinerun.storage": storage,
        "artifacts.pipelinerun.signer": "x509",
        # Signatures of images are pushed beside them, which takes the right to write to tenants' registries.
        "artifacts.oci.storage": "" if repository is None else "oci",
        "artifacts.oci.signer": "x509",
        **({} if repository is None else {"storage.oci.repository": repository}),
        # A public log would tell the world what tenants build.
        "transparency.enabled": "false",
    }


def _resources(
    requests: Mapping[str, str | None], limits: Mapping[str, str | None]
) -> dict[str, dict[str, str]]:
    given = {
        part: {resource: quantity for resource, quantity in amounts.items() if quantity is not None}
        for part, amounts in (("requests", requests), ("limits", limits))
    }
    return {part: amounts for part, amounts in given.items() if amounts}


def _flag(value: bool) -> str:  # noqa: FBT001 -- what is written is what is given
    return "true" if value else "false"
