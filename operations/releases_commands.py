"""Command line of the releases: lock, verify, bundle, compare."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from operations.errors import OperationError
from operations.image_archives import archives_of
from operations.images import images_of, left_without
from operations.projects import find_project, stack_files
from operations.releases_files import Side, files_of, is_bundle, is_there, sides
from operations.signals import ended_by_signals
from releases.bundle import BundleFile, broken_members, write_bundle
from releases.catalog import catalog, file_name, find
from releases.errors import BrokenBundleError, ReleaseError, file_error
from releases.fetch import Directory, Published, Source
from releases.files import RUN_FOLDER
from releases.lock import hold_against, lock_key, read_lock
from releases.summary import Summary, markdown, summarize
from stacks.loader import read_stack_file, release_source
from stacks.problems import SettingsError
from stacks.wanted_releases import wanted_releases

app = typer.Typer(no_args_is_help=True, help="Lock, verify, bundle and compare third-party releases.")

_HERE: Final = Path()
_DIFFERS: Final = 3
_NOT_LOCKED: Final = 4

Project: TypeAlias = Annotated[Path, typer.Option(help="Folder of Pulumi.yaml, or one below it.")]
From: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--from", help="Folder or bundle that manifests are taken from; default: the catalog's URLs."
    ),
]


@app.command("lock")
def lock_command(
    names: Annotated[list[str] | None, typer.Argument(help="Releases; default: all of the catalog.")] = None,
    *,
    project: Project = _HERE,
) -> None:
    """Fetch every supported version, and record its sha256 where the lock has none yet."""
    with _reported("lock"):
        source = Published(cache=_cache(find_project(project)), report=typer.echo)
        failed = False
        for name in names or sorted(catalog()):
            for version in find(name).supported:
                known = lock_key(name, version) in read_lock()
                try:
                    source.manifest(name, find(name, version))
                except ReleaseError as error:
                    failed = True
                    typer.echo(f"lock: {error}", err=True)
                else:
                    if known:
                        typer.echo(f"{name} {version}: as locked")
        if failed:
            raise typer.Exit(1)


@app.command("verify")
def verify_command(
    path: Annotated[
        Path | None, typer.Argument(help="Folder or bundle; default: what was fetched from URLs.")
    ] = None,
    *,
    project: Project = _HERE,
) -> None:
    """Hold manifests against the lock; ends with 3 where one differs, or with 4 where it lacks one.

    A bundle that is not whole, or a file that is none, ends with 3, too.
    """
    with _reported("verify", broken=_DIFFERS):
        place = is_there(path) if path else _cache(find_project(project))
        if not place.exists():
            raise OperationError("nothing was fetched from URLs here yet; name a folder or a bundle")
        broken = broken_members(place) if place.is_file() else []
        for name in broken:
            typer.echo(f"{name}: differs from what the bundle's index says")
        found = [] if broken else hold_against(read_lock(), files_of(place))
        for one in found:
            typer.echo(str(one))
        if not broken and not found:
            raise OperationError(f"{place} holds no release's manifest; name another folder or a bundle")
        if broken or any(one.differs for one in found):
            raise typer.Exit(_DIFFERS)
        if any(one.locked is None for one in found):
            raise typer.Exit(_NOT_LOCKED)


@app.command("bundle")
def bundle_command(  # noqa: PLR0913 -- one parameter for each option
    *,
    stack: Annotated[str, typer.Option(help="The stack whose clusters it is for.")],
    out: Annotated[Path, typer.Option(help="The archive, *.tar.gz.")],
    images: Annotated[Path | None, typer.Option(help="Folder with OCI archives of the images.")] = None,
    more: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="NAME=VERSION",
            help="A release more, such as the version to go back to; may be repeated.",
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IMAGE",
            help="Beginning of images' names that need no archive, such as Windows'; may be repeated.",
        ),
    ] = None,
    project: Project = _HERE,
) -> None:
    """Write one archive of all that a stack's clusters get, for a site without a network."""
    with _reported("bundle"), ended_by_signals():
        if not is_bundle(out):
            raise OperationError(f"--out {out}: a bundle's name ends in .tar.gz")
        if out.is_dir():
            raise OperationError(f"--out {out}: it is a folder; name a file in it")
        root = find_project(project)
        settings = read_stack_file(stack_files(root, [stack], every=False)[0])
        wanted = {item for cluster in wanted_releases(settings).values() for item in cluster.items()}
        if not wanted:
            raise OperationError(f"stack {stack} has no cluster, and so needs no release")
        asked = {_asked(text) for text in more or ()}
        source, *_ = release_source(settings.releases, root)
        manifests = {
            file_name(name, version): source.manifest(name, find(name, version))
            for name, version in sorted(wanted | asked)
        }
        needed = images_of(settings, root, stack, asked)
        archives: Mapping[str, Path] = {}
        if images is not None:
            archives, missing = archives_of(images, left_without(needed, without or ()))
            if missing:
                raise OperationError(
                    f"{images} has no archive of {', '.join(missing)}; put them there, or name by --without"
                    " what the clusters don't need"
                )
        write_bundle(out, manifests=manifests, images=needed, archives=archives)
        typer.echo(
            f"{out}: {len(manifests)} manifests, {len(archives)} archives of {len(needed)} images needed"
        )


