"""The ledger's rows: written before a document is asked for, and again when its outcome is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    bindparam,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
    union_all,
    update,
)

from crmsync.domain.ledger import FIRST_SEND, Entry, EntryKey, EntryState, matching_number
from crmsync.store.owners import Owners
from crmsync.store.prepared import Prepared, insert_once
from crmsync.store.rows import Rows
from crmsync.store.tables import ledger
from crmsync.store.tallies import LEDGER, Tallies

_IS_KEY = (
    ledger.c.connection == bindparam("key_connection"),
    ledger.c.kind == bindparam("key_kind"),
    ledger.c.reference == bindparam("key_reference"),
    ledger.c.generation == bindparam("key_generation"),
)
_GET = select(ledger).where(*_IS_KEY)
_KNOWN = (EntryState.CONFIRMED.value, EntryState.GONE.value)
_IS_KNOWN = or_(*(ledger.c.state == state for state in _KNOWN))
# An attempt speaks of its own send only: an overtaken one must not say what became of another's.
_OF_SEND = (*_IS_KEY, ledger.c.sends == bindparam("of_send"), not_(_IS_KNOWN))
_RESERVE = insert_once(
    ledger,
    *(
        "connection",
        "kind",
        "reference",
        "generation",
        "run_id",
        "state",
        "created_at",
        "sent_at",
        "certain_at",
        "sends",
    ),
)
_SENT = Prepared(
    update(ledger)
    .where(*_OF_SEND)
    .values(
        state=EntryState.SENT.value,
        sends=ledger.c.sends + 1,
        run_id=bindparam("by_run"),
        sent_at=bindparam("now"),
        certain_at=bindparam("new_certain_at"),
    )
)
_SET = Prepared(
    update(ledger).where(*_OF_SEND).values(state=bindparam("new_state"), certain_at=bindparam("new_certain_at"))
)
_CONFIRM = Prepared(
    update(ledger)
    .where(*_IS_KEY, not_(_IS_KNOWN))
    .values(
        state=EntryState.CONFIRMED.value,
        document=bindparam("new_document"),
        document_key=bindparam("new_document_key"),
        document_number=bindparam("new_document_number"),
    )
)
_GONE = update(ledger).where(*_IS_KEY, ledger.c.state == EntryState.CONFIRMED.value).values(state=EntryState.GONE.value)
_BACK = update(ledger).where(*_IS_KEY, ledger.c.state == EntryState.GONE.value).values(state=EntryState.CONFIRMED.value)
_OF_DOCUMENT = select(ledger).where(
    ledger.c.connection == bindparam("key_connection"),
    ledger.c.kind == bindparam("key_kind"),
    ledger.c.document_key == bindparam("key_document"),
)
# Written out, so that the index of these alone serves the query.
_WRITTEN_OUT: dict[str, ColumnElement[str]] = {
    "order": literal_column("'order'"),
    "invoice": literal_column("'invoice'"),
}
_IS_NOT_CONFIRMED: ColumnElement[bool] = ledger.c.state != literal_column("'confirmed'")
_OPEN = (EntryState.SENT.value, EntryState.UNKNOWN.value)


class Ledger(Rows):
    """A confirmed row changes only to gone, and one that is gone only back to that."""

    def get(self, key: EntryKey) -> Entry | None:
        row = self._connection.execute(_GET, _parameters(key)).first()
        return entry_of(row) if row is not None else None

    def of_run(self, run_id: str) -> list[Entry]:
        rows = self._connection.execute(select(ledger).where(ledger.c.run_id == run_id).order_by(ledger.c.id))
        return [entry_of(row) for row in rows]

    def of_document(self, connection: str, kind: str, document_key: str) -> Entry | None:
        """The entry of a document that we made, by its id in the other system; None if it is not ours."""
        key = {"key_connection": connection, "key_kind": kind, "key_document": document_key}
        row = self._connection.execute(_OF_DOCUMENT, key).first()
        return entry_of(row) if row is not None else None

    def of_reference(self, connection: str, kind: str, reference: str) -> Entry | None:
        """The entry under *reference*, of whatever generation that is."""
        is_it = (ledger.c.connection == connection, ledger.c.kind == kind, ledger.c.reference == reference)
        row = self._connection.execute(select(ledger).where(*is_it).order_by(ledger.c.generation.desc())).first()
        return entry_of(row) if row is not None else None

    def made_between(self, connection: str, kind: str, since: datetime, until: datetime) -> list[Entry]:
        """The orders or invoices that exist, and were asked for in [since, until), oldest first."""
        is_so = (ledger.c.kind == _WRITTEN_OUT[kind], ledger.c.state == EntryState.CONFIRMED.value)
        in_time = (ledger.c.sent_at >= since, ledger.c.sent_at < until)
        rows = self._connection.execute(select(ledger).where(*is_so, *in_time).order_by(ledger.c.id))
        # Asked for the connection, too, SQLite takes another index, and reads all that was ever made there.
        return [entry_of(row) for row in rows if row.connection == connection]

    def replaced_since(self, connection: str, kind: str, since: datetime) -> list[Entry]:
        """The orders or invoices that are gone, and in whose place another was made since then, oldest first."""
        gone, newer = ledger.alias("gone"), ledger.alias("newer")
        is_newer = (newer.c.run_id == gone.c.run_id) & (newer.c.generation > gone.c.generation)
        is_same = (gone.c.connection == newer.c.connection, gone.c.kind == newer.c.kind)
        # Few are not the first: from those the database begins, and not from all that was ever made.
        is_made = (
            newer.c.kind == _WRITTEN_OUT[kind],
            newer.c.sent_at >= since,
            newer.c.generation > literal_column("1"),
        )
        is_so = (newer.c.connection == connection, newer.c.state.in_(_KNOWN), gone.c.state == EntryState.GONE.value)
        ids = select(gone.c.id).join(newer, is_newer).where(*is_made, *is_same, *is_so)
        rows = self._connection.execute(select(ledger).where(ledger.c.id.in_(ids)).order_by(ledger.c.id))
        return [entry_of(row) for row in rows]

    def is_any_open(self, connection: str, kind: str) -> bool:
        """Whether a document of this kind may exist of which we do not know the id yet."""
        is_open = (ledger.c.connection == connection, ledger.c.kind == kind, ledger.c.state.in_(_OPEN))
        query = select(literal(1)).where(*is_open, _IS_NOT_CONFIRMED).limit(1)
        return self._connection.execute(query).first() is not None

    def counts(self, tenant: str | None) -> dict[tuple[str, str], int]:
        """How many entries stand in each (kind, state). Those that are confirmed are all the others."""
        place, tallies = (ledger.c.connection, ledger.c.kind, ledger.c.state), Tallies(self._connection, self._now)
        kept, owners = tallies.kept(LEDGER), Owners(self._connection, self._now)
        of_connection, of_kind, number = tallies.newer(kept).subquery().c
        others = select(*place, func.count()).where(_IS_NOT_CONFIRMED).group_by(*place)
        query = union_all(others, select(of_connection, of_kind, literal(""), number))
        known = [(connection, kind, "", count) for (connection, kind), count in kept.counts.items()]
        counts = Counter[tuple[str, str]]()
        for connection, kind, state, count in [*known, *self._connection.execute(query)]:
            if owners.is_of(tenant, connection):
                counts[kind, EntryState.CONFIRMED.value] += -count if state else count
                counts[kind, state] += count if state else 0
        return {place: count for place, count in counts.items() if count > 0}

    def reserve(self, key: EntryKey, run_id: str, *, certain_at: datetime) -> Entry | None:
        """Write that the document is about to be asked for. An entry that stands already is returned unchanged."""
        values = {
            "connection": key.connection,
            "kind": key.kind,
            "reference": key.reference,
            "generation": key.generation,
            "run_id": run_id,
            "state": EntryState.SENT.value,
            "created_at": self._now,
            "sent_at": self._now,
            "certain_at": certain_at,
            "sends": FIRST_SEND,
        }
        return None if _RESERVE.run(self._connection, values) else self.get(key)

    def send_again(self, entry: Entry, run_id: str, *, certain_at: datetime) -> bool:
        """The document certainly does not exist and is about to be asked for again.

        False if the entry is not what it was: somebody else has sent or found it meanwhile.
        """
        values = {"of_send": entry.sends, "by_run": run_id, "now": self._now, "new_certain_at": certain_at}
        return _SENT.run(self._connection, {**_parameters(entry.key), **values}) == 1

    def refused(self, key: EntryKey, send: int) -> None:
        """What was sent as number *send* certainly does not exist: the next attempt may send again."""
        self._set(key, send, EntryState.INTENT)

    def unknown(self, key: EntryKey, send: int, *, certain_at: datetime) -> None:
        """What was sent as number *send* may exist; if it does not show up until *certain_at*, it does not."""
        self._set(key, send, EntryState.UNKNOWN, certain_at=certain_at)

    def confirmed(self, key: EntryKey, document: Mapping[str, Any]) -> None:
        """The document exists, whoever made it."""
        number = matching_number(str(document.get("number") or "")) or None
        made = {"new_document": dict(document), "new_document_key": document.get("key"), "new_document_number": number}
        _CONFIRM.run(self._connection, {**_parameters(key), **made})

    def gone(self, key: EntryKey) -> bool:
        """The document existed, and does not stand any more. False if that was known, or it never was confirmed."""
        return self._connection.execute(_GONE, _parameters(key)).rowcount == 1

    def stands_again(self, key: EntryKey) -> bool:
        """What was gone was put back: a void invoice made a draft again, a rejection taken away."""
        return self._connection.execute(_BACK, _parameters(key)).rowcount == 1

    def _set(self, key: EntryKey, send: int, state: EntryState, *, certain_at: datetime | None = None) -> None:
        values = {"of_send": send, "new_state": state.value, "new_certain_at": certain_at}
        _SET.run(self._connection, {**_parameters(key), **values})


def _parameters(key: EntryKey) -> dict[str, Any]:
    return {
        "key_connection": key.connection,
        "key_kind": key.kind,
        "key_reference": key.reference,
        "key_generation": key.generation,
    }


def entry_of(row: Row[Any]) -> Entry:
    return Entry(
        key=EntryKey(row.connection, row.kind, row.reference, row.generation),
        run_id=row.run_id,
        state=EntryState(row.state),
        sends=row.sends,
        sent_at=row.sent_at,
        certain_at=row.certain_at,
        document=row.document,
    )
