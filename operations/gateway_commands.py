"""Commands about the gateway."""

from __future__ import annotations

import json
import os
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from operations import redeliver
from operations.errors import OperationError
from operations.gateway_certificates import DAYS, make_bundle
from operations.projects import find_project, stack_files
from operations.provider_api import AppKey, ProviderApi, Token
from operations.provider_hooks import PUBLIC, Hook, Provider, app_hook, host_of, provider_of, repository_hooks
from operations.pulumi_cli import PulumiCli
from operations.redeliver import Also, Result, Row, Wish
from operations.stack_file import StackFile
from operations.tables import Listing, console, show_listing
from releases.files import RUN_FOLDER
from stacks.gateway_sources import route_hosts
from stacks.loader import read_stack_file
from stacks.problems import SettingsError, nearest
from stacks.secret_sources import read_secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stacks.settings import EnvironmentSettings

app = typer.Typer(no_args_is_help=True, help="The gateway, which takes Git events to the clusters.")

_MOST_DAYS: Final = 3650
_REMAINS: Final = 3
_COLUMNS: Final = ("hook", "event", "id", "sent", "last answer", "result", "why")
_TOKENS: Final = {Provider.GITHUB: "GITHUB_TOKEN", Provider.GITLAB: "GITLAB_TOKEN"}
"""Which variable holds the token, where the command line names none."""


@dataclass(frozen=True, kw_only=True)
class _GivenProvider:
    """What the command line says of the tenants' provider; none for what follows from a repository's host."""

    kind: Provider | None
    api_url: str | None
    variable: str | None


@app.command("certificates")
def certificates_command(
    *,
    stack: Annotated[
        str | None, typer.Option(help="The stack, whose Routes the certificate of listeners then names.")
    ] = None,
    days: Annotated[int, typer.Option(help="How long they hold.", min=1, max=_MOST_DAYS)] = DAYS,
    project: Annotated[Path, typer.Option(help="Folder of Pulumi.yaml, or one below it.")] = Path(),
) -> None:
    """Make the certificates by which gateways and events listeners know each other, and print them.

    They go into the stack's configuration without ever being in a file:
    `python -m operations gateway certificates --stack NAME | pulumi config set --secret eventsTls`.
    """
    try:
        hosts: list[str] = []
        if stack is not None:
            file = stack_files(find_project(project), [stack], every=False)[0]
            hosts = route_hosts(read_stack_file(file))
    except (OperationError, SettingsError) as error:
        _say(f"gateway certificates: {error}")
        raise typer.Exit(1) from error
    typer.echo(make_bundle(hosts, days=days), nl=False)


