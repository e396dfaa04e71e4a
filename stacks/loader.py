"""The only reader of a stack's configuration: from the engine, or from a stack file without an engine."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pulumi
from pulumi.runtime import config as runtime_config

from releases.bundle import BundleFile
from releases.catalog import ARGO_CD, ARGO_CD_HA
from releases.errors import ImageError, ReleaseError, file_problem
from releases.fetch import Directory, Published, Source
from releases.files import RUN_FOLDER, in_project, write_atomic
from releases.prepare import PreparedRelease, prepare
from stacks.backends import state_warnings
from stacks.gateway_sources import GatewaySources, read_gateway
from stacks.github_app import GitHubApp, read_github_app
from stacks.image_checks import not_served
from stacks.image_sources import Images, read_images, read_without_secrets, unpinned
from stacks.kubeconfig_sources import Sources
from stacks.kubeconfigs import Kubeconfig
from stacks.mapping_releases import adaptation
from stacks.notices import notices
from stacks.problems import PROJECT, Problem, SettingsError, key_path, shown
from stacks.results_sources import ResultsSources, read_results
from stacks.settings import EnvironmentSettings, ReleasesSettings
from stacks.shared_manifests import shared_manifests
from stacks.signing import SigningKey, read_signing_key
from stacks.validation import validated
from stacks.vocabulary import KCP_TARGET
from stacks.wanted_releases import wanted_releases
from stacks.yaml_text import YamlError, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from components.unit import SharedManifest
    from stacks.sections import SecretReference

_MANIFESTS: Final = "manifests"
"""Folder of manifests that units apply, among the files made for a stack."""

_STACK_FILE: Final = re.compile(r"Pulumi\.(?P<stack>[A-Za-z0-9._-]+)\.ya?ml")


@dataclass(frozen=True, kw_only=True)
class LoadedEnvironment:
    """An environment's settings with what they refer to.

    Attributes
    ----------
    stack
        Name of the stack.
    settings
        The settings.
    kubeconfigs
        The kubeconfig of `kcp` and of each compute cluster, by name.
    prepared
        By compute cluster: the releases it gets, ready to apply, by name.
    folder
        Folder of the files made for this stack, relative to the project's folder.
    shared
        By tenant with a workspace of ours: what stands in it as in those of others.
    images
        How images are named and pulled.
    secrets
        The stack's secret texts, by the keys of its configuration.
    gateway
        What the settings of the gateway refer to.
    signing_key
        What Tekton Chains signs with; None without it.
    github_app
        The GitHub App of Pipelines as Code; None without one.
    results
        What the settings of Tekton Results refer to.
    """

    stack: str
    settings: EnvironmentSettings
    kubeconfigs: Mapping[str, Kubeconfig]
    prepared: Mapping[str, Mapping[str, PreparedRelease]]
    folder: Path
    shared: Mapping[str, SharedManifest] = field(default_factory=dict)
    images: Images = field(default_factory=Images)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    gateway: GatewaySources = field(default_factory=GatewaySources)
    signing_key: SigningKey | None = None
    github_app: GitHubApp | None = None
    results: ResultsSources = field(default_factory=ResultsSources)

    @property
    def kcp(self) -> Kubeconfig:
        """The kubeconfig of kcp."""
        return self.kubeconfigs[KCP_TARGET]

    def release(self, cluster: str, name: str) -> PreparedRelease:
        """Find a release as a cluster gets it.

        Parameters
        ----------
        cluster
            Name of the cluster.
        name
            Name of the release, one of those that `wanted_releases` names for the cluster.
        """
        return self.prepared[cluster][name]

    def secret(self, reference: SecretReference) -> pulumi.Output[str]:
        """Get a secret that the settings refer to; the engine keeps it secret from here on.

        Parameters
        ----------
        reference
            Where the settings refer to it.
        """
        return pulumi.Output.secret(self.secrets[reference.secret])

    def kubeconfig_file(self, target: str) -> Path:
        """Name the file in which the units find a target's kubeconfig.

        Parameters
        ----------
        target
            `kcp`, or the name of a compute cluster.

        Returns
        -------
        Path
            A path that is relative to the project's folder, and stable: it is among the units' inputs.
        """
        return kubeconfig_file(self.folder, target)


def kubeconfig_file(folder: Path, target: str) -> Path:
    """Name the file of a target's kubeconfig among the files made for a stack.

    Parameters
    ----------
    folder
        Folder of these files.
    target
        `kcp`, or the name of a compute cluster.
    """
    return folder / "kubeconfigs" / f"{target}.kubeconfig"


def load(project: Path | None = None) -> LoadedEnvironment:
    """Load the settings of the stack that the engine runs.

    Kubeconfigs are written for the units only where resources are really changed: a preview runs no unit,
    and so leaves no credential behind.

    Parameters
    ----------
    project
        The project's folder; by default the working directory, where the engine starts the program.

    Raises
    ------
    SettingsError
        Something is wrong with the settings or with what they refer to; it lists everything found.
    """
    root = project or Path()
    values, secrets = _engine_configuration()
    settings = validated(values, secrets)
    stack = pulumi.get_stack()
    _warn(settings, root, stack)
    targets, problems = Sources(root=root, values=values, variables=os.environ).kubeconfigs(settings)
    folder = Path(RUN_FOLDER) / stack
    images, wrong = read_images(settings.image_repository, root, values)
    problems += wrong
    signing_key, wrong = read_signing_key(settings.tekton.chains, values)
    problems += wrong
    gateway, wrong = read_gateway(settings, root, values)
    problems += wrong
    github_app, wrong = read_github_app(settings.pipelines_as_code, root, values)
    problems += wrong
    results, wrong = read_results(settings, values)
    problems += wrong
    prepared = _prepared(settings, images, root, folder, problems)
    if problems:
        raise SettingsError(problems)
    for line in (*gateway.warnings(), *unpinned(settings, images, prepared)):
        pulumi.log.warn(line)
    environment = LoadedEnvironment(
        stack=stack,
        settings=settings,
        kubeconfigs=targets,
        prepared=prepared,
        folder=folder,
        shared=shared_manifests(settings, folder / _MANIFESTS),
        images=images,
        secrets={key: value for key, value in values.items() if key in secrets and isinstance(value, str)},
        gateway=gateway,
        signing_key=signing_key,
        github_app=github_app,
        results=results,
    )
    try:
        _write_files(environment, root)
    except OSError as error:
        raise SettingsError([_of_file(error)]) from None
    return environment


def _write_files(environment: LoadedEnvironment, root: Path) -> None:
    for file, text in {one.file: one.text for one in environment.shared.values() if one.file}.items():
        write_atomic(root / file, text)
    if not pulumi.runtime.is_dry_run():
        for name, kubeconfig in environment.kubeconfigs.items():
            text = (kubeconfig.at_kcp() if name == KCP_TARGET else kubeconfig).render()
            write_atomic(root / environment.kubeconfig_file(name), text, mode=0o600)


def load_stack_file(path: Path) -> LoadedEnvironment:
    """Load a stack file with the releases that Argo CD applies, without an engine and without a secret.

    Parameters
    ----------
    path
        A file named `Pulumi.<stack>.yaml`, in the project's folder.

    Raises
    ------
    SettingsError
        Something is wrong with the settings or the manifests; it lists everything found.
    """
    settings = read_stack_file(path)
    name = _STACK_FILE.fullmatch(path.name)
    stack = name["stack"] if name else path.stem
    folder = Path(RUN_FOLDER) / stack
    images, problems = read_without_secrets(settings.image_repository, path.parent)
    prepared = _prepared(settings, images, path.parent, folder, problems, without=(ARGO_CD, ARGO_CD_HA))
    if problems:
        raise SettingsError(problems)
    return LoadedEnvironment(
        stack=stack, settings=settings, kubeconfigs={}, prepared=prepared, folder=folder, images=images
    )


def read_stack_file(path: Path, text: str | None = None) -> EnvironmentSettings:
    """Read a stack file without an engine.

    What the settings refer to (kubeconfig files, secrets) is not looked at: it may not exist yet.

    Parameters
    ----------
    path
        A file named `Pulumi.<stack>.yaml`.
    text
        What is to be written into it; by default what stands there.

    Raises
    ------
    SettingsError
        The file can't be read, or its settings are wrong; it lists everything found.
    """
    if not _STACK_FILE.fullmatch(path.name):
        raise _unreadable(path, "a stack file's name has the form Pulumi.<stack>.yaml", "name the file so")
    try:
        document = parse(path.read_text() if text is None else text)
    except FileNotFoundError:
        raise _unreadable(
            path, "there is no such file", "correct the path, or make it: pulumi stack init"
        ) from None
    except OSError as error:
        raise _unreadable(
            path, f"it can't be read ({error.strerror})", "let its permissions allow it"
        ) from None
    except YamlError as error:
        raise _unreadable(path, str(error), "correct it") from None
    except UnicodeDecodeError:
        raise _unreadable(path, "it is not text", "write it in UTF-8") from None
    configuration = document.get("config") if isinstance(document, dict) else None
    if not isinstance(configuration, dict) or not configuration:
        raise _unreadable(
            path, "it has no settings", "write them under config: (docs/configuration.md has an example)"
        )
    prefix = f"{PROJECT}:"
    # Of a section that stands twice, the last one would win in silence.
    if twice := [key for key in configuration if ":" not in key and f"{prefix}{key}" in configuration]:
        why, mend = f"it stands twice, with and without {prefix}", "make one section of the two"
        raise SettingsError(Problem(key=key_path([key]), value="", why=why, mend=mend) for key in twice)
    values = {
        key.removeprefix(prefix): value
        for key, value in configuration.items()
        # As the engine has it, a key without a namespace is the project's.
        if key.startswith(prefix) or ":" not in key
    }
    secrets = {key for key, value in values.items() if isinstance(value, dict) and set(value) == {"secure"}}
    return validated(values, secrets)


def _warn(settings: EnvironmentSettings, root: Path, stack: str) -> None:
    stack_file = root / f"Pulumi.{stack}.yaml"
    for line in (
        *notices(settings),
        *state_warnings(settings, project=root, stack_file=stack_file, variables=os.environ),
    ):
        pulumi.log.warn(line)


def _unreadable(path: Path, why: str, mend: str) -> SettingsError:
    return SettingsError([Problem(key=str(path), value="", why=why, mend=mend)])


def _engine_configuration() -> tuple[dict[str, Any], set[str]]:
    """Read this project's keys from the engine: values (objects parsed), and which keys are secret."""
    prefix = f"{PROJECT}:"
    values: dict[str, Any] = {}
    secrets: set[str] = set()
    for full_key, text in runtime_config.CONFIG.get().items():
        if not full_key.startswith(prefix):
            continue
        key = full_key.removeprefix(prefix)
        if runtime_config.is_config_secret(full_key):
            secrets.add(key)
        values[key] = _parsed(text)
    return values, secrets


