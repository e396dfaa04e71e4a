"""Command line of the tenants: it edits stack files, and leaves `pulumi up` to the pull request."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer
from rich.console import Console

from operations import tenant, tenant_export, tenant_show
from operations.api_servers import ApiServers
from operations.errors import OperationError
from operations.projects import find_project, stack_files
from operations.stack_file import StackFile
from operations.tenant import NewTenant, Role, Who
from operations.tenant_placement import place
from releases.errors import file_error
from releases.files import write_atomic
from stacks import kubeconfigs
from stacks.backends import elsewhere
from stacks.kubeconfigs import KubeconfigError
from stacks.problems import SettingsError, nearest
from stacks.settings import DEFAULT_POOL

app = typer.Typer(no_args_is_help=True, help="Onboard, change and offboard tenants.")

_HERE: Final = Path()
_OF_ADMINS: Final = ", and the bindings by which they gave roles to others or to themselves,"
_USERS: Final = Path(".local/users")

Name: TypeAlias = Annotated[str, typer.Argument(help="Name of the tenant.", metavar="NAME")]
Stack: TypeAlias = Annotated[str, typer.Option(help="The stack whose file is meant.")]
Project: TypeAlias = Annotated[Path, typer.Option(help="Folder of Pulumi.yaml, or one below it.")]
DryRun: TypeAlias = Annotated[bool, typer.Option("--dry-run", help="Print the diff, and write nothing.")]
Names: TypeAlias = list[str] | None
Users: TypeAlias = Annotated[Names, typer.Option("--user", help="A user; may be repeated.")]
Groups: TypeAlias = Annotated[Names, typer.Option("--group", help="A group; may be repeated.")]
Accounts: TypeAlias = Annotated[
    Names,
    typer.Option(
        "--service-account", help="A service account of the workspace, as NAMESPACE/NAME; may be repeated."
    ),
]
GivenRole: TypeAlias = Annotated[Role, typer.Argument(help="The role; binder is for external tenants.")]


@app.command("add")
def add_command(  # noqa: PLR0913 -- one parameter for each option
    name: Name,
    *,
    stack: Stack,
    project: Project = _HERE,
    cluster: Annotated[str | None, typer.Option(help="Its cluster; default: the least-loaded one.")] = None,
    pool: Annotated[str, typer.Option(help="Pool in which the least-loaded cluster is sought.")] = "",
    admin_user: Names = None,
    admin_group: Names = None,
    developer_user: Names = None,
    developer_group: Names = None,
    viewer_user: Names = None,
    viewer_group: Names = None,
    external: Annotated[str | None, typer.Option(help="Path of its workspace, if someone else's.")] = None,
    binder_user: Names = None,
    binder_group: Names = None,
    namespace: Annotated[Names, typer.Option(help="A namespace; default: the one of this name.")] = None,
    quota: Annotated[Names, typer.Option(help="Such as cpu=8; may be repeated.", metavar="KEY=VALUE")] = None,
    repository: Annotated[Names, typer.Option(help="URL of a Git repository; may be repeated.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Add a tenant's entry, on the least-loaded active cluster of its pool."""
    with _reported("add"):
        before = _read(project, stack)
        if cluster is not None and pool:
            raise OperationError("give either --cluster or --pool")
        why = ""
        if cluster is None:
            cluster, why = place(before.settings, pool or DEFAULT_POOL)
        given = NewTenant(
            cluster=cluster,
            external=external,
            roles={
                Role.ADMIN: Who(users=admin_user or (), groups=admin_group or ()),
                Role.DEVELOPER: Who(users=developer_user or (), groups=developer_group or ()),
                Role.VIEWER: Who(users=viewer_user or (), groups=viewer_group or ()),
                Role.BINDER: Who(users=binder_user or (), groups=binder_group or ()),
            },
            namespaces=namespace or (),
            quota=quota or (),
            repositories=repository or (),
        )
        after = tenant.add(before, name, given)
        if why:
            _say(f"{name} is placed on {cluster}: {why}")
        _finish(before, after, dry_run=dry_run)


