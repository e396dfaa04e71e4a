"""Where kubeconfigs come from: a file, a secret, an environment variable, or another stack's output."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from releases.files import in_project
from stacks import kubeconfigs
from stacks.kubeconfigs import Kubeconfig, KubeconfigError
from stacks.other_stacks import StackOutputs, StackReferenceError, read_stack_outputs
from stacks.problems import Problem, key_path, shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from stacks.partial import Entry
    from stacks.settings import EnvironmentSettings, KubeconfigSettings


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What settings may refer to.

    Attributes
    ----------
    root
        The project's folder, from which relative paths are found.
    values
        The stack's configuration, secrets among it, by key.
    variables
        The environment variables of the process.
    """

    root: Path
    values: Entry = field(repr=False)
    variables: Mapping[str, str] = field(repr=False)
    _stacks: dict[str, StackOutputs | StackReferenceError] = field(default_factory=dict, repr=False)

    def kubeconfigs(self, settings: EnvironmentSettings) -> tuple[dict[str, Kubeconfig], list[Problem]]:
        """Read the kubeconfig of kcp and of each compute cluster.

        Parameters
        ----------
        settings
            The settings that refer to them.

        Returns
        -------
        tuple
            Kubeconfigs by name of the target, and what is wrong with the others.
        """
        found: dict[str, Kubeconfig] = {}
        problems: list[Problem] = []
        for place, reference in settings.kubeconfigs():
            try:
                found[place[-1]] = self._kubeconfig(reference)
            except (KubeconfigError, StackReferenceError) as error:
                key = self._at_fault(reference)
                problems.append(
                    Problem(
                        key=key_path([*place, "kubeconfig", key]),
                        value=shown(getattr(reference, key)),
                        why=error.why,
                        mend=error.mend,
                    )
                )
        return found, problems

    def _at_fault(self, reference: KubeconfigSettings) -> str:
        """Name the key of a reference that could not be followed: the output's where its stack was read."""
        if isinstance(self._stacks.get(reference.stack or ""), StackOutputs):
            return "output"
        return next(iter(reference.model_dump(exclude_none=True)))

    def _kubeconfig(self, reference: KubeconfigSettings) -> Kubeconfig:
        if reference.path is not None:
            return kubeconfigs.read(in_project(self.root, reference.path))
        if reference.secret is not None:
            given: object = self.values[reference.secret]
        elif reference.environment is not None:
            given = self._variable(reference.environment)
        else:
            given = self._stack(str(reference.stack)).require(str(reference.output))
        # YAML keeps a kubeconfig that was pasted as a mapping; it is one all the same.
        return kubeconfigs.parse(given if isinstance(given, str) else json.dumps(given), self.root)

    def _variable(self, name: str) -> str:
        text = self.variables.get(name, "")
        if not text.strip():
            raise KubeconfigError(
                f"the environment variable is {'empty' if name in self.variables else 'not set'}"
                " where pulumi runs",
                f'set it: export {name}="$(cat KUBECONFIG-FILE)"',
            )
        return text

    def _stack(self, name: str) -> StackOutputs:
        if name not in self._stacks:
            try:
                self._stacks[name] = read_stack_outputs(name)
            except StackReferenceError as error:
                self._stacks[name] = error
        outputs = self._stacks[name]
        if isinstance(outputs, StackReferenceError):
            raise outputs
        return outputs
