"""Looking up the live object of a Kubernetes resource of the state, through the provider that manages it."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from operations.errors import OperationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECRET_KEY = "4dabf18193072939515e22adb298388d"  # noqa: S105 - the signature that marks a special value
_SECRET_MARK = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - of a secret one
_SECONDS = 30.0
_NO_KIND = "no matches for kind"


def provider_inputs(checkpoint: Mapping[str, Any], resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs of the provider that a resource belongs to, secrets revealed.

    Parameters
    ----------
    checkpoint
        A checkpoint exported with its secrets shown.
    resource
        A resource of it; its ``provider`` is ``<urn>::<id>``.

    Raises
    ------
    OperationError
        When the provider is not in the state.
    """
    urn, _, id_ = str(resource.get("provider", "")).rpartition("::")
    for entry in checkpoint["deployment"].get("resources") or []:
        if entry["urn"] == urn and entry.get("id") == id_:
            return {key: _reveal(value) for key, value in (entry.get("inputs") or {}).items()}
    raise OperationError(
        f"{resource['urn']}: its provider {urn or 'entry'} is not in the state; look at it by hand"
    )


def _reveal(value: object) -> object:
    if isinstance(value, dict) and value.get(_SECRET_KEY) == _SECRET_MARK and "plaintext" in value:
        return json.loads(value["plaintext"])
    return value


def find_live(
    resource: Mapping[str, Any],
    provider: Mapping[str, Any],
    *,
    root: Path,
) -> dict[str, Any] | None:
    """Return the live object of a resource, with its managed fields, or None where there is none.

    Parameters
    ----------
    resource
        A resource of the state; its inputs name the object.
    provider
        Its provider's inputs (`provider_inputs`). The kubeconfig goes into a private file for as long as
        kubectl runs, never onto a command line.
    root
        What a relative path of a kubeconfig is relative to.

    Raises
    ------
    OperationError
        When the object has no fixed name, or the cluster can't be asked.
    """
    urn = str(resource["urn"])
    manifest = _reference(resource)
    if "namespace" not in manifest["metadata"] and provider.get("namespace"):
        manifest["metadata"]["namespace"] = provider["namespace"]
    with tempfile.TemporaryDirectory(prefix="recover-") as folder:  # mode 0700
        kubeconfig = _kubeconfig(provider, urn=urn, root=root, folder=Path(folder))
        context = ["--context", str(provider["context"])] if provider.get("context") else []
        command = [
            "kubectl",
            "--kubeconfig",
            str(kubeconfig),
            *context,
            "--request-timeout",
            f"{_SECONDS:.0f}s",
        ]
        command += ["get", "-f", "-", "--output", "json", "--ignore-not-found", "--show-managed-fields"]
        try:
            done = subprocess.run(
                command,
                input=json.dumps(manifest),
                capture_output=True,
                text=True,
                check=False,
                timeout=_SECONDS * 2,
            )
        except FileNotFoundError as error:
            raise OperationError('kubectl: not on PATH; run `eval "$(make -s env)"` first') from error
        except subprocess.TimeoutExpired as error:
            raise OperationError(
                f"{urn}: its API server gives no answer; run this again when it does"
            ) from error
    if done.returncode != 0:
        if _NO_KIND in done.stderr:
            return None  # not even its kind is there
        lines = done.stderr.strip().splitlines() or [f"kubectl: exit {done.returncode}"]
        raise OperationError(
            f"{urn}: can't tell whether it exists ({lines[-1]}); run this again when its API server answers",
        )
    if not done.stdout.strip():
        return None
    answer: dict[str, Any] = json.loads(done.stdout)
    if answer.get("kind") != "List":
        return answer
    # With --ignore-not-found kubectl wraps even a single object.
    items: list[dict[str, Any]] = answer["items"]
    return items[0] if items else None


def _reference(resource: Mapping[str, Any]) -> dict[str, Any]:
    inputs = resource.get("inputs") or {}
    metadata = inputs.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    name = metadata.get("name")
    api_version, kind = inputs.get("apiVersion"), inputs.get("kind")
    if not all(isinstance(value, str) and value for value in (name, api_version, kind)):
        raise OperationError(
            f"{resource['urn']}: the state holds no fixed name; see if it exists, then `pulumi refresh`",
        )
    namespace = metadata.get("namespace")
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name} | ({"namespace": namespace} if namespace else {}),
    }


def _kubeconfig(provider: Mapping[str, Any], *, urn: str, root: Path, folder: Path) -> Path:
    value = provider.get("kubeconfig")
    if not isinstance(value, str) or not value:
        raise OperationError(f"{urn}: its provider has no kubeconfig in the state; look at it by hand")
    try:
        content = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise OperationError(f"{urn}: its provider's kubeconfig is not YAML; mend the provider") from error
    if isinstance(content, str):  # a path, which the provider takes as well
        return root / Path(content).expanduser()
    path = folder / "kubeconfig"
    path.touch(mode=0o600)
    path.write_text(value, encoding="utf-8")
    return path
