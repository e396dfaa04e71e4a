"""Writing the GitOps repository: what each cluster that Argo CD fills should hold, one file an object."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from itertools import permutations
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from operations.errors import OperationError
from releases.files import write_atomic
from stacks import rendering
from stacks.problems import key_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from stacks.loader import LoadedEnvironment


@dataclass(frozen=True, kw_only=True)
class Changes:
    """How a checkout differs from what it should hold; paths from its top, in order.

    Attributes
    ----------
    added
        Files that are not there.
    changed
        Files that hold something else.
    removed
        Files that an earlier rendering wrote, and that should go.
    """

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)

    def lines(self) -> Iterator[str]:
        """Say it, a line a file."""
        for mark, paths in (("+", self.added), ("~", self.changed), ("-", self.removed)):
            yield from (f"{mark} {path}" for path in paths)


def wanted(environment: LoadedEnvironment, project: Path) -> dict[str, str]:
    """Make the files that a checkout should hold, the list of them included.

    Parameters
    ----------
    environment
        The environment; its kubeconfigs are not looked at.
    project
        The project's folder.

    Returns
    -------
    dict
        Text by path, from the checkout's top.

    Raises
    ------
    OperationError
        There is no section gitops, or something may not be written to a repository.
    """
    gitops = environment.settings.gitops
    if gitops is None:
        raise OperationError(
            f"{key_path(['gitops'])}: it is not given, so there is no repository to write; add the section"
            " (docs/configuration.md)"
        )
    files: dict[str, str] = {}
    try:
        for cluster in rendering.delivered_clusters(environment):
            content = rendering.render(rendering.cluster_content(environment, cluster, project))
            files |= {f"{gitops.path}/{cluster}/{path}": text for path, text in content.items()}
    except rendering.RenderingError as error:
        raise OperationError(str(error)) from None
    return {**files, _list_of(environment): _listed(files)}


def _list_of(environment: LoadedEnvironment) -> str:
    """Name the list of a stack's files: above the clusters' folders, where no Argo CD looks."""
    gitops = environment.settings.gitops
    return f"{gitops.path if gitops else ''}/.rendered-{environment.stack}.json"


def _listed(paths: Iterable[str]) -> str:
    return json.dumps(sorted(paths), indent=1) + "\n"


def compare(environment: LoadedEnvironment, files: Mapping[str, str], checkout: Path) -> Changes:
    """Compare a checkout with what it should hold. Files that no rendering of this stack wrote don't count.

    Parameters
    ----------
    environment
        The environment.
    files
        What the checkout should hold.
    checkout
        Its top.

    Raises
    ------
    OperationError
        The checkout is no folder, or has a symbolic link in the way; a list can't be read, is lost, or stands
        where the path was before; or a cluster's folder is another stack's, too.
    """
    _refuse_no_folder(checkout)
    own = _list_of(environment)
    others = _others(own, checkout)
    before = _written_before(own, checkout)
    _refuse_links({*files, *before}, checkout)
    _refuse_moved(own, files, others)
    _refuse_anothers(own, {*files, *before}, others)
    if not (checkout / own).exists():
        _refuse_unlisted(own, files, checkout)
    there = {path: _read(checkout / path) for path in files}
    return Changes(
        added=tuple(sorted(path for path, text in there.items() if text is None)),
        changed=tuple(
            sorted(path for path, text in there.items() if text is not None and text != files[path])
        ),
        removed=tuple(sorted(path for path in before if path not in files and (checkout / path).is_file())),
    )


def write(environment: LoadedEnvironment, files: Mapping[str, str], changes: Changes, checkout: Path) -> None:
    """Bring a checkout to what it should hold; where that is cut off, the next rendering finishes it.

    Parameters
    ----------
    environment
        The environment.
    files
        What the checkout should hold.
    changes
        How it differs.
    checkout
        Its top.
    """
    own = _list_of(environment)
    # Until all is done, it lists what is there and what is to come: no file is ever without a list.
    write_atomic(checkout / own, _listed({*files, *changes.removed} - {own}), mode=0o644)
    for path in changes.removed:
        (checkout / path).unlink()
        _remove_empty((checkout / path).parent, checkout)
    for path in (*changes.added, *changes.changed):
        if path != own:
            write_atomic(checkout / path, files[path], mode=0o644)
    write_atomic(checkout / own, files[own], mode=0o644)


def _remove_empty(folder: Path, top: Path) -> None:
    while folder != top and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise OperationError(f"{path}: it can't be read ({error}); remove it") from None


def _refuse_no_folder(checkout: Path) -> None:
    there = next(path for path in (checkout, *checkout.parents) if os.path.lexists(path))
    if not there.is_dir():
        raise OperationError(
            f"--out {checkout}: {there} is no folder; give a checkout of the GitOps repository, or the name"
            " of a folder to make"
        )


def _refuse_links(paths: Iterable[str], checkout: Path) -> None:
    """Refuse to follow a link: what lies behind it may be outside of the checkout, or another cluster's."""
    files = [PurePosixPath(path) for path in paths]
    for path in sorted({one for file in files for one in (file, *file.parents[:-1])}):
        if (checkout / path).is_symlink():
            raise OperationError(
                f"{checkout / path}: it is a symbolic link, to {(checkout / path).readlink()}, where the"
                " cluster's files would go astray; nothing was written; remove the link"
            )


