"""A real control plane for tests: etcd, kube-apiserver and kube-controller-manager on loopback.

It has no nodes: Deployments with replicas never become available, which tests of waiting make use of. The
binaries are looked for on PATH; where one is missing the tests that need it fail and say so.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import http.client
import ipaddress
import json
import shutil
import signal
import ssl
import subprocess
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.ports import free_port
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

START_SECONDS = 180.0
STOP_SECONDS = 20.0
BUSY_SECONDS = 60.0


def require_binaries(*names: str) -> None:
    """Fail the calling test where a program is not on PATH: skipped, it would keep nothing."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        pytest.fail(
            f"not on PATH: {', '.join(missing)}; run these tests by `make test-engine`", pytrace=False
        )


@dataclass
class Authority:
    """A throw-away certificate authority."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    certificate: x509.Certificate = field(init=False)

    def __post_init__(self) -> None:
        self.certificate = self._sign("test-authority", self.key, groups=(), authority=True)

    def issue(self, name: str, groups: Sequence[str] = ()) -> tuple[bytes, bytes]:
        """Return certificate and key, in PEM, of a server on loopback or of a client in groups."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(name, key, groups, authority=False)
        return certificate.public_bytes(serialization.Encoding.PEM), private_pem(key)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def _sign(
        self, name: str, key: ec.EllipticCurvePrivateKey, groups: Sequence[str], *, authority: bool
    ) -> x509.Certificate:
        common_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        subject = x509.Name(
            [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, group) for group in groups]
            + list(common_name)
        )
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(common_name if authority else self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if not authority:
            names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@dataclass
class ControlPlane:
    """A running control plane.

    Attributes
    ----------
    directory : Path
        Its files and logs.
    server : str
        URL of the API server.
    authority : Authority
        Signs for it and for its users.
    """

    directory: Path
    server: str
    authority: Authority
    _client: tuple[bytes, bytes] = field(init=False, repr=False)
    _tls: ssl.SSLContext = field(init=False, repr=False)
    _processes: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self._client = self.authority.issue("test-admin", ["system:masters"])
        certificate, key = self._client
        (self.directory / "admin.pem").write_bytes(certificate + key)
        self._tls = ssl.create_default_context(cadata=self.authority.pem.decode())
        self._tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
        self._tls.load_cert_chain(self.directory / "admin.pem")

    def kubeconfig(self, user: str = "test-admin", groups: Sequence[str] = ("system:masters",)) -> str:
        """Return a kubeconfig with everything inline, for the administrator unless told otherwise."""
        certificate, key = self._client if user == "test-admin" else self.authority.issue(user, groups)
        return render_kubeconfig(self.server, self.authority.pem, certificate, key)

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        content_type: str = "application/json",
        *,
        user: str | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """Send a request as administrator, or with his rights as a user; return status and JSON answer.

        It is sent again where the server asks for that: for a moment after a definition has come, say.
        """
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            status, answer = self._request(method, path, body, content_type, user)
            if status != HTTPStatus.TOO_MANY_REQUESTS or time.monotonic() > deadline:
                return status, answer
            time.sleep(1)

    def _request(
        self, method: str, path: str, body: object, content_type: str, user: str | None
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        if user is not None:
            headers |= {"Impersonate-User": user, "Impersonate-Group": "system:masters"}
        host, port = self.server.removeprefix("https://").split(":")
        connection = http.client.HTTPSConnection(host, int(port), context=self._tls, timeout=30)
        with contextlib.closing(connection):
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            text = response.read()
            try:
                return response.status, json.loads(text)
            except ValueError:
                return response.status, {"message": text.decode(errors="replace")}

    def get(self, path: str) -> dict[str, Any]:
        """Return an object that must exist."""
        status, answer = self.request("GET", path)
        assert status == 200, f"{path}: {status} {answer}"
        return answer

    def exists(self, path: str) -> bool:
        """Tell whether there is an object."""
        status, answer = self.request("GET", path)
        assert status in (200, 404), f"{path}: {status} {answer}"
        return status == 200

    def create(self, path: str, obj: dict[str, Any]) -> dict[str, Any]:
        """Create an object that must not exist."""
        status, answer = self.request("POST", path, obj)
        assert status in (200, 201), f"{path}: {status} {answer}"
        return answer

    def create_anew(self, path: str, obj: dict[str, Any]) -> dict[str, Any]:
        """Create an object in place of the one that an earlier try of a test has left."""
        left = f"{path}/{obj['metadata']['name']}"
        self.delete(left)
        until(lambda: not self.exists(left), "deleted", lambda: left)
        return self.create(path, obj)

    def patch(self, path: str, patch: dict[str, Any]) -> dict[str, Any]:
        """Change an object by a merge patch."""
        status, answer = self.request("PATCH", path, patch, "application/merge-patch+json")
        assert status == 200, f"{path}: {status} {answer}"
        return answer

    def delete(self, path: str) -> None:
        """Delete an object, which may be gone already."""
        status, answer = self.request("DELETE", path)
        assert status in (200, 202, 404), f"{path}: {status} {answer}"

    def start(self, *command: str) -> None:
        """Start a process of the control plane, its log beside its files."""
        log = (self.directory / f"{command[0]}.log").open("ab")
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=self.directory
        )
        self._processes.append((process, log))

    def wait_ready(self) -> None:
        """Wait until the API server says that it is ready; fail with its log's end where it does not."""
        deadline = time.monotonic() + START_SECONDS
        answer: object = "nothing"
        while time.monotonic() < deadline:
            for process, log in self._processes:
                if process.poll() is not None:
                    end = (self.directory / log.name).read_text(errors="replace")[-2000:]
                    pytest.fail(f"{process.args!r} ended with {process.returncode}: {end}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, answer = self.request("GET", "/readyz")
                if status == 200:
                    return
            time.sleep(0.2)
        pytest.fail(f"the API server did not become ready in {START_SECONDS:.0f} s: {answer}")

    def stop(self) -> None:
        """Stop everything, the last started first."""
        for process, log in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            log.close()


def render_kubeconfig(server: str, authority: bytes, certificate: bytes, key: bytes) -> str:
    """Return a kubeconfig (JSON is YAML, too) with everything inline."""

    def encoded(data: bytes) -> str:
        return base64.b64encode(data).decode()

    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [
                {
                    "name": "test",
                    "cluster": {"server": server, "certificate-authority-data": encoded(authority)},
                }
            ],
            "users": [
                {
                    "name": "test",
                    "user": {
                        "client-certificate-data": encoded(certificate),
                        "client-key-data": encoded(key),
                    },
                }
            ],
        }
    )


