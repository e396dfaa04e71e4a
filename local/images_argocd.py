"""The images of Argo CD and of its Redis, as Argo CD v3.2.0's `Dockerfile` and `manifests/` want them.

For an Application of plain manifests in a Git repository reached by http(s). Not in the image, and so an
error of the Application that needs it: helm, kustomize, git-lfs and ssh. The web interface is not in it
either: it is built by npm, and the Go module holds none.
"""

from __future__ import annotations

from local.image_parts import CA_BUNDLE, PATH, Sources, accounts, beside_packages, executable
from local.oci import ImageFile, ImageSpec
from local.toolchain.catalog import ARGO_CD

ARGO_CD_REPOSITORY = "quay.io/argoproj/argocd"
REDIS_IMAGE = "public.ecr.aws/docker/library/redis:8.2.2-alpine"
"""The name that the release's manifest writes; what it gets is the distribution's redis."""

_NAMES = (  # the links of the Dockerfile, and the one that git calls
    "argocd-application-controller",
    "argocd-applicationset-controller",
    "argocd-cmp-server",
    "argocd-commit-server",
    "argocd-dex",
    "argocd-git-ask-pass",
    "argocd-k8s-auth",
    "argocd-notifications",
    "argocd-repo-server",
    "argocd-server",
)
_USER = "999:999"
_HOME = "/home/argocd"
_SCRIPTS = {"git-verify-wrapper.sh", "gpg-wrapper.sh", "entrypoint.sh"}
# Packages that only maintainer scripts, and commands of git and redis that nobody calls here, need.
_LEFT_OUT = frozenset(
    {
        *(
            "adduser",
            "debconf",
            "dpkg",
            "git-man",
            "init-system-helpers",
            "liberror-perl",
            "lsb-base",
            "passwd",
        ),
        *("libfile-find-rule-perl", "libnumber-compare-perl", "libtext-glob-perl", "sysvinit-utils", "tar"),
        *("libpam-modules", "libpam-modules-bin", "libpam0g", "libperl5.36", "perl", "perl-base"),
        *("perl-modules-5.36", "usrmerge"),
    }
)


def argocd_images(sources: Sources) -> list[ImageSpec]:
    """Return the images of Argo CD: its own and Redis."""
    return [_argocd(sources), _redis(sources)]


def _argocd(sources: Sources) -> ImageSpec:
    unpacked = sources.of_packages("git", "gpg", "gpg-agent", leave_out=_LEFT_OUT)
    shell, applets = beside_packages(sources.busybox, unpacked)
    scripts = {f"/usr/local/bin/{name}": executable(sources.program(ARGO_CD, name)) for name in _SCRIPTS}
    return ImageSpec(
        name=f"{ARGO_CD_REPOSITORY}:{ARGO_CD.version}",
        entrypoint=("/usr/bin/tini", "--"),
        files={
            **unpacked.files,
            **shell,
            **accounts(_USER, "argocd", _HOME),
            **sources.certificates(),
            "/usr/bin/tini": executable(sources.tini),
            "/usr/local/bin/argocd": executable(sources.program(ARGO_CD, "argocd")),
            "/app/config/ssh/ssh_known_hosts": ImageFile(source=b""),
            **scripts,
        },
        symlinks={
            **applets,
            **unpacked.symlinks,
            **{f"/usr/local/bin/{name}": "argocd" for name in _NAMES},
            "/usr/local/bin/uid_entrypoint.sh": "entrypoint.sh",
            "/etc/ssh/ssh_known_hosts": "/app/config/ssh/ssh_known_hosts",
        },
        directories={
            **unpacked.directories,
            # An image made here has no owners: where upstream's are the user's, anybody may write.
            _HOME: 0o1777,
            "/app/config/tls": 0o755,
            "/app/config/gpg/source": 0o755,
            "/app/config/gpg/keys": 0o1777,
            "/tmp": 0o1777,  # noqa: S108 - a directory of the image, not of this machine
        },
        user=_USER,
        env={"PATH": PATH, "USER": "argocd", "SSL_CERT_FILE": CA_BUNDLE},
        working_dir=_HOME,
    )


def _redis(sources: Sources) -> ImageSpec:
    """Return Redis; the manifest gives it options alone, which upstream's entry point hands to the server."""
    unpacked = sources.of_packages("redis-server", leave_out=_LEFT_OUT)
    return ImageSpec(
        name=REDIS_IMAGE,
        entrypoint=("redis-server",),
        files={**unpacked.files, **accounts(_USER, "redis", "/data")},
        symlinks=unpacked.symlinks,
        directories={**unpacked.directories, "/data": 0o1777, "/tmp": 0o1777},  # noqa: S108 - as above
        user=_USER,
        env={"PATH": PATH},
        working_dir="/data",
    )
