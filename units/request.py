"""What a unit is asked to do: read from the environment and standard input."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from units.errors import UnitError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Condition:
    """Something that must hold after a unit was applied.

    Attributes
    ----------
    resource
        `<resource>.<group>/<name>`, as kubectl takes it.
    holds
        What to wait for, as `kubectl wait --for` takes it.
    namespace
        Its namespace; None for what has none.
    """

    resource: str
    holds: str
    namespace: str | None = None


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """Objects that others made on a unit's behalf and leave behind.

    Attributes
    ----------
    resource
        `<resource>.<group>`, as kubectl takes it.
    namespace
        Their namespace.
    selector
        Selector of their labels.
    """

    resource: str
    namespace: str
    selector: str


@dataclass(frozen=True, kw_only=True)
class LetGo:
    """A finalizer that what the unit installed has put on objects of others, and that nobody else takes off.

    Attributes
    ----------
    resource
        `<resource>.<group>`, as kubectl takes it, of the objects: those of all namespaces.
    finalizer
        The finalizer.
    """

    resource: str
    finalizer: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a unit is asked to do.

    Attributes
    ----------
    name
        Name of the unit, and of its inventory.
    version
        Version of what it applies; None where that has none.
    sha256
        Digest that its manifest must have.
    server
        URL of the API server; None where the kubeconfig's own is meant.
    parent
        URL of the parent workspace and name of the workspace in it; None outside kcp.
    kubeconfig
        File with the credential.
    namespace
        Namespace of the inventory.
    field_manager
        Name under which fields are owned.
    incarnation
        Number of the application; above 0, fields that others took are taken back.
    manifest_file
        File with the manifest, or None where it is on standard input.
    shared_file
        File with objects that other units apply as well, and that come before the manifest; None without.
    conditions
        What must hold afterwards, beside CRDs and workloads.
    wait_seconds
        How long that may take.
    drain
        Resources whose objects go before the unit does.
    release_finalizers
        Finalizers that are taken off such objects in the end.
    cancel
        Resources whose unfinished objects are cancelled once it is applied.
    leftovers
        What goes after the unit's own objects.
    let_go
        Finalizers that are taken off the objects of others once the unit is gone.
    force
        Whether fields that somebody else holds are taken at once, not only at a raised incarnation.
    adopt
        Whether what somebody else has installed is taken over.
    abandoned
        Whether the cluster is lost for ever, so that there is nothing to delete.
    """

    name: str
    version: str | None
    sha256: str
    server: str | None
    parent: tuple[str, str] | None
    kubeconfig: Path
    namespace: str
    field_manager: str
    incarnation: int
    manifest_file: Path | None
    shared_file: Path | None
    conditions: tuple[Condition, ...]
    wait_seconds: int
    drain: tuple[str, ...]
    release_finalizers: tuple[str, ...]
    cancel: tuple[str, ...]
    leftovers: tuple[Leftover, ...]
    let_go: tuple[LetGo, ...]
    force: bool
    adopt: bool
    abandoned: bool

    @property
    def title(self) -> str:
        """What its messages call it: its name, and its version where it has one."""
        return f"{self.name} {self.version}" if self.version else self.name

    def manifest(self, stdin: str) -> str:
        """Get the manifest, and make sure that it is the one that was reviewed.

        Parameters
        ----------
        stdin
            What stands on standard input.

        Raises
        ------
        UnitError
            It is not there, or has another digest.
        """
        text = stdin if self.manifest_file is None else _text(self.manifest_file)
        if self.shared_file is not None:
            text = _text(self.shared_file) + text
        found = hashlib.sha256(text.encode()).hexdigest()
        if found != self.sha256:
            raise UnitError(
                f"the manifest has sha256 {found}, but {self.sha256} was asked for; run pulumi up anew"
            )
        return text


def _text(manifest: Path) -> str:
    try:
        return manifest.read_text()
    except OSError as error:
        raise UnitError(
            f"the manifest {manifest} can't be read ({error.strerror}); "
            "run pulumi preview in the project's folder, which makes it anew, where the settings are those"
            " of the last pulumi up"
        ) from None


