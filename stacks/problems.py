"""What is wrong with a stack's settings, as lines an SRE can act on."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pulumi
from pydantic_core import PydanticCustomError

from stacks.secrecy import looks_secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

PROJECT: Final = "pipeline-service"
"""Name of the Pulumi project, and so the namespace of its configuration keys."""

_SHOWN_CHARACTERS: Final = 80

_TYPE_NAMES: Final[Mapping[str, tuple[str, str]]] = {
    "string_type": ("a text is needed", "write it in quotes"),
    "int_type": ("a whole number is needed", "write digits without quotes"),
    "int_parsing": ("a whole number is needed", "write digits without quotes"),
    "float_type": ("a number is needed", "write digits without quotes"),
    "bool_type": ("true or false is needed", "write true or false without quotes"),
    "bool_parsing": ("true or false is needed", "write true or false without quotes"),
    "dict_type": ("a mapping is needed", "write keys and values under it, indented"),
    "mapping_type": ("a mapping is needed", "write keys and values under it, indented"),
    "model_type": ("a mapping is needed", "write keys and values under it, indented"),
    "model_attributes_type": ("a mapping is needed", "write keys and values under it, indented"),
    "list_type": ("a list is needed", "write it as [first, second]"),
    "tuple_type": ("a list is needed", "write it as [first, second]"),
}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong with a stack's settings.

    Attributes
    ----------
    key
        Path of the key, as `pulumi config` names it, e.g. `pipeline-service:tenants.demo.cluster`.
    value
        The value as it may be shown, or an empty text where there is none.
    why
        Why it is refused.
    mend
        What to do about it.
    """

    key: str
    value: str
    why: str
    mend: str

    def __str__(self) -> str:
        shown = f" {self.value}:" if self.value else ""
        return " ".join(f"{self.key}:{shown} {self.why}; {self.mend}".split())


class SettingsError(pulumi.RunError):
    """The settings can't be used.

    It is a `pulumi.RunError`, so that the engine prints these lines alone, without a traceback.

    Parameters
    ----------
    problems
        Everything that was found, at least one.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: Final = tuple(sorted(problems, key=lambda problem: (problem.key, problem.why)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def refuse(why: str, mend: str) -> NoReturn:
    """Refuse a value inside a pydantic validator.

    Parameters
    ----------
    why
        Why the value is refused.
    mend
        What to do about it.

    Raises
    ------
    PydanticCustomError
        Always.
    """
    raise PydanticCustomError("setting", "{why}", {"why": why, "mend": mend})


def key_path(parts: Sequence[str | int]) -> str:
    """Name a key as `pulumi config` does.

    Parameters
    ----------
    parts
        Path from the configuration's section down.
    """
    return f"{PROJECT}:" + ".".join("(credential)" if looks_secret(part) else str(part) for part in parts)


def shown(value: object) -> str:
    """Show a value in an error.

    Long, nested and multi-line values, and what looks like a credential, are only described: a kubeconfig
    pasted where a reference belongs must not reach a terminal or a log.

    Parameters
    ----------
    value
        What was given.
    """
    if looks_secret(value):
        return "what looks like a credential"
    if isinstance(value, str):
        fits = len(value) <= _SHOWN_CHARACTERS and value.isprintable()
        return f'"{value}"' if fits else f"a text of {len(value)} characters"
    if value is None or isinstance(value, bool | int | float):
        return "nothing" if value is None else str(value).lower()
    return {"dict": "a mapping", "list": "a list", "tuple": "a list"}.get(type(value).__name__, "a value")


def nearest(name: str, known: Iterable[str], *, what: str) -> str:
    """Suggest the known name that was probably meant.

    Parameters
    ----------
    name
        What was given.
    known
        The names there are.
    what
        What they are, in the plural.
    """
    names = sorted(known)
    if not names:
        return f"there are no {what} yet"
    match difflib.get_close_matches(name, names, n=1):
        case [match]:
            return f'did you mean "{match}"? ({what}: {", ".join(names)})'
    return f"{what}: {', '.join(names)}"


def from_validation(error: ValidationError, known_keys: Mapping[str, Sequence[str]]) -> list[Problem]:
    """Turn pydantic's errors into problems.

    Parameters
    ----------
    error
        What pydantic found.
    known_keys
        For an unknown key: the keys that are known where it stands, by the dotted pattern of the place
        (`tenants.*.quota`; an empty text for the top).
    """
    found = error.errors(include_url=False)
    # pydantic counts the items that are right: of a list with a wrong item it also says that it is too short.
    faulty = {details["loc"][:-1] for details in found}
    return [
        _problem(details, known_keys)
        for details in found
        if details["type"] != "too_short" or details["loc"] not in faulty
    ]


def _problem(details: ErrorDetails, known_keys: Mapping[str, Sequence[str]]) -> Problem:
    # pydantic marks an error of a mapping's key, not its value, by a last part "[key]".
    place = [part for part in details["loc"] if part != "[key]"]
    value = shown(details["input"])
    context: Mapping[str, Any] = details.get("ctx", {})
    match details["type"]:
        case "setting":
            why, mend = context["why"], context["mend"]
        case "extra_forbidden":
            # Whatever it is, a credential under a key of somebody's own for instance.
            value = ""
            known = next((keys for at, keys in known_keys.items() if _fits(at, place[:-1])), ())
            why, mend = "unknown key", nearest(str(place[-1]), known, what="known keys")
        case "missing":
            value, why, mend = (
                "",
                "a required key is missing",
                "add it (docs/configuration.md has an example)",
            )
        case "enum":
            why, mend = "not one of the values there are", f"use {context['expected']}"
        case "greater_than_equal":
            why, mend = "the number is too small", f"use {context['ge']:g} or more"
        case "less_than_equal":
            why, mend = "the number is too big", f"use {context['le']:g} or less"
        case kind if kind in _TYPE_NAMES:
            why, mend = _TYPE_NAMES[kind]
        case _:
            why, mend = details["msg"], "correct it as docs/configuration.md says"
    return Problem(key=key_path(place), value=value, why=why, mend=mend)


def _fits(pattern: str, place: Sequence[str | int]) -> bool:
    parts = pattern.split(".") if pattern else []
    return len(parts) == len(place) and all(
        part in ("*", str(at)) for part, at in zip(parts, place, strict=True)
    )
