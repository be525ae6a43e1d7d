"""`crmsync catch-up`: starts runs for changes at the sources that no webhook announced, or only shows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from crmsync.cli import screen
from crmsync.cli.company import ADVICE, company_options
from crmsync.cli.options import accounted, confirm, json_option, yes_option
from crmsync.cli.process import open_services
from crmsync.errors import CrmsyncError
from crmsync.phrases import plural
from crmsync.settings import instant_of

if TYPE_CHECKING:
    from crmsync.cli.catch_up_work import Found, Missed, Scan
    from crmsync.domain.audit import Act
    from crmsync.flows.sightings import Sighting, Started
    from crmsync.services import Services

_MANY = 50  # a table of 5,000 deals helps nobody; --json has all of them


@click.command("catch-up")
@company_options
@click.option(
    "--since", metavar="DAY|INSTANT", help="Start of the period (default: a day ago, but not before going live)."
)
@click.option("--dry-run", is_flag=True, help="Show what would be started, and start nothing.")
@yes_option
@accounted
@json_option
def catch_up(
    *,
    tenant: str | None,
    connection: str,
    since: str | None,
    dry_run: bool,
    yes: bool,
    who: Act,
    as_json: bool,
) -> None:
    """Start runs for changes at the CRM and the books that no webhook announced and that have no run.

    Deals won before going live, and deals that carry an order number, are skipped.
    """
    from crmsync.cli import catch_up_work as work
    from crmsync.flows.sightings import Started

    since_at = _parsed(since) if since else None
    using = open_services(creates=True)
    scans = _scans(using, tenant, connection)
    start, end = work.window(using, scans, since_at)
    if since_at and start >= end:
        raise click.BadParameter(f"{start:%Y-%m-%d %H:%M} UTC is in the future.", param_hint="--since")
    with _progress("looking", as_json=as_json) as advance:
        found = work.scan(using, scans, since_at, advance)
    if not as_json or not (dry_run or yes):
        _print(found, using, as_json=as_json)
    started = Started()
    if found.to_start and not dry_run:
        confirm(f"Start {plural(len(found.to_start), 'run')}?", yes=yes)
        started = _start(using, found.to_start, as_json=as_json)
        _note(using, who, scans[0].company.tenant, start, started)
    if not dry_run:
        work.note_scan(using, scans)
    if as_json:
        screen.print_json(found.to_json() | {"dry_run": dry_run} | started.to_json())
    elif dry_run:
        screen.console().print("Dry run, nothing was started.")


def _scans(using: Services, tenant: str | None, connection: str) -> list[Scan]:
    """Raises: click.UsageError that lists the companies, where several are meant, or none."""
    from crmsync.cli.catch_up_work import scans_of
    from crmsync.domain.bindings import UnclearCompanyError

    try:
        return scans_of(using, tenant=tenant, connection=connection)
    except UnclearCompanyError as error:
        raise click.UsageError(f"{error} {ADVICE}") from None


def _note(using: Services, who: Act, tenant: str, since: datetime, started: Started) -> None:
    after = {"since": since.isoformat(), "runs": started.all}
    with using.store.begin() as uow:
        uow.audit.add(who, "catch-up.start", "flow", "catch-up", tenant=tenant, after=after)


def _parsed(text: str) -> datetime:
    """Raises: click.BadParameter."""
    try:
        return instant_of(text)
    except ValueError:
        raise click.BadParameter(
            f"expected a date, or a time with its zone, such as 2026-11-01 or 2026-11-01T09:00:00Z, found {text!r}.",
            param_hint="--since",
        ) from None


def _start(using: Services, to_start: list[Missed], *, as_json: bool) -> Started:
    """Start them page by page; what was started before a fault stays started."""
    from crmsync.cli import catch_up_work as work
    from crmsync.flows.sightings import Started

    started = Started()
    out = screen.console(stderr=as_json)
    try:
        with _progress("starting", as_json=as_json, total=len(to_start)) as advance:
            for count in work.start(using, to_start, advance):
                started += count
    except (CrmsyncError, KeyboardInterrupt):
        out.print(f"{plural(started.all, 'run')} started before this; the others were not.")
        raise
    if not as_json:
        missed = f", {started.healed:,} of them missed" if started.healed < started.all else ""
        out.print(f"✓ {plural(started.all, 'run')} started{missed}. Follow them with:")
        out.print(f"  {using.settings.pasteable('crmsync runs list')}", soft_wrap=True)
    return started


@contextmanager
def _progress(verb: str, *, as_json: bool, total: int | None = None) -> Iterator[Any]:
    """A bar in a terminal, gone when it is done; yields what tells it that so many more were handled."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    out = screen.console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description} {task.completed:,.0f}"),
        BarColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as progress:
        bar = progress.add_task(verb, total=total)
        yield lambda count: progress.advance(bar, count)


# What is seen


def _print(found: Found, using: Services, *, as_json: bool) -> None:
    out = screen.console(stderr=as_json)
    out.print(f"Changes since {found.since:%Y-%m-%d %H:%M} UTC.")
    for system in found.not_looked_at:
        out.print(f"{system} is not configured: its changes were not checked.", style="yellow")
    if found.to_start:
        out.print(_table(found.to_start[:_MANY]))
        if len(found.to_start) > _MANY:
            out.print(f"… and {len(found.to_start) - _MANY} more (--json has all of them)")
        out.print(f"\n{plural(len(found.to_start), 'run')} to start", style="bold")
        out.print(screen.pairs(_sums(found)))
    if not found.missed:
        out.print("✓ Nothing was missed.", style="green")
    if found.left_alone:
        out.print("\nLeft alone", style="bold")
        out.print(screen.pairs({reason: f"{count:,}" for reason, count in found.left_alone.items()}))


def _table(to_start: Iterable[Missed]) -> Any:
    rows = [
        (
            each.subject,
            each.sighting.key,
            each.sighting.title,
            _amount(each.sighting),
            ", ".join(each.systems),
            each.why,
        )
        for each in to_start
    ]
    return screen.table(["for", "id", "company", "amount", "writes to", "why"], rows, right=["amount"])


def _amount(sighting: Sighting) -> str:
    return str(sighting.amount) if sighting.amount else ""


def _sums(found: Found) -> Mapping[str, str]:
    sums = {
        "Missed": f"{len(found.missed):,}",
        "Checked again": f"{len(found.looked_at_again):,}, which may have been announced" * bool(found.looked_at_again),
    }
    sums |= {"Amount": ", ".join(str(money) for money in found.totals())}
    sums |= {f"Calls to {system}": f"at least {count:,}" for system, count in found.calls().items()}
    if found.most_calls() > sum(found.calls().values()):
        sums["All calls"] = f"at least {sum(found.calls().values()):,}, up to about {found.most_calls():,}"
    return {name: value for name, value in sums.items() if value}
