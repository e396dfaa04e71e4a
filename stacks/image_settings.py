"""The settings of container images: where they come from, which they are, and who may pull which."""

from collections.abc import Mapping

from pydantic import Field, field_validator

from releases.image_names import canonical
from stacks.image_words import ImagePrefix
from stacks.problems import refuse
from stacks.sections import SecretReference, Section
from stacks.vocabulary import FilePath, Flag


class DigestsSettings(Section):
    """The file that says which images the names stand for."""

    path: FilePath = Field(
        title="File",
        description=(
            "YAML file, relative to the project's folder, with the digest of each image by its name:"
            " python -m operations images lock writes it."
        ),
    )


class CertificateAuthoritySettings(Section):
    """The file of a certificate authority."""

    path: FilePath = Field(
        title="File",
        description="PEM file with its certificate or several, relative to the project's folder.",
    )


class ImageRepositorySettings(Section):
    """Where container images come from."""

    mirrors: Mapping[ImagePrefix, ImagePrefix] = Field(
        default={},
        title="Mirrors",
        description=(
            "By beginning of an image's name (registry, or registry and path): what replaces it; the longest"
            " that fits counts."
        ),
    )
    digests: DigestsSettings | None = Field(
        default=None,
        title="Digests",
        description="Which images the names stand for; none: what the registry has under a name.",
    )
    pull_secret: SecretReference | None = Field(
        default=None,
        title="Pull secret",
        description="Credentials for the registries, as the JSON of a file .docker/config.json.",
    )
    certificate_authority: CertificateAuthoritySettings | None = Field(
        default=None,
        title="Certificate authority",
        description=(
            "Whom Tekton trusts beside the system's own when it asks a registry what an image starts; the"
            " clusters' nodes have their own setting."
        ),
    )
    allowed_registries: tuple[ImagePrefix, ...] = Field(
        default=(),
        title="Allowed registries",
        description=(
            "Beginnings of images' names (registry, or registry and path) that tenants' pods may use; none"
            " given: all."
        ),
    )
    offline: Flag = Field(
        default=False,
        title="Offline",
        description=(
            "Refuse every image that no mirror serves, and manifests from URLs: the clusters reach no other"
            " registry, and this program no release page."
        ),
    )

    @field_validator("mirrors")
    @classmethod
    def _of_registries_as_images_name_them(cls, mirrors: Mapping[str, str]) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for prefix, mirror in mirrors.items():
            name = canonical(prefix)
            if name in found:
                refuse(f"{name} is given twice: {prefix} is another name of it", f"leave one, as {name}")
            found[name] = mirror
        return found
