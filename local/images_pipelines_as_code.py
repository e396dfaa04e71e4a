"""The images of Pipelines as Code, named as its releases name them.

Read from v0.37.0: `hack/generate-releaseyaml.sh` (the names), `.ko.yaml` (the base image: nothing but
certificates and a user that isn't root) and `config/` (the Deployments, which give no command).
"""

from __future__ import annotations

from local.image_parts import Sources
from local.images_tekton import ko_layout
from local.oci import ImageSpec
from local.toolchain.catalog import PIPELINES_AS_CODE

_REPOSITORY = "ghcr.io/openshift-pipelines/pipelines-as-code"


def pac_image(import_path: str, *, tag: str) -> str:
    """Return the name that a release gives the image of one of its commands."""
    return f"{_REPOSITORY}/{import_path.rpartition('/')[2]}:{tag}"


def pac_images(sources: Sources) -> list[ImageSpec]:
    """Return an image for each command of Pipelines as Code."""
    module = PIPELINES_AS_CODE
    return [
        ko_layout(pac_image(path, tag=module.version), command, sources.program(module, command), sources)
        for command, path in module.packages.items()
    ]
