"""What a layered product imports: the outputs of a Pipeline Service environment, with types.

The values are plain and known in a preview too, so that they can decide what the product composes::

    environment = read_environment("acme/pipeline-service/production")
    provider = kubernetes.Provider("tenant", kubeconfig=kubeconfig_for(environment.tenant("team-a").url))

What can't be used is refused by a `StackReferenceError`, which the engine prints as one line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pulumi
from pydantic import ValidationError

from stacks.other_stacks import StackReferenceError, read_stack_outputs
from stacks.outputs import SCHEMA_VERSION, EnvironmentOutputs
from stacks.problems import nearest, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stacks.other_stacks import StackOutputs
    from stacks.outputs import ComputeClusterOutputs, TenantOutputs

__all__ = ["Environment", "StackReferenceError", "read_environment"]

_Entry = TypeVar("_Entry")

_NAMED_PLACES: Final = 3
"""How many places of outputs that don't fit an error names: the first tell enough."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """An environment of Pipeline Service, as another program sees it.

    Attributes
    ----------
    stack
        Name of its stack, as it was given.
    outputs
        What it exports, plain and known.
    credentials
        What it exports as a secret, by name: a secret output. Empty where that stack's secrets can't be
        decrypted here.
    """

    stack: str
    outputs: EnvironmentOutputs
    credentials: pulumi.Output[Mapping[str, Any]] = field(repr=False)

    def tenant(self, name: str) -> TenantOutputs:
        """Give a tenant.

        Parameters
        ----------
        name
            Its name in the environment's settings.

        Raises
        ------
        StackReferenceError
            The environment has no such tenant.
        """
        return self._entry("tenant", name, self.outputs.tenants)

    def compute_cluster(self, name: str) -> ComputeClusterOutputs:
        """Give a compute cluster.

        Parameters
        ----------
        name
            Its name in the environment's settings.

        Raises
        ------
        StackReferenceError
            The environment has no such compute cluster.
        """
        return self._entry("compute cluster", name, self.outputs.compute_clusters)

    def _entry(self, what: str, name: str, entries: Mapping[str, _Entry]) -> _Entry:
        if name not in entries:
            raise StackReferenceError(
                self.stack, f"it has no {what} {shown(name)}", nearest(name, entries, what=f"{what}s")
            )
        return entries[name]


def read_environment(stack: str) -> Environment:
    """Read an environment; only inside a program that the engine runs.

    Outputs that a newer program of the same schema version has added are left aside.

    Parameters
    ----------
    stack
        Name of its stack: `organization/project/stack`. In a self-managed backend the organization is the
        word `organization`.

    Raises
    ------
    StackReferenceError
        The stack is not there, not deployed, may not be read, is no environment of Pipeline Service, or
        exports another schema version than this package reads.
    """
    exported = read_stack_outputs(stack)
    _check_version(exported)
    try:
        outputs = EnvironmentOutputs.model_validate(dict(exported), extra="ignore")
    except ValidationError as error:
        # Places only, no values: nothing of another stack belongs in a log.
        places = [".".join(map(str, details["loc"])) for details in error.errors(include_input=False)]
        more = ", …" if len(places) > _NAMED_PLACES else ""
        raise StackReferenceError(
            stack,
            f"its outputs are not those of schema version {SCHEMA_VERSION}"
            f" (wrong or missing: {', '.join(places[:_NAMED_PLACES])}{more})",
            "name the stack of a Pipeline Service environment, or deploy that environment anew",
        ) from None
    credentials = pulumi.Output.secret(exported.get("credentials") or {})
    return Environment(stack=stack, outputs=outputs, credentials=credentials)


def _check_version(exported: StackOutputs) -> None:
    version = exported.get("schemaVersion")
    if not isinstance(version, int | float) or isinstance(version, bool):
        raise StackReferenceError(
            exported.stack,
            "it is no environment of Pipeline Service: it exports no schemaVersion",
            f"name the stack of one (this one exports: {', '.join(sorted(exported))})",
        )
    if version != SCHEMA_VERSION:
        older = version < SCHEMA_VERSION
        raise StackReferenceError(
            exported.stack,
            f"it exports schema version {version:g}, and this package reads {SCHEMA_VERSION}",
            "deploy that environment with a newer program, or install the package of the release it runs"
            if older
            else "install the package of the release that environment runs",
        )
