"""A PostgreSQL in an embedded cluster, reached by TLS: somebody's own, as far as the stack knows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from local.postgresql import POSTGRESQL_IMAGE, POSTGRESQL_PROGRAMS
from tests.support.live import kubectl

if TYPE_CHECKING:
    from local.pki import KeyPair

NAMESPACE = "databases"
HOST = f"postgresql.{NAMESPACE}.svc.cluster.local"
OWNER = "tekton-results"
"""Its user, and the name of the database."""

SECRETS = "/secrets"
PORT = 5432
_USER = 65534


def script(addresses: str = "*", port: int = PORT) -> str:
    """Return what makes a database in /data and serves it by TLS alone."""
    return f"""set -eu
PATH={POSTGRESQL_PROGRAMS}:$PATH
initdb --pgdata=/data/db --username="$OWNER" --pwfile={SECRETS}/password --auth=scram-sha-256 \\
  --encoding=UTF8 --locale=C.UTF-8
echo "hostssl all all all scram-sha-256" > /data/db/pg_hba.conf
echo "CREATE DATABASE \\"$OWNER\\"" | postgres --single -D /data/db postgres
exec postgres -D /data/db -c listen_addresses='{addresses}' -c port={port} -c unix_socket_directories=/data \\
  -c jit=off -c ssl=on -c ssl_cert_file={SECRETS}/tls.crt -c ssl_key_file={SECRETS}/tls.key
"""


def postgresql(password: str, tls: KeyPair) -> list[dict[str, Any]]:
    """Return a PostgreSQL whose data go with its pod, with a database of its owner's name."""
    metadata = {"name": "postgresql", "namespace": NAMESPACE}
    container = {
        "name": "postgresql",
        "image": POSTGRESQL_IMAGE,
        "command": ["sh", "-c", script()],
        "env": [{"name": "OWNER", "value": OWNER}],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 2},
        "volumeMounts": [
            {"name": "data", "mountPath": "/data"},
            {"name": "secrets", "mountPath": SECRETS, "readOnly": True},
        ],
    }
    pod = {
        "securityContext": {"runAsUser": _USER, "runAsGroup": _USER, "fsGroup": _USER},
        "containers": [container],
        "volumes": [
            {"name": "data", "emptyDir": {}},
            {"name": "secrets", "secret": {"secretName": "postgresql", "defaultMode": 0o440}},
        ],
    }
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "stringData": {
                "password": password,
                "tls.crt": tls.certificate.read_text(),
                "tls.key": tls.key.read_text(),
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": {"app": "postgresql"}, "ports": [{"port": PORT}]},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "selector": {"matchLabels": {"app": "postgresql"}},
                "template": {"metadata": {"labels": {"app": "postgresql"}}, "spec": pod},
            },
        },
    ]


def start_postgresql(cluster: str, password: str, tls: KeyPair) -> None:
    """Bring it up and wait until it takes connections."""
    made = {"apiVersion": "v1", "kind": "List", "items": postgresql(password, tls)}
    kubectl(cluster, "apply", "--filename=-", stdin=json.dumps(made))
    kubectl(cluster, "rollout", "status", "deployment/postgresql", "-n", NAMESPACE, "--timeout=120s")
