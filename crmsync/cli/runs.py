"""`crmsync runs`: shows the runs under way and those that are finished."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from crmsync.cli import history, screen
from crmsync.cli.failures import NUMBER, ListingGroup
from crmsync.cli.letters import print_words
from crmsync.cli.options import json_option
from crmsync.cli.process import open_services
from crmsync.cli.users import tenant_option
from crmsync.domain.finding import WHERE
from crmsync.domain.runs import RunStatus
from crmsync.errors import RecordNotFoundError
from crmsync.phrases import whole_span
from crmsync.settings import Settings

if TYPE_CHECKING:
    from crmsync.domain.runs import Run
    from crmsync.reading.run import WholeRun
    from crmsync.reading.runs import Found, RunRow
    from crmsync.store import UnitOfWork


@click.group(cls=ListingGroup)
def runs() -> None:
    """Show runs: a run processes one deal, one payment, or one invoice that was paid."""


@runs.command("list")
@tenant_option
@click.option("--status", type=click.Choice([status.value for status in RunStatus]), help="Only runs with this status.")
@click.option("--flow", metavar="NAME", help="Only runs of this flow, such as payment_to_invoices.")
@click.option("--find", "text", metavar="TEXT", help="Only runs related to this number, id or name.")
@click.option(
    "--all",
    "with_background",
    is_flag=True,
    help="Also the recurring runs that scan everything, such as the inventory.",
)
@click.option("--limit", default=20, show_default=True, type=NUMBER, help="How many, newest first.")
@json_option
def list_(
    *, tenant: str | None, status: str | None, flow: str | None, text: str | None, with_background: bool, limit: int,
    as_json: bool,
) -> None:  # fmt: skip
    """List the newest runs; inventory and catch-up only if they are asked for.

    --find takes any known number: of a deal, an order, an invoice, a payment, a customer, a dead letter; a
    reference or a correlation id; or part of a company's or a deal's name.
    """
    if text is not None:
        _list_found(text, tenant, as_json=as_json, status=status, flow=flow, limit=limit)
        return
    from crmsync.reading.flows import background
    from crmsync.reading.runs import newest_runs

    only = _flow_named(flow)
    hidden = () if only or with_background else background()
    with open_services().store.read() as uow:
        newest = newest_runs(uow, tenant, limit=limit, status=status or "", flow=only, without=hidden).rows
        found = [_summary(run, uow.now) for run in newest]
    if as_json:
        screen.print_json(found)
    elif found:
        screen.console().print(_table(found))
    else:
        screen.console().print("No run matches." if status or flow else "There are no runs yet.")


@runs.command
@click.argument("key", metavar="RUN|NUMBER")
@tenant_option
@json_option
def show(key: str, *, tenant: str | None, as_json: bool) -> None:
    """Show the steps and documents of one run, found by its id or by any number it is related to.

    If several runs match, they are listed. `runs list --find` says which numbers are searched.

    `inventory`, `catch_up_deals`, `catch_up_payments`, `compare_orders` and `compare_invoices` have one run each, of
    that name, at each connection that they scan.
    """
    from crmsync.reading.run import whole_run

    services = open_services()
    with services.store.read() as uow:
        run_id, related = _find(uow, key, tenant)
        others = [_hit(hit, uow.now) for hit in related]
        whole = whole_run(uow, tenant, run_id)
        if whole is None:
            _print_found(others, key, as_json=as_json)
            return
        letter = whole.letter.letter if whole.letter else None
        words = services.words_of(uow, letter.id) if letter else ""
        summary = _summary(whole.run, uow.now) | {"dead_letter": letter.id if letter else None}
    if as_json:
        screen.print_json(summary | _details(whole) | {"vendor_words": words, "related": others})
        return
    _print(summary, whole)
    if others:
        screen.console().print("\nRelated", style="bold")
        screen.console().print(_hits_table(others))
    if letter and words:
        print_words(letter, words)


def _details(whole: WholeRun) -> dict[str, Any]:
    from crmsync.reading.run import documents_json

    return {
        "steps": history.steps_json(whole.history),
        "customers": [asdict(customer) for customer in whole.customers],
        "documents": documents_json(whole.documents),
        "announced": history.deliveries_json(whole.deliveries),
    }


def _flow_named(name: str | None) -> str:
    """Raises: click.BadParameter."""
    from crmsync.reading.flows import flow_names

    names = flow_names()
    if name and name not in names:
        raise click.BadParameter(f"there is no flow {name!r}; the flows are {', '.join(names)}.", param_hint="--flow")
    return name or ""


def _find(uow: UnitOfWork, key: str, tenant: str | None) -> tuple[str, list[Found]]:
    """The id of the run of *tenant* (None: of any) that is meant, and other runs that have to do with it; "" where
    several may be meant: those are listed.

    Raises: RecordNotFoundError.
    """
    from crmsync.reading.runs import Found, found_runs, run_rows

    exact = _exactly(uow, key, tenant)
    if len(exact) > 1:
        return "", [Found(row, row.subject, is_direct=True) for row in run_rows(uow, exact)]
    run_id = exact[0].id if exact else ""
    hits = found_runs(uow, tenant, key)
    direct = [hit.run.id for hit in hits if hit.is_direct]
    if not run_id and not hits:
        raise RecordNotFoundError(
            f"There is no run {key}.", advice=f"Searched: {WHERE}. `crmsync runs list` shows what there is."
        )
    if not run_id and len(direct) == 1:
        run_id = direct[0]
    return run_id, [hit for hit in hits if hit.run.id != run_id]


def _exactly(uow: UnitOfWork, key: str, tenant: str | None) -> list[Run]:
    """The run of that id, or those for a subject of that key: deals first. Two companies may have one of the same."""
    from crmsync.reading.flows import flow_names

    run = uow.runs.get(key)
    if run is not None and tenant in (None, run.tenant):
        return [run]
    called = (uow.runs.called(tenant, flow, key) for flow in flow_names())
    return next(filter(None, called), [])


def _hit(hit: Found, now: datetime) -> dict[str, Any]:
    return {"what": hit.what, "is_direct": hit.is_direct} | _summary(hit.run, now)


def _list_found(
    text: str, tenant: str | None, *, as_json: bool, status: str | None, flow: str | None, limit: int
) -> None:
    from crmsync.reading.runs import found_runs

    only = _flow_named(flow)
    with open_services().store.read() as uow:
        hits = found_runs(uow, tenant, text, status=status or "", flow=only)
        found = [_hit(hit, uow.now) for hit in hits[:limit]]
    _print_found(found, text, as_json=as_json)


def _print_found(found: list[dict[str, Any]], text: str, *, as_json: bool) -> None:
    out = screen.console()
    if as_json:
        screen.print_json(found)
    elif found:
        out.print(_hits_table(found))
    else:
        out.print(f"Nothing is known about {text}. Searched: {WHERE}.")


def _hits_table(found: list[dict[str, Any]]) -> Any:
    columns = {
        "run": [row["id"] for row in found],
        "found by": [row["what"] for row in found],
        **_tenants(found),
        "for": [history.named(row["flow"], row["key"]) for row in found],
        "company": [row["company"] for row in found],
        "amount": [row["amount"] for row in found],
        "status": [row["status"] for row in found],
    }
    return screen.table(list(columns), list(zip(*columns.values(), strict=True)), right=["amount"])


def _tenants(found: list[dict[str, Any]]) -> dict[str, list[str]]:
    """A column that tells whose each is, where they are not all of one tenant."""
    tenants = [row["tenant"] for row in found]
    return {"tenant": tenants} if len(set(tenants)) > 1 else {}


def _summary(run: RunRow, now: datetime) -> dict[str, Any]:
    return {
        "id": run.id,
        "tenant": run.tenant,
        "connection": run.source,
        "flow": run.flow,
        "subject": run.subject,
        "key": run.key,
        "deal": run.deal,
        "company": run.title,
        "amount": str(run.money or ""),
        "status": run.status.value,
        "step": run.step if run.status is not RunStatus.DONE else "",
        "attempts": run.attempts,
        "age_seconds": (now - run.created_at).total_seconds(),
        "created_at": run.created_at,
        "updated_at": run.updated_at,
        "due_at": run.due_at,
        "correlation_id": run.correlation_id,
    }


def _table(found: list[dict[str, Any]]) -> Any:
    columns = {
        "run": [row["id"] for row in found],
        "age": [whole_span(row["age_seconds"]) for row in found],
        "status": [row["status"] for row in found],
        "step": [row["step"] for row in found],
        **_tenants(found),
        "for": [history.named(row["flow"], row["key"]) for row in found],
        "company": [row["company"] for row in found],
        "amount": [row["amount"] for row in found],
    }
    return screen.table(list(columns), list(zip(*columns.values(), strict=True)), right=["age", "amount"])


def _print(summary: dict[str, Any], whole: WholeRun) -> None:
    out = screen.console()
    shown = {
        "Run": summary["id"],
        "Flow": summary["flow"],
        "For": history.named(summary["flow"], summary["key"]),
        "Deal": summary["deal"] if summary["deal"] != summary["key"] else "",
        "Company" if summary["key"] != summary["flow"] else "About": summary["company"],
        "Amount": summary["amount"],
        "Status": summary["status"] + (f", at {summary['step']}" if summary["step"] else ""),
        "Correlation": summary["correlation_id"],
    }
    out.print(screen.pairs({name: value for name, value in shown.items() if value}))
    history.print_tables(
        {
            "Steps": history.steps_table(whole.history),
            "Customers": history.customers_table(whole.customers),
            "Documents": history.documents_table(whole.documents),
            "Announced": history.deliveries_table(whole.deliveries),
        }
    )
    if summary["status"] == RunStatus.STOPPED and summary["dead_letter"]:
        command = f"celery -A crmsync dead-letters show {summary['dead_letter']}"
        out.print(f"\nIt waits for a person: {Settings.from_env().pasteable(command)}")
