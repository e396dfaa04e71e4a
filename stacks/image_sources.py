"""What the settings of images refer to: the file of digests, and the credentials for the registries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from components.image_repository import PULL_SECRET
from components.own_images import own_images
from releases.catalog import API_SYNCAGENT_CRDS
from releases.files import in_project
from releases.image_names import ImageNameError, is_digest, parse
from releases.images import ImageRules
from stacks.problems import Problem, key_path, shown
from stacks.yaml_text import YamlError
from stacks.yaml_text import parse as parse_yaml

if TYPE_CHECKING:
    from pathlib import Path

    from releases.prepare import PreparedRelease
    from stacks.image_settings import ImageRepositorySettings
    from stacks.partial import Entry
    from stacks.settings import EnvironmentSettings

_CREDENTIALS: Final = ("auth", "username", "identitytoken", "registrytoken")
"""Keys by which an entry of `auths` holds a credential; one without any only says that somebody logged in."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """How images are named and pulled in an environment.

    Attributes
    ----------
    rules
        Mirrors, digests and the name of the pull secret.
    pull_secret
        What the pull secret holds, as JSON; None where images are pulled without.
    certificate_authority
        Certificates that registries are trusted by, PEM; None where the system's do.
    """

    rules: ImageRules = field(default_factory=ImageRules)
    pull_secret: str | None = field(default=None, repr=False)
    certificate_authority: str | None = None


def read_images(settings: ImageRepositorySettings, root: Path, values: Entry) -> tuple[Images, list[Problem]]:
    """Read what the settings of images refer to.

    Parameters
    ----------
    settings
        The settings.
    root
        The project's folder.
    values
        The stack's configuration, secrets among it, by key.

    Returns
    -------
    tuple
        How images are named and pulled, and what is wrong with what the settings refer to.
    """
    problems: list[Problem] = []
    digests: dict[str, str] = {}
    if settings.digests is not None:
        digests = _digests(settings.digests.path, root, problems)
    pull_secret = None
    if settings.pull_secret is not None:
        pull_secret = _pull_secret(settings.pull_secret.secret, values, problems)
    authority = None
    if settings.certificate_authority is not None:
        authority = _authority(settings.certificate_authority.path, root, problems)
    rules = ImageRules(
        mirrors=dict(sorted(settings.mirrors.items())),
        digests=digests,
        pull_secret=None if settings.pull_secret is None else PULL_SECRET,
    )
    images = Images(rules=rules, pull_secret=pull_secret, certificate_authority=authority)
    return images, problems


def _authority(setting: str, root: Path, problems: list[Problem]) -> str | None:
    mend = "name a PEM file that holds the certificates of authorities, and nothing else"
    try:
        text = in_project(root, setting).read_bytes()
        found = x509.load_pem_x509_certificates(text)
    except FileNotFoundError:
        why = "there is no such file"
    except IsADirectoryError:
        why = "it is a folder"
    except OSError as error:
        why, mend = f"it can't be read ({error.strerror})", "let its permissions allow it"
    except ValueError:
        why = "it holds no certificate"
    else:
        if b"PRIVATE KEY" not in text:
            # Only the certificates: what stands beside them is a reader's.
            return "".join(one.public_bytes(Encoding.PEM).decode() for one in found)
        why = "it holds a private key"
    place = key_path(["imageRepository", "certificateAuthority", "path"])
    problems.append(Problem(key=place, value=shown(setting), why=why, mend=mend))
    return None


def read_without_secrets(settings: ImageRepositorySettings, root: Path) -> tuple[Images, list[Problem]]:
    """Read what the settings of images refer to where no Secret is made, and so none is known.

    Parameters
    ----------
    settings
        The settings.
    root
        The project's folder.
    """
    images, problems = read_images(settings.model_copy(update={"pull_secret": None}), root, {})
    if settings.pull_secret is not None:
        images = replace(images, rules=replace(images.rules, pull_secret=PULL_SECRET), pull_secret="")
    return images, problems


_MAKE_ANEW: Final = "make it anew: .venv/bin/python -m operations images lock --stack STACK"


def _digests(setting: str, root: Path, problems: list[Problem]) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        document = parse_yaml(in_project(root, setting).read_text())
    except FileNotFoundError:
        wrong = [("there is no such file", _MAKE_ANEW.replace(" anew", ""))]
    except IsADirectoryError:
        wrong = [("it is a folder", "name the file in it that images lock wrote")]
    except OSError as error:
        wrong = [(f"it can't be read ({error.strerror})", "let its permissions allow it")]
    except (YamlError, UnicodeDecodeError) as error:
        wrong = [(f"it is not YAML ({error})", _MAKE_ANEW)]
    else:
        wrong = _read_digests({} if document is None else document, found)
    place = key_path(["imageRepository", "digests", "path"])
    problems += [Problem(key=place, value=shown(setting), why=why, mend=mend) for why, mend in wrong]
    return dict(sorted(found.items()))


def unpinned(
    settings: EnvironmentSettings, images: Images, prepared: Mapping[str, Mapping[str, PreparedRelease]]
) -> list[str]:
    """Warn of images that the file of digests says nothing of: an upgrade brings new names.

    Parameters
    ----------
    settings
        The settings.
    images
        How images are named and pulled.
    prepared
        By compute cluster: the releases it gets, by name.

    Returns
    -------
    list of str
        One line with all of them, or none.
    """
    if settings.image_repository.digests is None:
        return []
    named: set[str] = set()
    for releases in prepared.values():
        named |= {image for release in releases.values() for image in release.contents.images}
        if (agent := releases.get(API_SYNCAGENT_CRDS)) is not None:
            named |= set(own_images(gateway=bool(settings.gateway.clusters), syncer_version=agent.version))
    found = {name.tagged for name in map(parse, named) if name.digest is None}
    if not (missing := sorted(found - images.rules.digests.keys())):
        return []
    why = f"it has no digest of {', '.join(missing)}: what runs is what a registry has under the name"
    place = key_path(["imageRepository", "digests", "path"])
    return [
        str(Problem(key=place, value=shown(settings.image_repository.digests.path), why=why, mend=_MAKE_ANEW))
    ]


def _read_digests(document: object, found: dict[str, str]) -> list[tuple[str, str]]:
    """Put the digests of a document into `found`; say what is wrong with the others, and the mend."""
    if not isinstance(document, Mapping):
        return [("it is not a mapping", "write a line for each image: ghcr.io/team/app:v1: sha256:…")]
    wrong: list[tuple[str, str]] = []
    for image, digest in document.items():
        try:
            name = parse(str(image))
        except ImageNameError as error:
            wrong.append((str(error), "correct the line, or make the file anew"))
            continue
        if name.digest is not None or not is_digest(digest):
            why = f"the line of {shown(str(image))} is not an image's name with its digest"
            mend = "write the name with its tag, and behind it sha256: with 64 hexadecimal digits"
            wrong.append((why, mend))
        elif found.setdefault(name.tagged, str(digest)) != digest:
            wrong.append((f"it has two digests of {name.tagged}", "keep the one that is meant"))
    return wrong


def _pull_secret(key: str, values: Entry, problems: list[Problem]) -> str | None:
    """Read the credentials; nothing of their value is ever told."""
    why = _wrong_with(document := _document(values.get(key)))
    if why is None:
        auths = document["auths"]
        return json.dumps({"auths": {host: auths[host] for host in sorted(auths)}}, separators=(",", ":"))
    problems.append(
        Problem(
            key=key_path(["imageRepository", "pullSecret", "secret"]),
            value=shown(key),
            why=f"the value of that key {why}",
            mend=(
                f"set it anew: pulumi config set --secret {key} < FILE, where FILE is what docker login or"
                " podman login writes without a credential helper"
            ),
        )
    )
    return None


def _document(value: object) -> Any:  # noqa: ANN401 -- whatever somebody put there
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _wrong_with(document: object) -> str | None:
    if not isinstance(document, Mapping):
        return "is not the JSON of a .docker/config.json"
    auths = document.get("auths")
    if not isinstance(auths, Mapping) or not auths:
        return "names no registry under auths"
    if not all(
        isinstance(entry, Mapping) and any(entry.get(one) for one in _CREDENTIALS) for entry in auths.values()
    ):
        return "names a registry under auths without a credential"
    return None
