"""Where the embedded environment keeps its files, and the names it uses on the machine."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

NOT_CLUSTERS = frozenset(
    {
        "bin",
        "gateway",
        "kcp",
        "kubeconfig",
        "lock",
        "network.json",
        "nodes",
        "pulumi",
        "registry",
        "releases",
        "users",
    },
)
"""What ``.local/`` holds beside one folder for each cluster; a cluster of such a name would share it."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Paths and names of the embedded environment of one checkout.

    Parameters
    ----------
    root
        The project's folder, absolute.
    cache
        Folder of the build cache, shared by checkouts and kept by ``down``.
    """

    root: Path
    cache: Path

    @property
    def local(self) -> Path:
        """Folder of everything that ``up`` makes and ``down`` removes."""
        return self.root / ".local"

    @property
    def identity(self) -> str:
        """Six hexadecimal digits that keep two checkouts' interfaces and processes apart."""
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:6]

    @property
    def kcp(self) -> Path:
        """Folder of kcp: its data and ``admin.kubeconfig``."""
        return self.local / "kcp"

    @property
    def merged_kubeconfig(self) -> Path:
        """Kubeconfig with a context for kcp and for each cluster."""
        return self.local / "kubeconfig"

    @property
    def lock(self) -> Path:
        """File that keeps a second ``up`` or ``down`` of this checkout out."""
        return self.local / "lock"

    @property
    def network(self) -> Path:
        """File of the addresses that were given out."""
        return self.local / "network.json"

    @property
    def nodes(self) -> Path:
        """File that says whether the clusters' nodes are real or simulated."""
        return self.local / "nodes"

    @property
    def releases(self) -> Path:
        """Folder of the release manifests that the stack refers to."""
        return self.local / "releases"

    @property
    def registry(self) -> Path:
        """Folder of the registry, where the clusters pull their images from one."""
        return self.local / "registry"

    @property
    def gateway(self) -> Path:
        """Folder of what the gateway is given."""
        return self.local / "gateway"

    @property
    def mutual_tls(self) -> Path:
        """File of the certificates by which the gateway and other clusters know each other."""
        return self.gateway / "mutual-tls.pem"

    @property
    def users(self) -> Path:
        """Folder of one kubeconfig for each user that the stack names."""
        return self.local / "users"

    @property
    def images(self) -> Path:
        """Folder of the assembled container images."""
        return self.cache / "images"

    @property
    def packages(self) -> Path:
        """Folder of the unpacked distribution packages that images are made of."""
        return self.cache / "packages"

    @property
    def binaries(self) -> Path:
        """Folder of links to the tools in use; first on the PATH of ``make env``."""
        return self.local / "bin"

    @property
    def engine(self) -> Path:
        """Folder of the Pulumi engine with its language host beside it."""
        return self.pulumi / "engine"

    @property
    def pulumi(self) -> Path:
        """Folder of the Pulumi home, the state and the passphrase of stack dev."""
        return self.local / "pulumi"

    def user(self, name: str) -> Path:
        """Kubeconfig of the user ``name`` for kcp; whatever the name is, it is one file of `users`."""
        return self.users / f"{quote(name, safe='@')}.kubeconfig"

    def cluster(self, name: str) -> Path:
        """Folder of the compute cluster ``name``."""
        return self.local / name


def default_layout() -> Layout:
    """Return the layout of this checkout.

    The cache is ``$PIPELINE_SERVICE_CACHE``, else ``pipeline-service`` below ``$XDG_CACHE_HOME``
    (default ``~/.cache``).
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = Path(os.environ.get("PIPELINE_SERVICE_CACHE") or base / "pipeline-service")
    return Layout(root=Path(__file__).resolve().parent.parent, cache=cache.resolve())
