"""A container registry of the embedded environment, from which clusters pull all that they run.

It is Debian's `docker-registry`, with TLS by an authority of its own and for those alone who have the
password: as an air-gapped site has it. What the clusters would else have imported is pushed there, each image
under its whole name; a cluster's containerd knows the authority, and its administrator's credential for the
two images that a node needs before anything is deployed to it.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shlex
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from local.commands import run
from local.errors import LocalError
from local.network import Host
from local.pki import Authority, Identity, KeyPair
from local.processes import Daemon, assert_running, start, wait_until
from operations.errors import OperationError
from operations.images import Access, places, push
from releases.files import write_atomic

REGISTRY = "registry"
"""Name of its host, and of its folder under ``.local/``."""

_PORT = 5000
_USER = "puller"
_READY_SECONDS = 30.0

Packages = Callable[[str], Sequence[Path]]
"""Folders of a package and what it depends on, unpacked, by its name (`local.packages.unpacked`)."""


@dataclass(frozen=True, kw_only=True)
class Registry:
    """The registry of one checkout.

    Parameters
    ----------
    owner
        The checkout it belongs to (`Layout.identity`).
    folder
        Its folder: data, certificates, credentials.
    host
        Its place in the network.
    packages
        Where its programs are from.
    """

    owner: str
    folder: Path
    host: Host
    packages: Packages

    @property
    def address(self) -> str:
        """How it is named in images: address and port."""
        return f"{self.host.address}:{_PORT}"

    @property
    def credentials(self) -> Path:
        """File of the credentials for it, as `docker login` writes it."""
        return self.folder / "config.json"

    @property
    def authority(self) -> KeyPair:
        """Its certificate authority."""
        return Authority(self.folder / "pki").pair

    @property
    def hosts(self) -> Path:
        """Folder that tells a containerd how to reach it, and skopeo, in its folder of the address."""
        return self.folder / "certs.d"

    @property
    def administrators_hosts(self) -> Path:
        """Like `hosts`, with the credentials: for who sets up a node, not for the containerd on it."""
        return self.folder / "administrators-certs.d"

    def image(self, name: str) -> str:
        """Name an image as it is here.

        Parameters
        ----------
        name
            Its own name.
        """
        return str(places([name], registry=self.address, mirrors={})[name])

    def access(self) -> Access:
        """Say how skopeo reaches it."""
        folders = self.packages("skopeo")
        # The machine's own C library goes with its own loader.
        others = [folder for folder in folders if not folder.name.startswith("libc6_")]
        libraries = sorted({str(path.parent) for folder in others for path in folder.glob("**/lib*.so.*")})
        program = next(path for folder in folders for path in folder.glob("usr/bin/skopeo"))
        return Access(
            program=("env", f"LD_LIBRARY_PATH={os.pathsep.join(libraries)}", str(program)),
            authfile=self.credentials,
            cert_dir=self.hosts / self.address,
        )


def write_skopeo(registry: Registry, path: Path) -> None:
    """Write a command by which a person runs skopeo, which is not installed.

    Parameters
    ----------
    registry
        The registry.
    path
        The command's file.
    """
    command = shlex.join(registry.access().program)
    write_atomic(path, f'#!/bin/sh\nexec {command} "$@"\n', mode=0o755)


def _write_credentials(registry: Registry) -> Path:
    """Write the password for users, and its digest for the registry; both stay once they are there."""
    passwords = registry.folder / "htpasswd"
    if not (passwords.exists() and registry.credentials.exists()):
        password = secrets.token_urlsafe(24)
        auth = base64.b64encode(f"{_USER}:{password}".encode()).decode()
        content = json.dumps({"auths": {registry.address: {"auth": auth}}})
        write_atomic(registry.credentials, content, mode=0o600)
        program = next(
            path for folder in registry.packages("whois") for path in folder.glob("usr/bin/mkpasswd")
        )
        # The registry takes bcrypt alone, which Python's own library hasn't.
        digest = run(
            [str(program), "--method=bcrypt", "--stdin"], what="the registry's password", stdin=password
        ).strip()
        write_atomic(passwords, f"{_USER}:{digest}\n", mode=0o600)
    return passwords


def _daemon(registry: Registry) -> Daemon:
    serving = Authority(registry.folder / "pki").issue(
        "registry", Identity(common_name=REGISTRY, names=(registry.host.address,))
    )
    config = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(registry.folder / "data")}},
        "http": {
            "addr": registry.address,
            "tls": {"certificate": str(serving.certificate), "key": str(serving.key)},
            "secret": "",
        },
        "auth": {"htpasswd": {"realm": REGISTRY, "path": str(_write_credentials(registry))}},
    }
    path = registry.folder / "config.yml"
    write_atomic(path, yaml.safe_dump(config, sort_keys=False))
    program = next(
        path
        for folder in registry.packages("docker-registry")
        for path in folder.glob("usr/bin/docker-registry")
    )
    return Daemon(
        owner=registry.owner,
        name=f"{REGISTRY}/{REGISTRY}",
        command=registry.host.enter(str(program), "serve", str(path)),
        log=registry.folder / "log" / f"{REGISTRY}.log",
        inputs=(path, serving.certificate),
    )


def _write_hosts(registry: Registry) -> None:
    """Write what a containerd must know of it; skopeo reads the authority from the same folder."""
    authority = registry.hosts / registry.address / "ca.crt"
    write_atomic(authority, registry.authority.certificate.read_bytes())
    server = f"https://{registry.address}"
    host = f'[host."{server}"]\n  capabilities = ["pull", "resolve"]\n  ca = "{authority}"\n'
    hosts = f'server = "{server}"\n{host}'
    write_atomic(authority.with_name("hosts.toml"), hosts)
    auth = json.loads(registry.credentials.read_text())["auths"][registry.address]["auth"]
    write_atomic(
        registry.administrators_hosts / registry.address / "hosts.toml",
        f'{hosts}  [host."{server}".header]\n    Authorization = "Basic {auth}"\n',
        mode=0o600,
    )


def _answers(registry: Registry) -> bool:
    """Return whether it asks for a password: it then serves."""
    context = ssl.create_default_context(cafile=str(registry.authority.certificate))
    try:
        urllib.request.urlopen(f"https://{registry.address}/v2/", timeout=5, context=context)
    except urllib.error.HTTPError as error:
        return error.code == 401  # noqa: PLR2004 -- HTTP's Unauthorized
    except OSError:
        return False
    return False


def start_registry(registry: Registry, archives: Mapping[str, Path]) -> bool:
    """Start it where it doesn't run, and put into it what it lacks of the images.

    Parameters
    ----------
    registry
        The registry.
    archives
        OCI archive by image name.

    Returns
    -------
    bool
        Whether it was started.

    Raises
    ------
    LocalError
        It doesn't start, or an image can't be put into it.
    """
    registry.folder.mkdir(parents=True, exist_ok=True)
    registry.folder.chmod(0o700)
    daemon = _daemon(registry)
    _write_hosts(registry)
    started = start(daemon)
    if not wait_until(lambda: _answers(registry), seconds=_READY_SECONDS):
        assert_running(daemon)
        raise LocalError(f"the registry does not answer at {registry.address}: see {daemon.log}")
    where = places(archives, registry=registry.address, mirrors={})
    try:
        push(archives, where, registry.access(), lambda _: None)
    except OperationError as error:
        raise LocalError(str(error)) from error
    return started
