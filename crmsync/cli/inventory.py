"""`crmsync inventory`: writes the ERP's stock to the products now, and shows what is low, refused or unknown."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from crmsync.cli import screen
from crmsync.cli.company import company_of, company_options
from crmsync.cli.failures import FAILED, NUMBER
from crmsync.cli.options import accounted, json_option
from crmsync.cli.process import open_services
from crmsync.cli.users import tenant_option
from crmsync.domain.runs import RunStatus
from crmsync.domain.stock import plain

if TYPE_CHECKING:
    from crmsync.domain.audit import Act
    from crmsync.domain.dead_letters import DeadLetter
    from crmsync.services import Services
    from crmsync.settings import Settings

INTERRUPTED = 130

_LISTS = {"low": "Low on stock", "refused": "Refused", "unknown": "Not in the ERP"}


@click.group
def inventory() -> None:
    """The stock that the products of the CRM show."""


@inventory.command
@company_options
@accounted
@json_option
def run(*, tenant: str | None, connection: str, who: Act, as_json: bool) -> None:
    """Run an inventory now, in this process: read the catalogue and the stock, and write what changed.

    If an inventory is already running, its progress is shown. Exit status 1 if it stops for a person.
    """
    from crmsync.cli.inventory_run import carry_out, outcome_of
    from crmsync.reading.stock import product_counts

    using = open_services(creates=True)
    company = company_of(using, "inventory", "catalogue", tenant=tenant, connection=connection)
    try:
        ended = carry_out(using, company, who)
    except KeyboardInterrupt:
        _leave(using.settings, company.tenant)
    with using.store.read() as uow:
        letter = uow.dead_letters.of_run(ended.id) if ended.status is not RunStatus.DONE else None
        outcome = outcome_of(ended, product_counts(uow, ended.tenant, connection=ended.source))
    if as_json:
        screen.print_json(outcome | {"dead_letter": letter.id if letter else None})
    elif ended.status is RunStatus.DONE:
        _print_outcome(outcome)
    else:
        _print_stop(letter, using)
    if ended.status is not RunStatus.DONE:
        raise SystemExit(FAILED)


def _leave(settings: Settings, tenant: str) -> None:
    out = screen.console(stderr=True)
    out.print("Handed over to the workers, which continue within a minute or two. Follow it with:")
    out.print(f"  {settings.pasteable(f'crmsync runs show inventory --tenant {tenant}')}", soft_wrap=True)
    raise SystemExit(INTERRUPTED)


def _print_outcome(outcome: dict[str, Any]) -> None:
    out = screen.console()
    out.print("✓ ", style="green", end="")
    out.print(
        f"{outcome['products']:,} products, {outcome['materials']:,} materials in stock: "
        f"{outcome['written']:,} written, {outcome['refused']:,} refused, {outcome['newly_low']:,} newly low."
    )
    for title, rows in _sections(outcome):
        out.print(f"\n{title}", style="bold")
        out.print(screen.pairs(dict(rows)))


def _sections(outcome: dict[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Titles and their lines, only where there is something to tell."""
    unknown = [(code, "") for code in outcome["first_unknown"]]
    more = outcome["newly_unknown"] - len(unknown)
    sections = [
        ("Refused, by reason", [(reason, f"{count:,}") for reason, count in outcome["reasons"].items()]),
        ("Newly low, least first", [(code, f"{left} left") for code, left in outcome["lowest"]]),
        ("Not in the ERP, found now", unknown + ([("…", f"and {more:,} more")] if more > 0 else [])),
    ]
    return [(title, rows) for title, rows in sections if rows]


def _print_stop(letter: DeadLetter | None, using: Services) -> None:
    from crmsync.cli import letters

    out = screen.console(stderr=True)
    if letter is None:
        out.print("✗ The inventory was given up.", style="bold red")
        return
    out.print(f"✗ The inventory stopped: {letter.cause}", style="bold red")
    out.print(letters.advice_for(letter))
    command = letters.next_command(letter, using.settings)
    if command:
        out.print(f"  {command}", style="bold", soft_wrap=True)


@inventory.command
@click.option("--low", "which", flag_value="low", help="Only the products that are low.")
@click.option("--unknown", "which", flag_value="unknown", help="Only those whose code the ERP does not know.")
@click.option("--refused", "which", flag_value="refused", help="Only those that could not be written.")
@click.option("--limit", default=20, show_default=True, type=NUMBER, help="How many of each list.")
@tenant_option
@click.option("--connection", default="", metavar="ID", help="Only the catalogue of this connection.")
@json_option
def show(*, which: str | None, limit: int, tenant: str | None, connection: str, as_json: bool) -> None:
    """Show the stock as crmsync knows it, and what the last inventory did; no system is called."""
    from crmsync.cli.inventory_run import known_stock

    chosen = [which] if which else list(_LISTS)
    found = known_stock(open_services().store, chosen, limit=limit, tenant=tenant, connection=connection)
    if as_json:
        screen.print_json(found)
    elif found["last_run"] is None and not found["counts"]["active"]:
        screen.console().print("No inventory yet. It runs every hour; `crmsync inventory run` runs one now.")
    else:
        _print_known(found, is_chosen=bool(which))


def _print_known(found: dict[str, Any], *, is_chosen: bool) -> None:
    out, counts = screen.console(), found["counts"]
    out.print(screen.pairs(_facts(found)))
    for which in found["lists"]:
        rows, count = found["lists"][which], counts[which]
        if count or is_chosen:
            out.print(f"\n{_LISTS[which]}: {count:,}", style="bold")
        if rows:
            out.print(_table(which, rows))
        if count > len(rows) and rows:
            out.print(f"… and {count - len(rows):,} more (--{which} --limit {count})")


def _facts(found: dict[str, Any]) -> dict[str, str]:
    counts, last = found["counts"], found["last_run"]
    facts = {"Products": f"{counts['active']:,}"}
    facts |= {title: f"{counts[which]:,}" for which, title in _LISTS.items()}
    if counts["unwritten"]:
        facts["Not written yet"] = f"{counts['unwritten']:,}"
    if found["last_success_at"]:
        facts["Last done"] = f"{found['last_success_at']:%Y-%m-%d %H:%M:%S} UTC, {found['last_remark']}".rstrip(", ")
    if last and last["status"] != RunStatus.DONE:
        facts["Now"] = f"{last['status']}, at {last['step']}: crmsync runs show inventory"
    return facts


def _table(which: str, rows: list[dict[str, Any]]) -> Any:
    columns = {
        "low": ["code", "available", "shown", "not written"],
        "refused": ["code", "available", "shown", "not written"],
        "unknown": ["code", "shown"],
    }[which]
    cells = [[_cell(row, name) for name in columns] for row in rows]
    return screen.table([_HEADS.get(name, name) for name in columns], cells, right=list(_HEADS.values()))


_HEADS = {"available": "read in the ERP", "shown": "shown in the CRM"}


def _cell(row: dict[str, Any], name: str) -> str:
    """
    >>> _cell({"available": Decimal("1200.500000")}, "available"), _cell({"shown": None}, "shown")
    ('1,200.5', '–')
    """
    if name == "not written":
        return "" if row["written"] else row["reason"] or "not yet"
    value = row[name]
    return f"{plain(value):,f}" if isinstance(value, Decimal) else str(value if value is not None else "–")
