"""A report on a stack file as a person reads it: no name is ever cut short."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from operations.overview import Resources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from operations.overview import Overview
    from operations.validate import Report

_UNLIMITED: Final = 10_000
"""Columns to print to where no terminal sets a width; a table takes what it needs of them."""


class Listing(NamedTuple):
    """What a table shows. A cell may have several lines.

    Attributes
    ----------
    title
        What stands above it.
    columns
        Names of its columns.
    rows
        Its cells, by row.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def console() -> Console:
    """Make a console for reports: plain text, as wide as the terminal, or as needed where there is none."""
    made = Console(highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = _UNLIMITED
    return made


def show(report: Report, console: Console) -> None:
    """Print a report.

    Parameters
    ----------
    report
        What was found out about a stack file.
    console
        Where to print.
    """
    count = len(report.problems)
    verdict = "valid" if not count else "1 problem" if count == 1 else f"{count} problems"
    console.print(f"{report.file}: {verdict}", soft_wrap=True)
    for problem in report.problems:
        console.print(f"  {problem}", soft_wrap=True)
    for what, lines in (("warning", report.warnings), ("notice", report.notices)):
        for line in lines:
            console.print(f"  {what}: {line}", soft_wrap=True)
    if report.environment is not None:
        for listing in _listings(report.environment):
            if listing.rows:
                show_listing(listing, console)


def _listings(environment: Overview) -> Iterator[Listing]:
    yield Listing(
        "Pools (cpu, memory, pods, storage: what quotas promise, of what they may)",
        ("pool", "clusters", "tenants", "cpu", "memory", "pods", "storage"),
        [
            (pool.name, str(len(pool.clusters)), str(pool.tenants), *_cells(pool.promised, pool.limit))
            for pool in environment.pools
        ],
    )
    yield Listing(
        "Compute clusters (cpu, memory, pods, storage: what quotas promise)",
        ("cluster", "pool", "state", "distribution", "tenants", "cpu", "memory", "pods", "storage"),
        [
            (
                cluster.name,
                cluster.pool,
                cluster.state,
                cluster.distribution,
                str(len(cluster.tenants)),
                *_cells(cluster.promised, Resources()),
            )
            for cluster in environment.clusters
        ],
    )
    yield Listing(
        "Tenants",
        ("tenant", "workspace in kcp", "cluster", "namespace in kcp", "namespace on the cluster"),
        [
            (
                tenant.name,
                f"{tenant.workspace} (external)" if tenant.external else tenant.workspace,
                tenant.cluster,
                "\n".join(tenant.namespaces),
                "\n".join(tenant.namespaces.values()),
            )
            for tenant in environment.tenants
        ],
    )


def _cells(promised: Resources, limit: Resources) -> tuple[str, ...]:
    pairs = (
        (promised.cpu, limit.cpu),
        (promised.memory, limit.memory),
        (promised.pods, limit.pods),
        (promised.storage, limit.storage),
    )
    return tuple(str(total) if most is None else f"{total} of {most}" for total, most in pairs)


def show_listing(listing: Listing, console: Console) -> None:
    """Print a table where it fits, else an entry below the other: folded names can't be read or copied.

    Parameters
    ----------
    listing
        What it shows.
    console
        Where to print.
    """
    console.print(f"\n{listing.title}", soft_wrap=True)
    table = Table(*listing.columns, box=box.SIMPLE_HEAD, show_edge=False)
    for row in listing.rows:
        table.add_row(*row)
    if console.measure(table, options=console.options.update(width=_UNLIMITED)).maximum <= console.width:
        console.print(table)
        return
    for row in listing.rows:
        console.print(f" {row[0]}", soft_wrap=True)
        for column, cell in zip(listing.columns[1:], row[1:], strict=True):
            console.print(f"   {column}: {', '.join(cell.splitlines())}", soft_wrap=True)
