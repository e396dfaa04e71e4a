"""An environment grown on paper: more entries like one that is deployed, in the stack's state.

What the program makes of an entry is the same for each, but for its name and what is derived from that. So
the state of an entry is written again for other names. That this is just what the program would have made is
not taken on trust: the engine must find that a preview changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.names import digest

Resource = dict[str, Any]
State = dict[str, Any]


def grown(
    state: Mapping[str, Any],
    entry: str,
    names: Sequence[str],
    derived: Callable[[str], Mapping[str, str]],
    project: Path,
) -> State:
    """Write an entry's resources again for other names, after the state's other resources.

    Parameters
    ----------
    state
        The exported state, secrets in plain text.
    entry
        Name of the entry that is deployed; nothing else has it in its name.
    names
        Names of further entries.
    derived
        Tells what the program derives from a name, each by what it is.
    project
        Folder of the project, with the files that units share.
    """
    resources: list[Resource] = list(state["deployment"]["resources"])
    own = [resource for resource in resources if is_of(resource, entry)]
    old = derived(entry)
    for name in names:
        new = derived(name)
        made = []
        for resource in own:
            text = json.dumps(resource)
            for what, value in old.items():
                text = text.replace(value, new[what])
            made.append(text.replace(entry, name))
        resources += _signed(made, project)
    return {**state, "deployment": {**state["deployment"], "resources": resources}}


def is_of(resource: Mapping[str, Any], entry: str) -> bool:
    """Tell whether a resource is an entry's.

    Parameters
    ----------
    resource
        The resource.
    entry
        Name of the entry.
    """
    name: str = resource["urn"].rpartition("::")[2]
    return entry in (name, name.removeprefix("cluster-")) or name.startswith((f"{entry}-", f"{entry}."))


def _signed(texts: Sequence[str], project: Path) -> list[Resource]:
    """Read resources, with the digests of those manifests written anew that stand on standard input."""
    digests = {}
    for text in texts:
        inputs = json.loads(text).get("inputs") or {}
        variables = inputs.get("environment") or {}
        if "UNIT_SHA256" in variables and "stdin" in inputs and "UNIT_MANIFEST" not in variables:
            shared = variables.get("UNIT_SHARED")
            before = (project / shared).read_text() if shared else ""
            digests[variables["UNIT_SHA256"]] = digest(before + inputs["stdin"])
    # The digest stands in more than one resource of a unit.
    made = []
    for text in texts:
        signed = text
        for old, new in digests.items():
            signed = signed.replace(old, new)
        made.append(json.loads(signed))
    return made
