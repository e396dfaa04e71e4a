"""From settings to Tekton Results: what is changed in its release, and its reader.

Every key was read in Results v0.18.0 (config/base/env/config, cmd/api, cmd/watcher, pkg/apis/config).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pulumi

from components.exposure import ResultsExposure
from components.kcp_identity import base64_text
from components.names import digest
from components.results import ResultsReaderArgs
from components.results_manifests import (
    AUTHORITY_KEY,
    DATABASE_SECRET,
    ReaderFront,
    ReaderPods,
    annotation_policies,
    database_secret,
    logs_claim,
    reader_objects,
    server_tls_secret,
)
from releases.adaptation import Adaptation, DeploymentRules
from releases.catalog import PYTHON_IMAGE
from stacks import mapping_images
from stacks.vocabulary import Distribution

if TYPE_CHECKING:
    from components.kubernetes_object import Manifest
    from stacks.loader import LoadedEnvironment
    from stacks.results_settings import ClusterResultsSettings, ResultsDatabaseSettings, ResultsLogsSettings
    from stacks.settings import EnvironmentSettings

_SYSTEM_AUTHORITIES: Final = "/etc/ssl/certs/ca-certificates.crt"
"""In the images of the release."""

_AUTHORITY_FOLDER: Final = "/etc/results-database"
_HTTPS: Final = 443
_LOGS: Final = "/var/results-logs"
_USER: Final = 65532
"""Whom the images of the release run as."""

_BUFFER: Final = 1024 * 1024
"""Bytes of a log that the server sends at a time; over REST a line break follows each of them (grpc-gateway
v2.27.3, runtime/handler.go), so they are large."""

_REQUESTS: Final = 100
"""To the cluster's API server a second, by the API server of Results and by each controller of the watcher.
The default is 5: a call of Results makes two, a TokenReview and a SubjectAccessReview, and a run is some 60
calls of the watcher, so that one took 22 s to record, and the reader waited."""


def has_results(settings: EnvironmentSettings, cluster: str) -> bool:
    """Tell whether a cluster gets Tekton Results."""
    entry = settings.compute_clusters[cluster]
    return (
        settings.tekton.results.enabled
        and entry.results is not None
        and entry.distribution is Distribution.KUBERNETES
    )


def url(settings: EnvironmentSettings, cluster: str) -> str | None:
    """Name the address of a cluster's reader; None without one."""
    if not has_results(settings, cluster):
        return None
    entry = _entry(settings, cluster)
    return f"https://{entry.host}" + ("" if entry.port == _HTTPS else f":{entry.port}")


def adaptation(settings: EnvironmentSettings, cluster: str) -> Adaptation:
    """Say what the settings change of the release on a cluster."""
    results, entry = settings.tekton.results, _entry(settings, cluster)
    database, authority = _database(entry.database)
    logs, claims = _logs(results.logs)
    return Adaptation(
        config_maps={
            "tekton-results-config-results-retention-policy": {
                "defaultRetention": str(results.retention_days)
            }
        },
        deployments={
            "tekton-results-api": DeploymentRules(
                environment={
                    **database,
                    "AUTH_DISABLE": "false",
                    # Whoever may impersonate on the cluster would do so here, too: nobody needs to.
                    "AUTH_IMPERSONATE": "false",
                    "LOGS_API": "false",
                    "K8S_QPS": str(_REQUESTS),
                    "K8S_BURST": str(2 * _REQUESTS),
                    **logs,
                },
                volumes=(*authority, *claims),
                volume_group=_USER if claims else None,
                recreate=bool(claims),
            ),
            "tekton-results-retention-policy-agent": DeploymentRules(environment=database, volumes=authority),
            "tekton-results-watcher": DeploymentRules(
                arguments=(
                    # A run that is deleted on its cluster comes back from kcp, and runs again.
                    "-completed_run_grace_period",
                    "0",
                    # Nobody else forwards logs: a deleted TaskRun needn't be held for that, by default 150 s.
                    "-forward_buffer",
                    "0",
                    "-qps",
                    str(_REQUESTS),
                    "-burst",
                    str(2 * _REQUESTS),
                    # In which a log has to be stored; by default 30 s, after which it is cut off.
                    *(("-logs_api", "-dynamic_reconcile_timeout", "5m") if claims else ()),
                )
            ),
        },
        objects=(
            *annotation_policies(),
            *(() if results.logs is None else (logs_claim(results.logs.size, results.logs.storage_class),)),
        ),
    )