def read_request(environment: Mapping[str, str]) -> Request:
    """Read what a unit is asked to do.

    Parameters
    ----------
    environment
        The environment's variables.

    Raises
    ------
    UnitError
        A variable is missing or can't be read.
    """
    kubeconfig = Path(_required(environment, "UNIT_KUBECONFIG"))
    manifest_file = environment.get("UNIT_MANIFEST")
    shared_file = environment.get("UNIT_SHARED")
    workspace = environment.get("UNIT_WORKSPACE")
    abandoned = environment.get("UNIT_ABANDONED") == "true"
    server, parent = (None, None) if not workspace or abandoned else _addresses(kubeconfig, workspace)
    return Request(
        name=_required(environment, "UNIT_NAME"),
        version=environment.get("UNIT_VERSION") or None,
        sha256=_required(environment, "UNIT_SHA256"),
        server=server,
        parent=parent,
        kubeconfig=kubeconfig,
        namespace=_required(environment, "UNIT_NAMESPACE"),
        field_manager=_required(environment, "UNIT_FIELD_MANAGER"),
        incarnation=_number(environment, "UNIT_INCARNATION", 0),
        manifest_file=Path(manifest_file) if manifest_file else None,
        shared_file=Path(shared_file) if shared_file else None,
        conditions=tuple(
            Condition(resource=entry["resource"], holds=entry["for"], namespace=entry.get("namespace"))
            for entry in json_list(environment, "UNIT_WAIT")
        ),
        wait_seconds=_number(environment, "UNIT_WAIT_SECONDS", 300),
        drain=tuple(json_list(environment, "UNIT_DRAIN")),
        release_finalizers=tuple(json_list(environment, "UNIT_RELEASE_FINALIZERS")),
        cancel=tuple(json_list(environment, "UNIT_CANCEL")),
        leftovers=tuple(Leftover(**entry) for entry in json_list(environment, "UNIT_LEFTOVERS")),
        let_go=tuple(LetGo(**entry) for entry in json_list(environment, "UNIT_LET_GO")),
        force=environment.get("UNIT_FORCE") == "true",
        adopt=environment.get("UNIT_ADOPT") == "true",
        abandoned=abandoned,
    )


def _required(environment: Mapping[str, str], key: str) -> str:
    value = environment.get(key)
    if not value:
        raise UnitError(f"{key} is not set; this module is run by the Pulumi program, not by hand")
    return value


def _number(environment: Mapping[str, str], key: str, default: int) -> int:
    value = environment.get(key, str(default))
    if not value.isdecimal():
        raise UnitError(f'{key} is "{value}", which is not a number')
    return int(value)


def json_list(environment: Mapping[str, str], key: str) -> list[Any]:
    """Read a variable that is a list in JSON; where it is not set, the list is empty.

    Parameters
    ----------
    environment
        The environment's variables.
    key
        Name of the variable.

    Raises
    ------
    UnitError
        It can't be read.
    """
    value = environment.get(key, "[]")
    try:
        found = json.loads(value)
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise UnitError(f"{key} is not a list in JSON")
    return found


def _addresses(kubeconfig: Path, workspace: str) -> tuple[str, tuple[str, str]]:
    """Address a workspace and its parent.

    The loader writes kubeconfigs as JSON with kcp's own address, so one file serves every workspace, those
    of tenants that are no longer in the settings included.
    """
    try:
        document = json.loads(kubeconfig.read_text())
        base = document["clusters"][0]["cluster"]["server"].rstrip("/")
    except FileNotFoundError:
        raise UnitError(missing_kubeconfig(kubeconfig)) from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise UnitError(
            f"{kubeconfig} is not a kubeconfig as the program writes it; run pulumi up anew"
        ) from None
    above, _, last = workspace.rpartition(":")
    return f"{base}/clusters/{workspace}", (f"{base}/clusters/{above}", last)


def missing_kubeconfig(path: Path) -> str:
    """Say that a kubeconfig is not there, and what to do.

    Parameters
    ----------
    path
        The file.
    """
    return (
        f"the kubeconfig {path} is not there: the program writes it, so run pulumi up, "
        "or pulumi destroy --run-program, while the settings still name the target"
    )