@app.command("redeliver")
def redeliver_command(  # noqa: PLR0913 -- one parameter for each option
    *,
    stack: Annotated[str, typer.Option(help="The stack whose gateway it is.")],
    since: Annotated[
        str, typer.Option(help="How far back failures count: 90m, 2h, 3d, or a time in ISO 8601.")
    ],
    project: Annotated[Path, typer.Option(help="Folder of Pulumi.yaml, or one below it.")] = Path(),
    of_app: Annotated[bool, typer.Option("--app", help="The hook of the stack's GitHub App.")] = False,
    tenant: Annotated[
        list[str] | None,
        typer.Option(help="The webhooks of a tenant's repositories that lead here; may be repeated."),
    ] = None,
    also: Annotated[
        list[Also] | None,
        typer.Option(
            help="Send again, too, what was refused, or what may have been taken in spite of its answer."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Send nothing, and show what would be.")] = False,
    wait: Annotated[float, typer.Option(help="Seconds to wait for what comes of it.", min=0)] = 60.0,
    provider: Annotated[
        Provider | None, typer.Option(help="What the tenants' provider is, where its host doesn't tell.")
    ] = None,
    api_url: Annotated[
        str | None, typer.Option(help="Its API; default: where such a provider has it on its host.")
    ] = None,
    token_variable: Annotated[
        str | None,
        typer.Option(
            help="Environment variable with a token that may read and write the tenants' webhooks;"
            " default: GITHUB_TOKEN or GITLAB_TOKEN."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Have events sent again that a Git provider couldn't deliver, each at most once.

    The provider's list of deliveries decides: an event that got through once is never sent again. Ends with 0
    where nothing is left to do, with 3 where something is still undelivered, with 1 where it can't be told.
    """
    try:
        wish = Wish(since=redeliver.read_since(since), also=frozenset(also or ()), dry_run=dry_run, wait=wait)
        path = stack_files(find_project(project), [stack], every=False)[0]
        settings = StackFile.read(path).settings
        pulumi = PulumiCli(root=path.parent, stack=stack)
        given = _GivenProvider(kind=provider, api_url=api_url, variable=token_variable)
        hooks = [_app_hook(settings, pulumi)] if of_app else []
        _check_hosts(settings, tenant or (), given)
        for name in dict.fromkeys(tenant or ()):
            hooks += _tenant_hooks(settings, name, _gateway(pulumi), given)
        _check_chosen(hooks)
        sending = nullcontext() if dry_run else redeliver.alone(path.parent / RUN_FOLDER / stack)
        with sending:
            rows = redeliver.redeliver(hooks, wish)
    except (OperationError, SettingsError) as error:
        _say(f"gateway redeliver: {error}")
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(json.dumps({"stack": stack, "events": [_told(row) for row in rows]}, indent=2))
    else:
        _show(rows)
    if any(row.remains for row in rows):
        raise typer.Exit(_REMAINS)


def _app_hook(settings: EnvironmentSettings, pulumi: PulumiCli) -> Hook:
    """Return the hook of the stack's App, asked with the App's own key."""
    given = settings.pipelines_as_code.github_app
    if given is None:
        raise OperationError(
            "--app: the stack has no GitHub App (pipelinesAsCode.githubApp); give --tenant instead"
        )
    key, place = given.private_key, ("pipelinesAsCode", "githubApp", "privateKey")
    values = {} if key.secret is None else {key.secret: pulumi.secret(key.secret)}
    pem, problems = read_secret(key, place, pulumi.root, values)
    if problems:
        raise SettingsError(problems)
    credential = AppKey.read(given.id, pem, "pipelinesAsCode.githubApp.privateKey")
    return app_hook(ProviderApi(base=given.api_url, credential=credential), given.id)


def _check_chosen(hooks: Sequence[Hook]) -> None:
    if not hooks:
        raise OperationError("nothing is chosen; give --app, or --tenant NAME")


def _tenant_hooks(
    settings: EnvironmentSettings, name: str, gateway: str, given: _GivenProvider
) -> Iterator[Hook]:
    """Find the hooks of a tenant's repositories that lead to the gateway."""
    entry = settings.tenants.get(name)
    if entry is None:
        raise OperationError(
            f'there is no tenant "{name}"; {nearest(name, list(settings.tenants), what="tenants")}'
        )
    if not entry.repositories:
        raise OperationError(f"tenant {name} has no repositories, so no webhook of one leads here")
    for repository in entry.repositories:
        kind, base = provider_of(repository, given.kind, given.api_url)
        api = ProviderApi(base=base, credential=_token(given.variable or _TOKENS[kind]))
        yield from repository_hooks(api, kind, repository, gateway)


def _check_hosts(settings: EnvironmentSettings, tenants: Sequence[str], given: _GivenProvider) -> None:
    """Refuse what would send one host's token to another."""
    entries = [settings.tenants[name] for name in tenants if name in settings.tenants]
    hosts = sorted({host_of(repository) for entry in entries for repository in entry.repositories})
    own, named = [host for host in hosts if host not in PUBLIC], ", ".join(hosts)
    if hosts and (given.kind or given.api_url) and len(own) != 1:
        raise OperationError(
            "--provider and --api-url are for one server of your own, and the tenants' repositories are at"
            f" {named}"
        )
    if given.variable and len(hosts) > 1:
        raise OperationError(
            f"--token-variable: a token is for one host, and the tenants' repositories are at {named}; use"
            f" {' and '.join(_TOKENS.values())}, or choose tenants of one host"
        )


def _token(variable: str) -> Token:
    if value := os.environ.get(variable, "").strip():
        return Token(value=value)
    raise OperationError(
        f"{variable}: this environment variable is not set; put a token there that may read and write"
        " webhooks, or name another by --token-variable"
    )


def _gateway(pulumi: PulumiCli) -> str:
    """Return the gateway's address from the stack's outputs."""
    url = json.loads(pulumi.output_of(pulumi.stack, "gateway")).get("url")
    if not url:
        raise OperationError(
            f"stack {pulumi.stack} has no gateway; turn one on in its settings, and run `pulumi up`"
        )
    return str(url)


def _show(rows: Sequence[Row]) -> None:
    out = console()
    if not rows:
        out.print("every event since then was delivered", soft_wrap=True)
        return
    cells: list[tuple[str, ...]] = [
        (
            row.hook,
            row.event.last.event,
            row.event.guid,
            row.event.last.at.isoformat(timespec="seconds") if row.event.last.at else "",
            row.event.last.answer,
            str(row.result),
            row.why,
        )
        for row in rows
    ]
    show_listing(Listing("Events that had failed", _COLUMNS, cells), out)
    counts = {result: sum(row.result is result for row in rows) for result in Result}
    out.print("; ".join(f"{count} {result}" for result, count in counts.items() if count), soft_wrap=True)


def _told(row: Row) -> dict[str, object]:
    last = row.event.last
    return {
        "hook": row.hook,
        "id": row.event.guid,
        "event": last.event,
        "attempts": len(row.event.attempts),
        "sent": last.at.isoformat() if last.at else None,
        "code": last.code,
        "status": last.status,
        "outcome": row.event.outcome.value,
        "result": row.result.value,
        "why": row.why,
        "remains": row.remains,
    }


def _say(line: str) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False).print(line)
