"""Secrets and the references to them: each is set, encrypted, referred to, and nowhere in plain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from stacks import partial
from stacks.problems import Problem, key_path, nearest, shown
from stacks.secrecy import looks_secret
from stacks.settings import known_keys
from stacks.vocabulary import is_secret_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from stacks.partial import Entry

_SECURE: Final = "secure"
"""Key under which a stack file holds an encrypted value."""


def references(values: Entry) -> dict[str, str]:
    """Find the keys that the settings refer to by `{secret: KEY}`.

    Parameters
    ----------
    values
        The settings as they stand in the stack file.

    Returns
    -------
    dict
        Where the reference stands (the first by name, where there are several), by the key it names.
    """
    found: dict[str, str] = {}
    for pattern, keys in known_keys().items():
        if "secret" not in keys:
            continue
        for place, owner in _places(values, pattern.split("."), ()):
            key = partial.text(owner, "secret")
            # What is no key is refused for that, by the model; a pasted credential below, without showing it.
            if key is not None and is_secret_key(key) and not looks_secret(key):
                where = key_path([*place, "secret"])
                found[key] = min(found.get(key, where), where)
    return found


def check(values: Entry, secrets: Collection[str]) -> Iterator[Problem]:
    """Find what is wrong with secrets and the references to them.

    Parameters
    ----------
    values
        The settings as they stand in the stack file.
    secrets
        The keys whose values are secret.
    """
    sections = known_keys()[""]
    referred = references(values)
    for key, place in sorted(referred.items()):
        if key in sections:
            yield Problem(
                key=place,
                value=shown(key),
                why="this key is a section of the settings, not a secret",
                mend="name the secret otherwise",
            )
        elif key not in values:
            yield Problem(
                key=key_path([key]),
                value="",
                why=f"{place} names this key, which is not set",
                mend=f"set it: pulumi config set --secret {key} < FILE",
            )
        elif key not in secrets:
            yield Problem(
                key=key_path([key]),
                value="",
                why=f"{place} names this key, whose value is not a secret",
                mend=f"set it anew: pulumi config set --secret {key} < FILE",
            )
    for key in sorted({*secrets} - {*referred}):
        if key in sections:
            yield Problem(
                key=key_path([key]),
                value="",
                why="a section is not a secret: its changes are to be seen",
                mend="write it in plain, and what is secret in it as a key of its own: {secret: KEY}",
            )
        else:
            yield Problem(
                key=key_path([key]),
                value="",
                why="nothing refers to this secret",
                mend=f"refer to it by {{secret: {key}}}, or take it out:"
                f" pulumi config rm {key} ({nearest(key, sections, what='known keys')})",
            )
    for key in sorted(values.keys() - secrets - (referred.keys() - set(sections))):
        yield from _plain(values[key], [key])


def _places(
    value: Any,  # noqa: ANN401 -- whatever stands there
    pattern: Sequence[str],
    place: tuple[str, ...],
) -> Iterator[tuple[tuple[str, ...], Entry]]:
    """Find the mappings at the places of a dotted pattern, `*` for any name."""
    if not isinstance(value, Mapping):
        return
    if not pattern:
        yield place, value
        return
    for name in list(value) if pattern[0] == "*" else [pattern[0]]:
        yield from _places(value.get(name), pattern[1:], (*place, str(name)))


def _plain(value: object, place: list[str | int]) -> Iterator[Problem]:
    if looks_secret(value):
        yield Problem(
            key=key_path(place),
            value="",
            why="it looks like a credential, in plain text",
            mend=(
                "take it out and replace it by a new one, since others may have seen it; set that by"
                " pulumi config set --secret KEY < FILE, and refer to it by {secret: KEY}"
            ),
        )
    elif isinstance(value, Mapping):
        if len(place) > 1 and set(value) == {_SECURE}:
            yield Problem(
                key=key_path(place),
                value="",
                why="an encrypted value can't stand inside a section",
                mend="set it as a key of its own, pulumi config set --secret KEY, and refer to that key",
            )
            return
        for name, one in value.items():
            yield from _plain(one, [*place, str(name)])
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _plain(one, [*place, index])
