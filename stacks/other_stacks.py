"""What another stack exports, read while the program runs: the values are known in a preview too.

A `pulumi.StackReference` gives outputs, whose values can't decide what is composed. The engine's function
behind it gives the values themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pulumi

from stacks.problems import nearest, shown

_READ_STACK_OUTPUTS: Final = "pulumi:pulumi:readStackOutputs"
_REFUSED: Final = re.compile(r"unauthorized|forbidden|permission|access ?denied|\[40[13]\]", re.IGNORECASE)
_REASON_CHARACTERS: Final = 300


class StackReferenceError(pulumi.RunError):
    """What another stack exports can't be used.

    It is a `pulumi.RunError`, so that the engine prints its line alone, without a traceback.

    Parameters
    ----------
    stack
        Name of the stack, as it was given.
    why
        What is wrong.
    mend
        What to do about it.
    """

    def __init__(self, stack: str, why: str, mend: str) -> None:
        self.stack: Final = stack
        self.why: Final = why
        self.mend: Final = mend
        super().__init__(f"stack {shown(stack)}: {why}; {mend}")


class StackOutputs(Mapping[str, Any]):
    """The outputs of a stack, by name: plain values, secrets among them.

    Its representation names the outputs and shows no value. Numbers are floats: the engine's protocol has no
    others.

    Parameters
    ----------
    stack
        Name of the stack.
    values
        The outputs' values.
    secret_names
        Names of the outputs that are secret in whole or in part. Whoever passes such a value on to a resource
        or an output wraps it in `pulumi.Output.secret` again.
    """

    def __init__(self, stack: str, values: Mapping[str, Any], secret_names: frozenset[str]) -> None:
        self.stack: Final = stack
        self.secret_names: Final = secret_names
        self._values: Final = dict(values)

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 -- whatever the stack exports
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"StackOutputs({self.stack!r}, {sorted(self._values)})"

    def require(self, name: str) -> Any:  # noqa: ANN401 -- whatever the stack exports
        """Give an output that must be there, and not be empty.

        Parameters
        ----------
        name
            Name of the output.

        Raises
        ------
        StackReferenceError
            The stack has no such output, it is null, or it is a secret that can't be decrypted here.
        """
        value = self._values.get(name)
        if value is None:
            raise StackReferenceError(
                self.stack,
                f"it has no output {shown(name)}",
                nearest(name, self._values, what="its outputs"),
            )
        if value == {} and name in self.secret_names:
            # The engine puts an empty mapping in the place of a secret that it can't decrypt.
            raise StackReferenceError(
                self.stack,
                f"its secret output {shown(name)} is empty or can't be decrypted here",
                "run with the passphrase or key of that stack's secrets provider",
            )
        return value


def read_stack_outputs(stack: str) -> StackOutputs:
    """Read what another stack exports; only inside a program that the engine runs.

    Each call reads the state anew. Nothing is logged.

    Parameters
    ----------
    stack
        Name of the stack: `organization/project/stack`, or `stack` alone for one of the same project. In a
        self-managed backend the organization is the word `organization`.

    Raises
    ------
    StackReferenceError
        There is no such stack, it exports nothing (so it is not deployed), or it may not or can't be read.
    """
    try:
        result = pulumi.runtime.invoke(_READ_STACK_OUTPUTS, {"name": stack}).value
    except Exception as error:  # noqa: BLE001 -- the SDK raises no narrower class for what the engine refuses
        raise _refused(stack, str(error)) from None
    outputs = result["outputs"]
    if not outputs:
        raise StackReferenceError(
            stack,
            "it exports nothing: it is not deployed yet, or was destroyed",
            "deploy it first: pulumi up",
        )
    return StackOutputs(stack, outputs, frozenset(result.get("secretOutputNames") or ()))


def _refused(stack: str, message: str) -> StackReferenceError:
    # What the engine says stands after its own account of the call.
    reason = " ".join(message.rpartition("returned an error: ")[2].split())[:_REASON_CHARACTERS]
    if "unknown stack" in reason:
        return StackReferenceError(
            stack,
            "there is no such stack in this backend",
            "name it organization/project/stack, as pulumi stack ls --all shows it",
        )
    if _REFUSED.search(reason):
        return StackReferenceError(
            stack,
            f"it may not be read ({reason})",
            "log in with an account that may read that stack's state: pulumi login",
        )
    return StackReferenceError(
        stack, f"it can't be read ({reason})", "mend what the engine names, and run this again"
    )
