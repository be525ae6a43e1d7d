"""What people see of a run: what it is for, its steps as they went, and the documents that it made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from crmsync.cli import screen

if TYPE_CHECKING:
    from rich.table import Table

    from crmsync.domain.ledger import Entry
    from crmsync.domain.runs import Run
    from crmsync.store import UnitOfWork

LINES_SHOWN = 100  # a flow that looks again every ten minutes writes on for ever


def subjects() -> Mapping[str, str]:
    """What the runs of each flow are for: "deal", "payment", "inventory"."""
    import crmsync.flows  # noqa: F401 - fills FLOWS
    from crmsync.worker.flow import FLOWS

    return {name: flow.subject for name, flow in FLOWS.items()}


def subject_of(flow: str) -> str:
    """The flow's own name, where this release does not have it any more."""
    return subjects().get(flow, flow)


def named(flow: str, key: str) -> str:
    """What a run is for, as people say it: "payment 46000000012345"; a flow's only run needs no key."""
    subject = subject_of(flow)
    return subject if key == flow else f"{subject} {key}"


def deal_of(run: Run) -> str:
    """The deal that an invoice's run writes to, once it has read that."""
    from crmsync.domain.learned import InvoiceRead
    from crmsync.worker.flow import learned

    read = learned(run, "read_invoice", InvoiceRead)
    return read.deal if read else ""


def steps_of(uow: UnitOfWork, run_id: str) -> list[dict[str, Any]]:
    """The last lines of the run's history, oldest first; *seconds* is how long the attempt took."""
    return [
        {
            "step": row.step,
            "event": row.event,
            "at": row.at,
            "seconds": round((row.at - row.started_at).total_seconds(), 3) if row.started_at else None,
            "detail": row.detail,
        }
        for row in uow.history.of_run(run_id, last=LINES_SHOWN)
    ]


def documents_of(uow: UnitOfWork, run_id: str) -> list[dict[str, Any]]:
    """What the ledger says of the run: also what was asked for and never confirmed."""
    return [_document(entry) for entry in uow.ledger.of_run(run_id)]


def _document(entry: Entry) -> dict[str, Any]:
    from crmsync.domain.ledger import number_of

    return {
        "system": entry.key.connection,
        "kind": entry.key.kind,
        "number": number_of(entry.document or {}),
        "reference": entry.key.reference,
        "generation": entry.key.generation,
        "state": entry.state.value,
    }


def steps_table(steps: list[dict[str, Any]]) -> Table:
    rows = [
        (f"{step['at']:%Y-%m-%d %H:%M:%S}", step["step"], step["event"], _took(step["seconds"]), step["detail"])
        for step in steps
    ]
    return screen.table(["at (UTC)", "step", "event", "took", "detail"], rows, right=["took"])


def customers_of(run: Run) -> list[dict[str, Any]]:
    """Which customers the run's documents are for, and how each was found."""
    from crmsync.domain.learned import CustomerMatched
    from crmsync.worker.flow import learned

    matches = ((step, learned(run, step, CustomerMatched)) for step in ("match_erp_customer", "match_books_customer"))
    return [
        {
            "step": step,
            "number": found.customer_key,
            "name": found.name,
            "city": found.city,
            "matched_by": found.matched_by,
        }
        for step, found in matches
        if found and found.customer_key
    ]


def customers_table(customers: list[dict[str, Any]]) -> Table:
    columns = ["step", "number", "name", "city", "found by"]
    return screen.table(columns, [list(each.values()) for each in customers])


def documents_table(documents: list[dict[str, Any]]) -> Table:
    return screen.records(["kind", "number", "system", "reference", "state"], documents)


def print_tables(tables: Mapping[str, Table]) -> None:
    """Each under its title; one without rows is left out."""
    out = screen.console()
    for title, table in tables.items():
        if table.row_count:
            out.print(f"\n{title}", style="bold")
            out.print(table)


def _took(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.2f} s"