def _database(settings: ResultsDatabaseSettings) -> tuple[dict[str, str], tuple[Manifest, ...]]:
    """Say how the database is reached: variables, and the volume of its authority."""
    own = settings.certificate_authority is not None
    variables = {
        "DB_HOST": settings.host,
        "DB_PORT": str(settings.port),
        "DB_NAME": settings.name,
        "DB_SSLMODE": "verify-full",
        "DB_SSLROOTCERT": f"{_AUTHORITY_FOLDER}/{AUTHORITY_KEY}" if own else _SYSTEM_AUTHORITIES,
    }
    if not own:
        return variables, ()
    source = {"secretName": DATABASE_SECRET, "items": [{"key": AUTHORITY_KEY, "path": AUTHORITY_KEY}]}
    return variables, ({"name": "database-authority", "mountPath": _AUTHORITY_FOLDER, "secret": source},)


def _logs(settings: ResultsLogsSettings | None) -> tuple[dict[str, str], tuple[Manifest, ...]]:
    """Say how logs are kept: variables, and their volume."""
    if settings is None:
        return {}, ()
    claim = logs_claim(settings.size, settings.storage_class)["metadata"]["name"]
    return {
        "LOGS_API": "true",
        "LOGS_TYPE": "File",
        "LOGS_PATH": _LOGS,
        "LOGS_BUFFER_SIZE": str(_BUFFER),
    }, ({"name": "logs", "mountPath": _LOGS, "persistentVolumeClaim": {"claimName": claim}},)


def secrets(environment: LoadedEnvironment, cluster: str) -> dict[str, Manifest]:
    """Make the Secrets that the release needs beside it on a cluster."""
    database = _entry(environment.settings, cluster).database
    certificate, key = environment.results.server_tls or ("", "")
    return {
        "database": database_secret(
            database.user, environment.secret(database.password), database.certificate_authority
        ),
        "server-tls": server_tls_secret(certificate, pulumi.Output.secret(key)),
    }


def reader(
    environment: LoadedEnvironment,
    cluster: str,
    provider: pulumi.ProviderResource,
    *,
    after: tuple[pulumi.Resource, ...],
) -> ResultsReaderArgs:
    """Say how the reader stands on a cluster."""
    sources, kcp = environment.results, environment.kcp
    tls, server_tls = sources.tls or ("", ""), sources.server_tls or ("", "")
    files: dict[str, pulumi.Input[str]] = {
        "tls.crt": base64_text(tls[0]),
        "tls.key": pulumi.Output.secret(base64_text(tls[1])),
        "results-ca.crt": base64_text(server_tls[0]),
        "kcp-url": base64_text(kcp.kcp_url),
        **({} if kcp.certificate_authority is None else {"kcp-ca.crt": kcp.certificate_authority}),
    }
    held = (*tls, *server_tls, kcp.kcp_url, kcp.certificate_authority or "")
    return ResultsReaderArgs(
        cluster=provider,
        files=files,
        front=_front(environment.settings, cluster),
        pods=_pods(environment, digest("".join(held))),
        after=after,
    )


def own_objects(environment: LoadedEnvironment, cluster: str) -> list[Manifest]:
    """Make the objects of the reader on a cluster, where nothing that it reads is known."""
    if not has_results(environment.settings, cluster):
        return []
    front, pods = _front(environment.settings, cluster), _pods(environment, None)
    return [*reader_objects({}, front, pods).values()]


def _front(settings: EnvironmentSettings, cluster: str) -> ReaderFront:
    entry = _entry(settings, cluster)
    return ReaderFront(port=entry.port, exposure=ResultsExposure(entry.exposure), node_port=entry.node_port)


def _pods(environment: LoadedEnvironment, secret_digest: str | None) -> ReaderPods:
    return ReaderPods(
        image=environment.images.rules.image(PYTHON_IMAGE),
        user=_USER,
        secret_digest=secret_digest,
        pull_secret=mapping_images.pull_secret(environment),
    )


def _entry(settings: EnvironmentSettings, cluster: str) -> ClusterResultsSettings:
    entry = settings.compute_clusters[cluster].results
    assert entry is not None  # noqa: S101 -- `has_results`, and the cross checks, see to it
    return entry
