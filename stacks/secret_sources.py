"""Reading the secrets that settings refer to, by a key of the configuration or by a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from releases.files import in_project
from stacks.problems import Problem, key_path, shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stacks.partial import Entry
    from stacks.sections import SecretSource


def read_secret(
    source: SecretSource, place: Sequence[str | int], root: Path, values: Entry
) -> tuple[str, list[Problem]]:
    """Read a secret; nothing of its value is ever told.

    Parameters
    ----------
    source
        Where it is.
    place
        Path of the key under which the settings name that.
    root
        The project's folder.
    values
        The stack's configuration, secrets among it, by key.

    Returns
    -------
    tuple
        The secret without the line break that ends a file, an empty text where there is none; and what is
        wrong with it.
    """
    if source.secret is not None:
        given, key, mend = (
            values.get(source.secret),
            "secret",
            f"set it anew: pulumi config set --secret {source.secret} < FILE",
        )
        text = given.rstrip("\r\n") if isinstance(given, str) else ""
        why = "" if text else "the value of that key is empty, or no text"
    else:
        text, why = _file(in_project(root, str(source.path)))
        key, mend = "path", "correct the path, which is relative to the project's folder, or the file"
    if not why:
        return text, []
    where = source.secret if source.path is None else source.path
    return "", [Problem(key=key_path([*place, key]), value=shown(where), why=why, mend=mend)]


def _file(path: Path) -> tuple[str, str]:
    """Read a file's text, and say what is wrong where there is none."""
    try:
        text = path.read_text(encoding="utf-8").rstrip("\r\n")
    except FileNotFoundError:
        return "", "there is no such file"
    except UnicodeDecodeError:
        return "", "the file is not text"
    except OSError as error:
        return "", f"the file can't be read ({error.strerror})"
    return text, "" if text else "the file is empty"
