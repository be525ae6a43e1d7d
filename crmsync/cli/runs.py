"""`crmsync runs`: what crmsync is doing and has done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from crmsync.cli import history, screen
from crmsync.cli.failures import NUMBER, ListingGroup
from crmsync.cli.letters import print_words
from crmsync.cli.options import json_option
from crmsync.cli.process import open_services
from crmsync.domain.finding import WHERE
from crmsync.domain.money import Money
from crmsync.domain.runs import Run, RunStatus
from crmsync.errors import RecordNotFoundError
from crmsync.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Row

    from crmsync.store import UnitOfWork
    from crmsync.store.finding import Hit

DEAL = "deal"


@click.group(cls=ListingGroup)
def runs() -> None:
    """Look at runs: one is one deal on its way to order and invoice, one payment, one invoice that was paid."""


@runs.command("list")
@click.option("--status", type=click.Choice([status.value for status in RunStatus]), help="Only these.")
@click.option("--flow", metavar="NAME", help="Only runs of this flow, such as payment_to_invoices.")
@click.option("--find", "text", metavar="TEXT", help="Only what has to do with this number, id or name.")
@click.option("--all", "with_background", is_flag=True, help="Also the runs that look at everything, again and again.")
@click.option("--limit", default=20, show_default=True, type=NUMBER, help="How many, newest first.")
@json_option
def list_(
    *, status: str | None, flow: str | None, text: str | None, with_background: bool, limit: int, as_json: bool
) -> None:
    """List the newest runs; inventory and catch-up only where they are asked for.

    --find takes any number that people have: of a deal, an order, an invoice, a payment, a customer, a dead letter; a
    reference or a correlation id; or part of a company's or a deal's name.
    """
    if text is not None:
        _list_found(text, as_json=as_json, status=status, flow=flow, limit=limit)
        return
    only = _flow_named(flow) if flow else None
    hidden = () if only or with_background else _background()
    with open_services().store.read() as uow:
        newest = uow.runs.newest(limit=limit, status=status, flow=only, without=hidden)
        found = [_summary(run, uow) for run in newest]
    if as_json:
        screen.print_json(found)
    elif found:
        screen.console().print(_table(found))
    else:
        screen.console().print("There is no such run." if status or flow else "There is no run yet.")


@runs.command
@click.argument("key", metavar="RUN|NUMBER")
@json_option
def show(key: str, *, as_json: bool) -> None:
    """Show one run, by its id or by any number of what it is for: its steps, its documents.

    Where several runs bear the number, they are listed. `runs list --find` says what is looked at.

    `inventory`, `catch_up_deals`, `catch_up_payments`, `compare_orders` and `compare_invoices` have one run each, of
    that name.
    """
    services = open_services()
    with services.store.read() as uow:
        run, related = _find(uow, key)
        if run is None:
            found = [_hit(hit, uow) for hit in related]
            _print_found(found, key, as_json=as_json)
            return
        others = [_hit(hit, uow) for hit in related]
        steps, documents = history.steps_of(uow, run.id), history.documents_of(uow, run.id)
        letter = uow.dead_letters.of_run(run.id)
        words = services.words_of(uow, letter.id) if letter else ""
        summary = _summary(run, uow) | {"dead_letter": letter.id if letter else None}
    if as_json:
        customers = history.customers_of(run)
        more = {"steps": steps, "customers": customers, "documents": documents, "vendor_words": words}
        screen.print_json({**summary, **more, "related": others})
        return
    _print(summary, steps, history.customers_of(run), documents)
    if others:
        screen.console().print("\nHas to do with it", style="bold")
        screen.console().print(_hits_table(others))
    if letter and words:
        print_words(letter, words)


def _flow_named(name: str) -> str:
    """Raises: click.BadParameter."""
    names = history.subjects()
    if name not in names:
        raise click.BadParameter(f"there is no flow {name!r}; the flows are {', '.join(names)}.", param_hint="--flow")
    return name


def _background() -> tuple[str, ...]:
    from crmsync.worker.flow import FLOWS

    history.subjects()  # fills FLOWS
    return tuple(flow.name for flow in FLOWS.values() if flow.is_background)


def _find(uow: UnitOfWork, key: str) -> tuple[Run | None, list[Hit]]:
    """The run that is meant, and others that have to do with it; None where several may be meant: those are listed.

    Raises: RecordNotFoundError.
    """
    run = uow.runs.get(key) or _of_subject(uow, key)
    hits = _hits(uow, key)
    direct = [hit.run.id for hit in hits if hit.is_direct]
    if run is None and not hits:
        raise RecordNotFoundError(
            f"There is no run {key}.", advice=f"Looked at: {WHERE}. `crmsync runs list` shows what there is."
        )
    if run is None and len(direct) != 1:
        return None, hits
    run = run or uow.runs.get(direct[0])
    return run, [hit for hit in hits if run is None or hit.run.id != run.id]


def _of_subject(uow: UnitOfWork, key: str) -> Run | None:
    """By the key of its subject: of a deal first."""
    flows = sorted(history.subjects().items(), key=lambda item: item[1] != DEAL)
    return next(filter(None, (uow.runs.of_subject(flow, key) for flow, _ in flows)), None)


def _hits(uow: UnitOfWork, text: str) -> list[Hit]:
    from crmsync.worker.finding import find

    history.subjects()  # fills FLOWS
    return find(uow, text)


def _hit(hit: Hit, uow: UnitOfWork) -> dict[str, Any]:
    return {"what": hit.what, "is_direct": hit.is_direct} | _summary(hit.run, uow)


def _list_found(text: str, *, as_json: bool, status: str | None, flow: str | None, limit: int) -> None:
    only = _flow_named(flow) if flow else None
    with open_services().store.read() as uow:
        found = [
            _hit(hit, uow)
            for hit in _hits(uow, text)
            if (not only or hit.run.flow == only) and (not status or hit.run.status == status)
        ]
    _print_found(found[:limit], text, as_json=as_json)


def _print_found(found: list[dict[str, Any]], text: str, *, as_json: bool) -> None:
    out = screen.console()
    if as_json:
        screen.print_json(found)
    elif found:
        out.print(_hits_table(found))
    else:
        out.print(f"Nothing is known of {text}. Looked at: {WHERE}.")


def _hits_table(found: list[dict[str, Any]]) -> Any:
    rows = [
        (row["id"], row["what"], history.named(row["flow"], row["key"]), row["company"], row["amount"], row["status"])
        for row in found
    ]
    return screen.table(["run", "found by", "for", "company", "amount", "status"], rows, right=["amount"])


def _summary(run: Run | Row[Any], uow: UnitOfWork) -> dict[str, Any]:
    """A row of the search lacks what holds persons, and with it the deal of an invoice."""
    subject = history.subject_of(run.flow)
    return {
        "id": run.id,
        "flow": run.flow,
        "subject": subject,
        "key": run.subject_key,
        "deal": run.subject_key if subject == DEAL else history.deal_of(run) if isinstance(run, Run) else "",
        "company": run.title,
        "amount": str(Money(run.amount, run.currency)) if run.amount is not None else "",
        "status": RunStatus(run.status).value,
        "step": run.step if run.status is not RunStatus.DONE else "",
        "attempts": run.attempts,
        "age_seconds": (uow.now - run.created_at).total_seconds(),
        "created_at": run.created_at,
        "updated_at": run.updated_at,
        "due_at": run.due_at,
        "correlation_id": run.correlation_id,
    }


def _table(found: list[dict[str, Any]]) -> Any:
    rows = [
        (
            row["id"],
            screen.age(row["age_seconds"]),
            row["status"],
            row["step"],
            history.named(row["flow"], row["key"]),
            row["company"],
            row["amount"],
        )
        for row in found
    ]
    return screen.table(["run", "age", "status", "step", "for", "company", "amount"], rows, right=["age", "amount"])


def _print(
    summary: dict[str, Any],
    steps: list[dict[str, Any]],
    customers: list[dict[str, Any]],
    documents: list[dict[str, Any]],
) -> None:
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
            "Steps": history.steps_table(steps),
            "Customers": history.customers_table(customers),
            "Documents": history.documents_table(documents),
        }
    )
    if summary["status"] == RunStatus.STOPPED and summary["dead_letter"]:
        command = f"celery -A crmsync dead-letters show {summary['dead_letter']}"
        out.print(f"\nIt waits for a person: {Settings.from_env().pasteable(command)}")