def _refuse_moved(own: str, files: Iterable[str], others: Mapping[str, list[str]]) -> None:
    """Refuse another path than before: the clusters' Argo CD follow the old one until `pulumi up`."""
    top, clusters = _folders(own, files)
    for name, paths in others.items():
        before, theirs = _folders(name, paths)
        both = {folder.name for folder in clusters} & {folder.name for folder in theirs}
        # Another environment's stack may have the same name, and has other clusters.
        if PurePosixPath(name).name == PurePosixPath(own).name and both:
            raise OperationError(
                f'{key_path(["gitops", "path"])}: "{top}": this stack wrote cluster {min(both)} by another'
                f" path before, as {name} says, which Argo CD may still follow; nothing was written; remove"
                f" that list alone, render, push and run pulumi up; then remove its folders in {before}; or,"
                " where it is another environment's, give the one stack or the other another name"
            )


def _refuse_anothers(own: str, paths: Iterable[str], others: Mapping[str, list[str]]) -> None:
    """Refuse clusters' folders that another stack writes in, or that lie in another's, wherever that is.

    The two would remove each other's files, and a cluster's Argo CD applies all that lies below its folder.
    """
    for name, theirs in others.items():
        shared = sorted(_shared((own, paths), (name, theirs)))
        if shared:
            raise OperationError(
                f'{key_path(["gitops", "path"])}: "{PurePosixPath(own).parent}": {shared[0]} is a cluster\'s'
                f" folder, and would hold another stack's files, too, as {name} says; nothing was written;"
                " give each stack a path of its own in the repository, in no cluster's folder, or remove that"
                " list if its stack is no more"
            )


def _refuse_unlisted(own: str, files: Mapping[str, str], checkout: Path) -> None:
    """Refuse to begin a list where there are files already: some may be what a lost one named."""
    _, clusters = _folders(own, files)
    found = (path for cluster in clusters for path in (checkout / cluster).rglob("*") if path.is_file())
    unknown = sorted({str(path.relative_to(checkout)) for path in found} - files.keys())
    if unknown:
        raise OperationError(
            f"{own}: it is not there, but {unknown[0]} is ({len(unknown)} such files in all), and nobody"
            " knows whether an earlier rendering wrote it; nothing was written; restore the list from the"
            " repository's history, or, if such files are to stay, write [] into it"
        )


def _others(own: str, checkout: Path) -> dict[str, list[str]]:
    """Read the lists of other stacks, and this one's elsewhere; a copied folder's names nothing here."""
    found = (path.relative_to(checkout) for path in checkout.rglob(".rendered-*.json"))
    names = sorted({str(path) for path in found if ".git" not in path.parts} - {own})
    return {name: paths for name in names if _all_below(paths := _read_list(name, checkout), name)}


def _shared(*listed: tuple[str, Iterable[str]]) -> Iterator[str]:
    """Find the clusters' folders of one list that are, or hold, a folder of the other one."""
    for (_, clusters), (top, others) in permutations(_folders(*each) for each in listed):
        yield from (str(one) for one in clusters for other in (top, *others) if other.is_relative_to(one))


def _folders(name: str, paths: Iterable[str]) -> tuple[PurePosixPath, set[PurePosixPath]]:
    """Name the folder that a list lies in, and those of the clusters of its files."""
    top = PurePosixPath(name).parent
    return top, {top / path.removeprefix(f"{top}/").partition("/")[0] for path in paths if path != name}


def _written_before(name: str, checkout: Path) -> list[str]:
    paths = _read_list(name, checkout)
    if not _all_below(paths, name):
        raise _no_list(name)
    return paths


def _read_list(name: str, checkout: Path) -> list[str]:
    text = _read(checkout / name)
    try:
        paths = json.loads(text or "[]")
    except ValueError:
        paths = None
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise _no_list(name)
    return paths


def _no_list(name: str) -> OperationError:
    return OperationError(
        f"{name}: it is not a list of files as this program writes it, so nobody knows which to remove;"
        " restore it from the repository's history"
    )


def _all_below(paths: Iterable[str], name: str) -> bool:
    """Tell whether the files of a list lie below its folder."""
    folder = name.rpartition("/")[0]
    return all(path.startswith(f"{folder}/") and ".." not in path.split("/") for path in paths)
