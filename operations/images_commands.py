"""The commands of images: `python -m operations images push|lock`."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from operations import images
from operations.errors import OperationError
from operations.image_archives import archives
from operations.projects import find_project, stack_files
from releases.bundle import BundleFile
from releases.errors import ReleaseError, file_error
from releases.files import in_project, write_atomic
from releases.image_names import parse
from stacks.image_words import ImagePrefix
from stacks.loader import read_stack_file
from stacks.problems import SettingsError, from_validation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stacks.image_settings import ImageRepositorySettings
    from stacks.settings import EnvironmentSettings

app = typer.Typer(no_args_is_help=True, help="Put images into registries, and pin them.")

_HERE = Path()
_Project = Annotated[Path, typer.Option(help="Folder of Pulumi.yaml, or one below it.")]
_Authfile = Annotated[
    Path | None, typer.Option(help="Credentials, as docker login writes them; else your own.", exists=True)
]
_CertDir = Annotated[
    Path | None, typer.Option(help="Folder with the registry's own authority, ca.crt.", exists=True)
]
_PlainHttp = Annotated[
    bool, typer.Option("--plain-http", help="The registry has no TLS that can be trusted.")
]


def _settings(project: Path, stack: str) -> tuple[Path, EnvironmentSettings]:
    root = find_project(project)
    return root, read_stack_file(stack_files(root, [stack], every=False)[0])


@contextlib.contextmanager
def _reported(command: str) -> Iterator[None]:
    """Tell of what went wrong in a line, and end with 1."""
    try:
        yield
    except BrokenPipeError:
        raise  # whoever reads what is printed has read enough
    except (OperationError, ReleaseError, SettingsError, OSError) as error:
        told = file_error(error) if isinstance(error, OSError) else error
        console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)
        console.print(f"images {command}: {told}")
        raise typer.Exit(1) from error


def _mirrors(project: Path, to: str | None, stack: str | None) -> dict[str, str]:
    if (to is None) == (stack is None):
        raise OperationError("give either --to REGISTRY or --stack NAME")
    if stack is not None:
        return dict(_settings(project, stack)[1].image_repository.mirrors)
    try:
        TypeAdapter(ImagePrefix).validate_python(to)
    except ValidationError as error:
        [problem] = from_validation(error, {})
        raise OperationError(f"--to: {problem.value}: {problem.why}; {problem.mend}") from None
    return {}


def _held(source: Path, scratch: Path) -> dict[str, Path]:
    """Find the archives of a folder, or of a bundle, by image."""
    if not source.is_dir():
        # What was changed on its way gets into no registry.
        BundleFile(source).extract_archives(scratch)
    held = archives(source if source.is_dir() else scratch)
    if not held:
        raise OperationError(f"{source} holds no archive of an image, *.tar")
    return held


def _lock_file(root: Path, settings: ImageRepositorySettings) -> Path:
    if settings.digests is None:
        raise OperationError(
            "imageRepository.digests is not given, so --out FILE is needed;"
            " then name that file in the stack file: digests: {path: FILE}"
        )
    return in_project(root, settings.digests.path)


@app.command("push")
def push_command(  # noqa: PLR0913 -- the command's options
    *,
    source: Annotated[
        Path,
        typer.Option("--from", help="Folder with OCI archives *.tar, or a bundle of releases.", exists=True),
    ],
    to: Annotated[str | None, typer.Option(help="Registry, with a path or without, for all of them.")] = None,
    stack: Annotated[
        str | None, typer.Option(help="Stack whose imageRepository.mirrors say where to.")
    ] = None,
    project: _Project = _HERE,
    authfile: _Authfile = None,
    cert_dir: _CertDir = None,
    plain_http: _PlainHttp = False,
) -> None:
    """Copy images into a registry: each under its whole name behind --to, or where the stack's mirrors say.

    It needs skopeo. What a registry has already is not sent again.
    """
    access = images.Access(authfile=authfile, cert_dir=cert_dir, plain_http=plain_http)
    with _reported("push"):
        mirrors = _mirrors(project, to, stack)
        with tempfile.TemporaryDirectory() as scratch:
            held = _held(source, Path(scratch))
            where = images.places(held, registry=to, mirrors=mirrors)
            images.push(held, where, access, typer.echo)
    if to is not None:
        typer.echo("\nmirrors:")
        for registry in sorted({parse(image).registry for image in held}):
            typer.echo(f"  {registry}: {to}/{registry}")


@app.command("lock")
def lock_command(  # noqa: PLR0913 -- the command's options
    *,
    stack: Annotated[str, typer.Option(help="The stack whose images are pinned.")],
    without: Annotated[
        list[str] | None,
        typer.Option(help="Beginning of images' names to leave out, such as Windows'; may be repeated."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write; by default the one of imageRepository.digests.")
    ] = None,
    project: _Project = _HERE,
    authfile: _Authfile = None,
    cert_dir: _CertDir = None,
    plain_http: _PlainHttp = False,
) -> None:
    """Ask the registries, or their mirrors, which images the names stand for, and write it down.

    It needs skopeo. A changed file shows in the next preview as what it changes.
    """
    access = images.Access(authfile=authfile, cert_dir=cert_dir, plain_http=plain_http)
    with _reported("lock"):
        root, settings = _settings(project, stack)
        of_images = settings.image_repository
        target = out or _lock_file(root, of_images)
        named = images.images_of(settings, root, stack)
        wanted = images.left_without(named, without or ())
        found = images.digests(wanted, of_images.mirrors, access, typer.echo)
        changed = write_atomic(target, images.lock_text(found))
    typer.echo(f"{target}: {len(found)} images, {'written' if changed else 'unchanged'}")
