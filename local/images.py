"""The images of the embedded clusters, put together from built tools and distribution packages.

Each is imported under the very name that the release manifests write, so that these stay as upstream ships
them. What api-syncagent's image must hold was read from the `Dockerfile` of v0.7.0; `local.images_tekton`,
`local.images_pipelines_as_code` and `local.images_argocd` say the same of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable

from local.haproxy import haproxy_image
from local.image_parts import (
    NONROOT,
    PATH,
    Sources,
    busybox_image,
    executable,
    package_image,
)
from local.images_argocd import argocd_images
from local.images_pipelines_as_code import pac_images
from local.images_tekton import SHELL_IMAGE, tekton_images
from local.oci import ImageSpec
from local.postgresql import postgresql_image
from local.toolchain.catalog import (
    API_SYNCAGENT,
    ARGO_CD,
    COREDNS,
    PIPELINES_AS_CODE,
    TEKTON,
    TEKTON_CHAINS,
    TEKTON_NEXT,
    TEKTON_RESULTS,
    TEKTON_TRIGGERS,
    Module,
)
from releases.catalog import PYTHON_IMAGE

# Each image is named after the version of the Go module that is in it.
SYNCAGENT_IMAGE = f"ghcr.io/kcp-dev/api-syncagent:{API_SYNCAGENT.version}"
PAUSE_IMAGE = "registry.k8s.io/pause:3.10"
COREDNS_IMAGE = f"registry.k8s.io/coredns/coredns:{COREDNS.version}"
BUSYBOX_IMAGE = "docker.io/library/busybox:1.36"
"""The name a workload asks for; what it gets is the distribution's busybox."""

_FOREVER = "2147483647"
"""Seconds, 68 years: the longest that every build of `sleep` takes."""


def images(sources: Sources, modules: Iterable[Module]) -> tuple[ImageSpec, ...]:
    """Return the images of an embedded cluster.

    Parameters
    ----------
    sources
        Where their content comes from.
    modules
        Modules of the releases that it runs, beside what every cluster runs.

    Raises
    ------
    ImageError
        When a package's file is missing; the text names the package. A missing tool shows when assembling.
    """
    specs = list(base_images(sources))
    for module in modules:
        specs += release_images(sources, module)
    return tuple(specs)


def release_images(sources: Sources, module: Module) -> list[ImageSpec]:
    """Return the images that the releases made from ``module`` name, none for a module of tools alone."""
    if module in (TEKTON, TEKTON_NEXT, TEKTON_TRIGGERS, TEKTON_CHAINS):
        return tekton_images(module, sources)
    if module == TEKTON_RESULTS:
        # With a database to try it with, which the release wants and doesn't bring.
        return [*tekton_images(module, sources), postgresql_image(sources)]
    if module == PIPELINES_AS_CODE:
        return pac_images(sources)
    return argocd_images(sources) if module == ARGO_CD else []


def base_images(sources: Sources) -> tuple[ImageSpec, ...]:
    """Return the images that every embedded cluster holds."""
    certificates = sources.certificates()
    syncagent = executable(sources.program(API_SYNCAGENT, "api-syncagent"))
    return (
        ImageSpec(
            name=SYNCAGENT_IMAGE,
            entrypoint=("api-syncagent",),
            files={"/usr/local/bin/api-syncagent": syncagent, **certificates},
            directories={"/tmp": 0o1777},  # noqa: S108 - a directory of the image, not of this machine
            user="65534:65534",
            env={"PATH": PATH},
        ),
        # Root, as its port is 53: what it may do is the Deployment's to narrow (to NET_BIND_SERVICE).
        ImageSpec(
            name=COREDNS_IMAGE,
            entrypoint=("/coredns",),
            files={"/coredns": executable(sources.program(COREDNS, "coredns")), **certificates},
            env={"PATH": PATH},
        ),
        package_image(
            PYTHON_IMAGE,
            sources.of_packages("python3"),
            command=("python3",),
            # Where upstream's image has it, for who names it by its path.
            symlinks={
                "/usr/local/bin/python": "/usr/bin/python3",
                "/usr/local/bin/python3": "/usr/bin/python3",
            },
            certificates=certificates,
        ),
        haproxy_image(sources),
        busybox_image(BUSYBOX_IMAGE, sources.busybox, user="0:0"),
        busybox_image(SHELL_IMAGE, sources.busybox, user=NONROOT),
        # What a sandbox's first process has to do: exist, reap orphans where processes share a namespace, and
        # end at once on SIGTERM. tini as process 1 reaps and hands the signal on; a `sleep` that is not
        # process 1 obeys it.
        ImageSpec(
            name=PAUSE_IMAGE,
            entrypoint=("/tini", "--", "/sleep", _FOREVER),
            files={"/tini": executable(sources.tini), "/sleep": executable(sources.busybox)},
            user="65535:65535",
            env={"PATH": PATH},
        ),
    )