@contextlib.contextmanager
def control_plane(directory: Path) -> Iterator[ControlPlane]:
    """Run a control plane.

    Parameters
    ----------
    directory : Path
        For its files and logs.

    Yields
    ------
    ControlPlane
        Ready to use; stopped afterwards.
    """
    require_binaries("etcd", "kube-apiserver", "kube-controller-manager")
    authority = Authority()
    certificate, key = authority.issue("kube-apiserver")
    signer = ec.generate_private_key(ec.SECP256R1())
    files = {
        "ca.crt": authority.pem,
        "ca.key": private_pem(authority.key),
        "server.crt": certificate,
        "server.key": key,
        "service-account.key": private_pem(signer),
        "service-account.pub": signer.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    }
    for name, content in files.items():
        (directory / name).write_bytes(content)
    etcd, peer, port = free_port(), free_port(), free_port()
    plane = ControlPlane(directory, f"https://127.0.0.1:{port}", authority)
    (directory / "admin.kubeconfig").write_text(plane.kubeconfig())
    try:
        plane.start(
            "etcd",
            "--data-dir=etcd-data",
            "--unsafe-no-fsync",
            f"--listen-client-urls=http://127.0.0.1:{etcd}",
            f"--advertise-client-urls=http://127.0.0.1:{etcd}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
        )
        plane.start(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{etcd}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            "--tls-cert-file=server.crt",
            "--tls-private-key-file=server.key",
            "--client-ca-file=ca.crt",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-key-file=service-account.pub",
            "--service-account-signing-key-file=service-account.key",
            "--service-cluster-ip-range=10.77.0.0/16",
            "--endpoint-reconciler-type=none",  # it would want an address that is not loopback
        )
        plane.wait_ready()
        plane.start(
            "kube-controller-manager",
            "--kubeconfig=admin.kubeconfig",
            "--bind-address=127.0.0.1",
            f"--secure-port={free_port()}",
            "--leader-elect=false",
            "--service-account-private-key-file=service-account.key",
            "--root-ca-file=ca.crt",
        )
        yield plane
    finally:
        plane.stop()
