"""A bare Git repository on disk, read and written by git's own plumbing: every id in it is a real one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from local.commands import run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BRANCH: Final = "main"
IDENTITY: Final = {
    "GIT_AUTHOR_NAME": "Alice",
    "GIT_AUTHOR_EMAIL": "alice@example.com",
    "GIT_COMMITTER_NAME": "Alice",
    "GIT_COMMITTER_EMAIL": "alice@example.com",
    # What the machine's owner has configured must not decide what a commit looks like.
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
}
ZERO: Final = "0" * 40
"""What stands in an event for a commit that isn't there."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry of a tree: a file (``blob``) or a folder (``tree``)."""

    mode: str
    kind: str
    sha: str
    path: str


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A commit.

    Attributes
    ----------
    sha, tree
        Its id, and that of its tree.
    parents
        Ids of the commits before it; none for a first one.
    message
        What its author wrote.
    at
        When, in ISO 8601.
    changes
        The files that it added, changed or removed: path and ``added``, ``modified`` or ``removed``.
    """

    sha: str
    tree: str
    parents: tuple[str, ...]
    message: str
    at: str
    changes: Mapping[str, str]


class Repository:
    """A repository of one owner.

    Parameters
    ----------
    folder
        Where it lies; it is made where it is missing.
    number
        Its number at the provider.
    owner, name
        Its names there.
    html_url
        Its address for people, which events carry, and by which a tenant's entry names it.
    """

    def __init__(self, folder: Path, number: int, owner: str, name: str, html_url: str) -> None:
        self._folder = folder
        self.number = number
        self.owner = owner
        self.name = name
        self.html_url = html_url
        if not (folder / "HEAD").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            self._git("init", "--quiet", "--bare", f"--initial-branch={BRANCH}", ".")

    @property
    def full_name(self) -> str:
        """Owner and name."""
        return f"{self.owner}/{self.name}"

    def commit(self, files: Mapping[str, str], message: str, *, branch: str = BRANCH) -> Commit:
        """Make a commit on top of a branch.

        Parameters
        ----------
        files
            The text of each file that it adds or changes, by path; all others stay.
        message
            The commit's message.
        branch
            The branch; it is made where it is missing.
        """
        before = self.head(branch)
        index = {"GIT_INDEX_FILE": str(self._folder / "events.index")}
        self._git("read-tree", before if before != ZERO else "--empty", more=index)
        for path, text in files.items():
            blob = self._git("hash-object", "-w", "--stdin", stdin=text).strip()
            self._git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", more=index)
        tree = self._git("write-tree", more=index).strip()
        parents = () if before == ZERO else ("-p", before)
        sha = self._git("commit-tree", tree, *parents, "-m", message).strip()
        self._git("update-ref", f"refs/heads/{branch}", sha)
        return self.read_commit(sha)

    def head(self, branch: str = BRANCH) -> str:
        """Return the id of a branch's last commit, or `ZERO` where there is none."""
        found = self._git("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}").strip()
        return found or ZERO

    def resolve(self, name: str) -> str | None:
        """Return the id of what is named by its id, a branch or `refs/…`; None where there is none."""
        for candidate in (name, f"refs/heads/{name}"):
            found = self._git("cat-file", "--batch-check=%(objectname)", stdin=f"{candidate}\n").strip()
            if found and " " not in found:  # else it says that it is missing, or ambiguous
                return found
        return None

    def kind(self, sha: str) -> str:
        """Return what an object is: ``commit``, ``tree`` or ``blob``."""
        return self._git("cat-file", "-t", sha).strip()

    def tree(self, sha: str, *, recursive: bool) -> list[Entry]:
        """List a tree, or a commit's one."""
        options = ("-r", "-t") if recursive else ()
        entries = []
        for line in self._git("ls-tree", "-z", *options, sha).split("\0"):
            if line:
                about, path = line.split("\t", 1)
                mode, kind, entry = about.split()
                entries.append(Entry(mode=mode, kind=kind, sha=entry, path=path))
        return entries

    def blob(self, sha: str) -> str:
        """Return a file's text."""
        return self._git("cat-file", "blob", sha)

    def read_commit(self, sha: str) -> Commit:
        """Read a commit."""
        tree, parents, at, message = self._git(
            "show", "--no-patch", "--format=%T%x00%P%x00%cI%x00%B", sha
        ).split("\0", 3)
        words = {"A": "added", "M": "modified", "D": "removed"}
        listed = self._git(
            "diff-tree", "--root", "-r", "--no-renames", "--no-commit-id", "--name-status", "-z", sha
        )
        fields = listed.split("\0")[:-1]
        return Commit(
            sha=sha,
            tree=tree,
            parents=tuple(parents.split()),
            message=message.rstrip("\n"),
            at=at,
            changes={path: words[status] for status, path in zip(fields[::2], fields[1::2], strict=True)},
        )

    def _git(self, *arguments: str, stdin: str | None = None, more: Mapping[str, str] | None = None) -> str:
        return run(
            ["git", f"--git-dir={self._folder}", *arguments],
            what=f"repository {self.owner}/{self.name}",
            stdin=stdin,
            environment={**os.environ, **IDENTITY, **(more or {})},
            directory=self._folder,
        )
