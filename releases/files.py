"""Find and write files; a reader, or a later run, never finds half of one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

RUN_FOLDER: Final = ".run"
"""Folder of the files that the program makes, in the project's folder; git-ignored."""


def in_project(project: Path, path: str) -> Path:
    """Find a file that settings name.

    Parameters
    ----------
    project
        The project's folder.
    path
        The path as it was given: relative to that folder, absolute, or from somebody's home (`~`).
    """
    try:
        return project / Path(path).expanduser()
    except RuntimeError:
        # There is no such user here: as it stands it names no file either, and that is told of it.
        return project / path


def write_atomic(path: Path, content: str | bytes, *, mode: int = 0o644) -> bool:
    """Write ``content`` to ``path`` in one step, unless it already stands there with ``mode``.

    Parameters
    ----------
    path
        The file; missing folders above it are made.
    content
        The whole content.
    mode
        Permission bits, in force from the first moment the file exists.

    Returns
    -------
    bool
        Whether the file was written.
    """
    data = content.encode() if isinstance(content, str) else content
    if path.exists() and path.read_bytes() == data and path.stat().st_mode & 0o777 == mode:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return True
