"""Decides what becomes of each pair of the file, given what is linked already; and does it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from crmsync.cli.link_file import Pair, Problem

ORIGIN = "imported"
RECORD_TYPE = "customer"


class Link(Protocol):
    """A row of the store."""

    connection: Any
    record_type: Any
    crm_key: Any
    key: Any


class Links(Protocol):
    """What writing needs of the store."""

    def replace(self, connection: str, record_type: str, crm_key: str, key: str, *, origin: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Change:
    """*action* is add, replace or keep; *before* is what the link says now."""

    action: str
    line: int
    field: str
    connection: str
    crm_key: str
    key: str
    before: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def plan(pairs: Iterable[Pair], existing: Iterable[Link]) -> list[Change]:
    """What each pair asks for."""
    linked = {(link.connection, link.crm_key): link.key for link in existing if link.record_type == RECORD_TYPE}
    return [_change(pair, linked.get((pair.connection, pair.crm_key))) for pair in pairs]


def _change(pair: Pair, before: str | None) -> Change:
    action = "add" if before is None else "keep" if before == pair.key else "replace"
    return Change(action, pair.line, pair.field, pair.connection, pair.crm_key, pair.key, before)


def conflicts(changes: Sequence[Change]) -> list[Problem]:
    """Links that say something else already; nothing overwrites them unasked."""
    return [
        Problem(change.line, change.field, f"is linked to {change.before} already; --replace makes it {change.key}")
        for change in changes
        if change.action == "replace"
    ]


def apply(links: Links, changes: Sequence[Change]) -> None:
    for change in changes:
        if change.action != "keep":
            links.replace(change.connection, RECORD_TYPE, change.crm_key, change.key, origin=ORIGIN)