@app.command("show")
def show_command(
    name: Name,
    *,
    stack: Stack,
    project: Project = _HERE,
    live: Annotated[
        bool,
        typer.Option("--live", help="Ask kcp and the cluster what is used now, and who has rights besides."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show where a tenant is, who may do what there, and its quota."""
    with _reported("show"):
        file = _read(project, stack)
        tenant.check_name(file, name)
        shown = tenant_show.details(file.settings, name, _servers(file) if live else None)
        if as_json:
            typer.echo(shown.model_dump_json(by_alias=True, indent=2))
        else:
            for line in tenant_show.lines(shown):
                _say(line)


@app.command("grant")
def grant_command(  # noqa: PLR0913 -- one parameter for each option
    name: Name,
    role: GivenRole,
    *,
    stack: Stack,
    project: Project = _HERE,
    user: Users = None,
    group: Groups = None,
    service_account: Accounts = None,
    dry_run: DryRun = False,
) -> None:
    """Give somebody a role in a tenant's workspace."""
    with _reported("grant"):
        before = _read(project, stack)
        who = Who(users=user or (), groups=group or (), service_accounts=service_account or ())
        _finish(before, tenant.grant(before, name, role, who), dry_run=dry_run)


@app.command("revoke")
def revoke_command(  # noqa: PLR0913 -- one parameter for each option
    name: Name,
    role: GivenRole,
    *,
    stack: Stack,
    project: Project = _HERE,
    user: Users = None,
    group: Groups = None,
    service_account: Accounts = None,
    dry_run: DryRun = False,
) -> None:
    """Take a role in a tenant's workspace from somebody."""
    with _reported("revoke"):
        before = _read(project, stack)
        who = Who(users=user or (), groups=group or (), service_accounts=service_account or ())
        after = tenant.revoke(before, name, role, who)
        _finish(before, after, dry_run=dry_run)
        if role in (Role.ADMIN, Role.DEVELOPER):
            bindings = _OF_ADMINS if role is Role.ADMIN else ""
            _say(
                f"note: tokens of service accounts that they had made{bindings} stay; see what there is:"
                f" .venv/bin/python -m operations tenant show {name} --stack {stack} --live"
            )


@app.command("suspend")
def suspend_command(
    name: Name,
    *,
    stack: Stack,
    project: Project = _HERE,
    stop: Annotated[
        bool, typer.Option("--stop", help="Stop running work; else `onSuspension` says.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Take everybody's access to a tenant's workspace and start no run; nothing is deleted."""
    with _reported("suspend"):
        before = _read(project, stack)
        _finish(before, tenant.suspend(before, name, stop=stop), dry_run=dry_run)


@app.command("resume")
def resume_command(name: Name, *, stack: Stack, project: Project = _HERE, dry_run: DryRun = False) -> None:
    """Lift a tenant's suspension."""
    with _reported("resume"):
        before = _read(project, stack)
        _finish(before, tenant.resume(before, name), dry_run=dry_run)


@app.command("retire")
def retire_command(
    name: Name,
    *,
    stack: Stack,
    export_to: Annotated[
        Path | None,
        typer.Option(help="New file for all that the tenant made; may hold Secrets. Not if external."),
    ] = None,
    project: Project = _HERE,
    dry_run: DryRun = False,
) -> None:
    """Export a tenant's objects, and record that it leaves: the first of two steps of offboarding."""
    with _reported("retire"):
        before = _read(project, stack)
        tenant.check_name(before, name)
        if before.settings.tenants[name].external is not None:
            if export_to is not None:
                raise OperationError(
                    f'tenant "{name}": its workspace is external, and stays as it is; leave --export-to out'
                )
            _finish(before, tenant.retire(before, name, None), dry_run=dry_run)
            return
        if export_to is None:
            raise OperationError(f'tenant "{name}": its workspace will be deleted; give --export-to FILE')
        if export_to.exists():
            raise OperationError(f"{export_to}: it exists already; give the name of a new file")
        if not export_to.resolve().parent.is_dir():
            raise OperationError(f"{export_to.parent}: there is no such folder; make it")
        workspace = _servers(before).workspace(before.settings.tenant_path(name))
        made = tenant_export.export(workspace, name)
        after = tenant.retire(before, name, made.sha256)
        if not dry_run:
            write_atomic(export_to, made.text, mode=0o600)
            _say(f"{export_to}: {tenant_export.numbers(made.counts)}; sha256 {made.sha256}")
            if made.counts["Secret"]:
                _say(f"{export_to}: it holds the values of Secrets in plain text")
        if tenant_export.has_users(workspace):
            _say(
                f"note: the users of {name} can still work, and what they make from now until `pulumi up` is"
                " not exported; to miss nothing, suspend it first (tenant suspend, `pulumi up`)"
            )
        _finish(before, after, dry_run=dry_run)


@app.command("restore")
def restore_command(
    name: Name,
    *,
    stack: Stack,
    source: Annotated[Path, typer.Option("--from", help="File that `tenant retire` wrote.")],
    project: Project = _HERE,
) -> None:
    """Put what an export holds into a tenant's workspace, but for PipelineRuns: none runs again."""
    with _reported("restore"):
        file = _read(project, stack)
        tenant.check_name(file, name)
        settings = file.settings.tenants[name]
        if settings.external is not None:
            raise OperationError(
                f'tenant "{name}": its workspace is external; its owner restores what belongs there'
            )
        try:
            text = source.read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise OperationError(f"{source}: can't be read ({reason})") from error
        workspace = _servers(file).workspace(file.settings.tenant_path(name))
        counts = tenant_export.restore(workspace, text, settings.namespaces)
        _say(f"{workspace.name}: restored {tenant_export.numbers(counts)}; PipelineRuns stay in {source}")


@app.command("kubeconfig")
def kubeconfig_command(
    name: Name,
    *,
    stack: Stack,
    user: Annotated[str, typer.Option("--as", help="One of the embedded environment's users.")],
    project: Project = _HERE,
) -> None:
    """Print a user's kubeconfig for a tenant's workspace; local stacks only."""
    with _reported("kubeconfig"):
        file = _read(project, stack)
        tenant.check_name(file, name)
        if others := elsewhere(file.settings):
            raise OperationError(
                f"stack {stack}: it is not local ({', '.join(others)}), and nobody's credential is kept here:"
                " users log in at kcp's identity provider; the address is in: pulumi stack output tenants"
            )
        folder = file.path.parent / _USERS
        known = [path.stem for path in folder.glob("*.kubeconfig")]
        if user not in known:
            mend = nearest(user, known, what="users") if known else "bring it up: run `make up`"
            raise OperationError(f'user "{user}": the embedded environment has none; {mend}')
        kubeconfig = kubeconfigs.read(folder / f"{user}.kubeconfig")
        typer.echo(kubeconfig.at_workspace(file.settings.tenant_path(name)).render(), nl=False)


@contextlib.contextmanager
def _reported(command: str) -> Iterator[None]:
    """Report what is wrong in one line for each thing, and end with 1."""
    try:
        yield
    except SettingsError as error:
        for problem in error.problems:
            _say(f"tenant {command}: {problem}", stderr=True)
        raise typer.Exit(1) from error
    except (OperationError, KubeconfigError) as error:
        _say(f"tenant {command}: {error}", stderr=True)
        raise typer.Exit(1) from error
    except BrokenPipeError:
        raise  # whoever reads what is printed has read enough
    except OSError as error:
        _say(f"tenant {command}: {file_error(error)}", stderr=True)
        raise typer.Exit(1) from error


def _read(project: Path, stack: str) -> StackFile:
    return StackFile.read(stack_files(find_project(project), [stack], every=False)[0])


def _servers(file: StackFile) -> ApiServers:
    return ApiServers(project=file.path.parent, stack=file.stack, settings=file.settings)


def _finish(before: StackFile, after: StackFile, *, dry_run: bool) -> None:
    """Print the diff, and write the file."""
    difference = after.diff(before)
    if not difference:
        _say(f"{after.path.name}: it says so already; nothing was changed")
        return
    typer.echo(difference, nl=False)
    if not dry_run:
        after.write(before)
        _say(f"{after.path.name} is written; it takes effect with `pulumi up`, after review")


def _say(line: str, *, stderr: bool = False) -> None:
    console = Console(stderr=stderr, soft_wrap=True, highlight=False, markup=False, emoji=False)
    console.print(line)