def _parsed(text: object) -> object:
    # The engine hands objects over as JSON and everything else as it stands.
    if isinstance(text, str) and text.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


def release_source(settings: ReleasesSettings, root: Path) -> tuple[Source, list[str], str | None]:
    """Tell where the manifests of releases come from.

    Parameters
    ----------
    settings
        The section releases.
    root
        The project's folder.

    Returns
    -------
    tuple
        The source, the place of the key that names it, and that key's value, None where it is not given.
    """
    if settings.bundle is not None:
        return BundleFile(in_project(root, settings.bundle)), ["releases", "bundle"], settings.bundle
    place = ["releases", "directory"]
    if settings.directory is not None:
        return Directory(path=in_project(root, settings.directory)), place, settings.directory
    return Published(cache=root / RUN_FOLDER / "releases", report=pulumi.log.warn), place, None


def _prepared(  # noqa: PLR0913 -- what is prepared, and three places
    settings: EnvironmentSettings,
    images: Images,
    root: Path,
    folder: Path,
    problems: list[Problem],
    *,
    without: tuple[str, ...] = (),
) -> dict[str, dict[str, PreparedRelease]]:
    source, place, setting = release_source(settings.releases, root)
    # Most clusters get the very same: each different one is read once.
    made: dict[tuple[str, str, str], PreparedRelease | None] = {}
    prepared: dict[str, dict[str, PreparedRelease]] = {}
    for cluster, releases in wanted_releases(settings).items():
        prepared[cluster] = {}
        for name, version in releases.items():
            if name in without:
                continue
            adapted = adaptation(settings, cluster, name, images)
            key = (name, version, adapted.as_json())
            if key not in made:
                try:
                    made[key] = prepare(
                        name,
                        version=version,
                        adaptation=adapted,
                        source=source,
                        root=root,
                        folder=folder / _MANIFESTS,
                    )
                except (ReleaseError, OSError) as error:
                    made[key] = None
                    problem = _of_release(error, place, setting)
                    if problem not in problems:
                        problems.append(problem)
            if (one := made[key]) is not None:
                prepared[cluster][name] = one
    if settings.image_repository.offline:
        named = {image for one in made.values() if one is not None for image in one.contents.images}
        problems += not_served(named, images.rules.mirrors)
    return prepared


def _of_release(error: ReleaseError | OSError, place: list[str], setting: str | None) -> Problem:
    if isinstance(error, OSError):
        return _of_file(error)
    if isinstance(error, ImageError):
        place, setting = ["imageRepository", error.setting], None
    return Problem(
        key=key_path(place), value=shown(setting) if setting else "", why=error.why, mend=error.mend
    )


def _of_file(error: OSError) -> Problem:
    file, why, mend = file_problem(error)
    return Problem(key=file, value="", why=why, mend=mend)