@app.command("diff")
def diff_command(  # noqa: PLR0913 -- one parameter for each option
    old: Annotated[str, typer.Argument(help="A version, a manifest's file, or a bundle.")],
    new: Annotated[str, typer.Argument(help="What it is compared with.")],
    *,
    release: Annotated[
        list[str] | None,
        typer.Option(
            help="Release that is compared; may be repeated. Default: all of bundles, else tekton-pipelines."
        ),
    ] = None,
    taken_from: From = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    project: Project = _HERE,
) -> None:
    """Summarise what an upgrade adds, removes and changes, as Markdown for a pull request."""
    with _reported("diff"):
        source = _source(taken_from, project)
        names = release or []
        before = sides(old, Path(old), names, source)
        # What a bundle has is what is compared, where nothing else was said; of two, all that either has.
        both = is_bundle(Path(old)) and is_bundle(Path(new))
        after = sides(new, Path(new), names if both else names or before, source)
        if absent := set(names) - before.keys() - after.keys():
            raise OperationError(
                f"neither {old} nor {new} has {min(absent)}; leave out --release {min(absent)}"
            )
        found: list[Summary] = []
        for name in sorted(before.keys() | after.keys()):
            nothing: Side = ("nothing", [])
            found.append(summarize(name, before.get(name, nothing), after.get(name, nothing)))
        if as_json:
            document = [summary.model_dump(mode="json", by_alias=True) for summary in found]
            typer.echo(json.dumps({"releases": document}, indent=2))
        else:
            typer.echo("\n".join(markdown(summary) for summary in found), nl=False)


def _asked(text: str) -> tuple[str, str]:
    name, _, version = text.partition("=")
    if not version:
        raise OperationError(f"--with {text}: write NAME=VERSION")
    return name, find(name, version).version


def _source(path: Path | None, project: Path) -> Source:
    if path is None:
        return Published(cache=_cache(find_project(project)), report=partial(typer.echo, err=True))
    return Directory(path=path) if is_there(path).is_dir() else BundleFile(path)


def _cache(root: Path) -> Path:
    return root / RUN_FOLDER / "releases"


@contextlib.contextmanager
def _reported(command: str, *, broken: int = 1) -> Iterator[None]:
    """Tell of what went wrong; a bundle that is not whole ends the command with `broken`."""
    try:
        yield
    except BrokenPipeError:
        raise  # whoever reads what is printed has read enough
    except OSError as error:
        typer.echo(f"{command}: {file_error(error)}", err=True)
        raise typer.Exit(1) from error
    except (OperationError, ReleaseError, SettingsError) as error:
        typer.echo(f"{command}: {error}", err=True)
        raise typer.Exit(broken if isinstance(error, BrokenBundleError) else 1) from error
