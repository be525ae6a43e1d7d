"""Shows a run: what it is for, its steps with their outcomes, and the documents that it made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from crmsync.cli import screen
from crmsync.phrases import about

if TYPE_CHECKING:
    from rich.table import Table

    from crmsync.reading.history import Event
    from crmsync.reading.run import CustomerRow, DeliveryRow, DocumentRow


def subject_of(flow: str) -> str:
    """What the flow's runs are for: "deal", "payment", "inventory"."""
    from crmsync.reading import flows

    return flows.subject_of(flow)


def named(flow: str, key: str) -> str:
    """What a run is for, as people say it: "payment 46000000012345"; a flow's only run needs no key."""
    return about(subject_of(flow), key, is_only_one=key == flow)


def steps_json(history: Iterable[Event]) -> list[dict[str, Any]]:
    """The lines of a run's history; *seconds* is how long the attempt took."""
    return [
        {
            "step": line.step,
            "event": line.event,
            "at": line.at,
            "seconds": None if line.took_seconds is None else round(line.took_seconds, 3),
            "detail": line.detail,
        }
        for line in history
    ]


def deliveries_json(deliveries: Iterable[DeliveryRow]) -> list[dict[str, Any]]:
    """How the run's subject was announced: by a webhook, or by catch-up, which may have had to start it."""
    return [
        {"at": each.received_at, "by": "webhook" if each.is_webhook else "catch-up", "missed": each.is_healed}
        for each in deliveries
    ]


def deliveries_table(deliveries: Iterable[DeliveryRow]) -> Table:
    rows = [
        (f"{each['at']:%Y-%m-%d %H:%M:%S}", each["by"], "no webhook had arrived" if each["missed"] else "")
        for each in deliveries_json(deliveries)
    ]
    return screen.table(["at (UTC)", "by", ""], rows)


def steps_table(history: Iterable[Event]) -> Table:
    rows = [
        (f"{line.at:%Y-%m-%d %H:%M:%S}", line.step, line.event, _took(line.took_seconds), line.detail)
        for line in history
    ]
    return screen.table(["at (UTC)", "step", "event", "took", "detail"], rows, right=["took"])


def customers_table(customers: Iterable[CustomerRow]) -> Table:
    rows = [(each.step, each.number, each.name, each.city, each.matched_by) for each in customers]
    return screen.table(["step", "number", "name", "city", "found by"], rows)


def documents_table(documents: Sequence[DocumentRow]) -> Table:
    from crmsync.reading.run import documents_json

    return screen.records(["kind", "number", "system", "reference", "state"], documents_json(documents))


def print_tables(tables: Mapping[str, Table]) -> None:
    """Each under its title; one without rows is left out."""
    out = screen.console()
    for title, table in tables.items():
        if table.row_count:
            out.print(f"\n{title}", style="bold")
            out.print(table)


def _took(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.2f} s"
