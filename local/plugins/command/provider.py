"""The provider: ``command:local:Command``.

Behaviour from source: pulumi-command v1.2.1 (provider/pkg/provider/local) and the library it is made with,
pulumi-go-provider v1.3.0 (infer/resource.go).
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, ClassVar, Final

from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2

from local.plugins.command.process import DEFAULT_INTERPRETER, CommandLine, ProcessGroups, run
from local.plugins.install import PLUGIN_VERSIONS
from local.plugins.protocol.differences import diff_response, differences
from local.plugins.protocol.engine import Reporter
from local.plugins.protocol.errors import ProviderError, UnsupportedError
from local.plugins.protocol.paths import contains, parse_path
from local.plugins.protocol.provider import Provider
from local.plugins.protocol.values import (
    UNKNOWN,
    Properties,
    Value,
    decode,
    encode,
    has_unknown,
    reveal,
    secret_strings,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.plugins.protocol.engine import Engine
    from local.plugins.protocol.lifetime import Lifetime

COMMAND: Final = "command:local:Command"
LOGGING: Final = ("stdout", "stderr", "stdoutAndStderr", "none")
INPUT_TYPES: Final[dict[str, type[Any]]] = {
    "create": str,
    "update": str,
    "delete": str,
    "stdin": str,
    "dir": str,
    "logging": str,
    "interpreter": list,
    "environment": dict,
    "triggers": list,
    "addPreviousOutputInEnv": bool,
}
REFUSED_INPUTS: Final = ("assetPaths", "archivePaths")
OUTPUTS: Final = ("stdout", "stderr")


class CommandProvider(Provider):
    """The stand-in for pulumi-resource-command."""

    name: ClassVar[str] = "command"
    version: ClassVar[str] = PLUGIN_VERSIONS["command"]

    def __init__(self, engine: Engine, lifetime: Lifetime) -> None:
        super().__init__(engine, lifetime)
        self._groups = ProcessGroups()
        lifetime.at_end(self._groups.close)

    def check(self, request: provider_pb2.CheckRequest) -> provider_pb2.CheckResponse:
        """Verify the inputs; nothing is added to them."""
        _require_command(request.urn)
        inputs = decode(request.news)
        failures = check_inputs(inputs)
        return provider_pb2.CheckResponse(
            inputs=request.news,
            failures=[
                provider_pb2.CheckFailure(property=name, reason=reason) for name, reason in failures.items()
            ],
        )

    def diff(self, request: provider_pb2.DiffRequest) -> provider_pb2.DiffResponse:
        """Compare old inputs with new ones: a changed trigger replaces, everything else updates."""
        ignored = [parse_path(text) for text in request.ignoreChanges]
        found = {
            path: change
            for path, change in differences(_inputs(request.old_inputs), _inputs(request.news)).items()
            if not any(contains(pattern, path) for pattern in ignored)
        }
        return diff_response(found, [path for path in found if path[0] == "triggers"])

    def create(self, request: provider_pb2.CreateRequest) -> provider_pb2.CreateResponse:
        """Run ``create``, if given."""
        inputs = decode(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(
                id="", properties=encode({**inputs, **dict.fromkeys(OUTPUTS, UNKNOWN)})
            )
        outputs = self._run(request.urn, inputs.get("create"), inputs, {})
        return provider_pb2.CreateResponse(
            id=f"{request.urn.rpartition('::')[2]}{secrets.token_hex(4)}",
            properties=encode({**inputs, **outputs}),
        )

    def read(self, request: provider_pb2.ReadRequest) -> provider_pb2.ReadResponse:
        """Return what is in the state: a command has nothing to look at."""
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    def update(self, request: provider_pb2.UpdateRequest) -> provider_pb2.UpdateResponse:
        """Run ``update``, or ``create`` where that is not given."""
        old, inputs = decode(request.olds), decode(request.news)
        previous = {name: old.get(name, "") for name in OUTPUTS}
        if request.preview:
            changed = has_unknown(inputs) or any(key in old and old[key] != inputs[key] for key in inputs)
            outputs = dict.fromkeys(OUTPUTS, UNKNOWN) if changed else previous
        else:
            script = inputs.get("create") if inputs.get("update") is None else inputs["update"]
            outputs = self._run(request.urn, script, inputs, previous)
        return provider_pb2.UpdateResponse(properties=encode({**inputs, **outputs}))

    def delete(self, request: provider_pb2.DeleteRequest) -> empty_pb2.Empty:
        """Run ``delete``, if given, with the inputs that are in the state."""
        state = decode(request.properties)
        self._run(request.urn, state.get("delete"), state, {name: state.get(name, "") for name in OUTPUTS})
        return empty_pb2.Empty()

    def _run(self, urn: str, script: Value, inputs: Properties, previous: Mapping[str, Value]) -> Properties:
        if script is None:
            return dict(previous) or dict.fromkeys(OUTPUTS, "")
        command = command_line(script, inputs, previous)
        reporter = Reporter(self.engine, urn, command.secrets)
        stdout, stderr = run(command, self._groups, self.lifetime, reporter.output)
        return {"stdout": stdout, "stderr": stderr}


def check_inputs(inputs: Properties) -> dict[str, str]:
    """Find what is wrong with the inputs of a Command.

    Parameters
    ----------
    inputs : Properties
        As the program gave them; unknown values are accepted as they are.

    Returns
    -------
    dict of str to str
        Property to reason; empty where all is well.

    Raises
    ------
    UnsupportedError
        Where an input is one that the stand-in does not have.
    """
    failures: dict[str, str] = {}
    for name, wrapped in inputs.items():
        value: Value = reveal(wrapped)
        if name in REFUSED_INPUTS and value is not None:
            raise UnsupportedError(f"input {name} of {COMMAND}", "command")
        if value is None or value is UNKNOWN or name in REFUSED_INPUTS or name.startswith("__"):
            continue
        wanted = INPUT_TYPES.get(name)
        if wanted is None:
            failures[name] = f"{name} is not an input of {COMMAND}: remove it"
        elif not isinstance(value, wanted):
            failures[name] = f"{name} is a {type(value).__name__}, but must be a {wanted.__name__}"
        elif name == "logging" and value not in LOGGING:
            failures[name] = f"logging is {value!r}, but must be one of {', '.join(LOGGING)}"
        elif name in ("interpreter", "environment"):
            items = value.values() if name == "environment" else value
            if not all(isinstance(item, str) or item is UNKNOWN for item in items):
                failures[name] = f"{name} holds a value that is not a string: write each as a string"
    return failures


def command_line(script: Value, inputs: Properties, previous: Mapping[str, Value]) -> CommandLine:
    """Make the command to run from a Command's properties.

    Parameters
    ----------
    script : Value
        The value of ``create``, ``update`` or ``delete``.
    inputs : Properties
        All inputs.
    previous : Mapping[str, Value]
        ``stdout`` and ``stderr`` of the run before, empty where this is the first.

    Returns
    -------
    CommandLine
        What to run.

    Raises
    ------
    ProviderError
        Where an input that is needed has no value, as in a state written by an interrupted run.
    """
    plain: dict[str, Any] = reveal(inputs)
    if has_unknown(plain):
        raise ProviderError("an input of the Command has no value yet, so it cannot run")
    environment = dict(plain.get("environment") or {})
    if plain.get("addPreviousOutputInEnv") is not False:
        for name in OUTPUTS:
            if text := reveal(previous.get(name)):
                environment[f"PULUMI_COMMAND_{name.upper()}"] = text
    logging = plain.get("logging") or "stdoutAndStderr"
    return CommandLine(
        script=reveal(script),
        interpreter=plain.get("interpreter") or DEFAULT_INTERPRETER,
        environment=environment,
        stdin=plain.get("stdin") or "",
        directory=plain.get("dir"),
        log_stdout=logging in ("stdout", "stdoutAndStderr"),
        log_stderr=logging in ("stderr", "stdoutAndStderr"),
        secrets=secret_strings(inputs) | secret_strings(dict(previous)),
    )


def _inputs(struct: Any) -> Properties:  # noqa: ANN401 (a protobuf Struct, untyped in the SDK's stubs)
    """Return the inputs that count for a difference: not the engine's own."""
    return {
        key: value for key, value in decode(struct).items() if key != "version" and not key.startswith("__")
    }


def _require_command(urn: str) -> None:
    """Refuse every other resource type of the package by name."""
    resource_type = urn.split("::")[2].rpartition("$")[2]
    if resource_type != COMMAND:
        raise UnsupportedError(f"resource type {resource_type}", "command")
