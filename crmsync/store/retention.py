"""Deletes what is finished and old, a few rows at a time; and everything known about one customer.

What guards against doing something twice stays: the ledger, the links, one row for each deal. It is reduced to keys,
numbers and amounts. What is under way or waits for a person is never touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Delete, and_, delete, exists, func, not_, or_, select, text, tuple_, update

from crmsync.domain.dead_letters import LetterStatus
from crmsync.domain.keys import SHORT_LENGTH
from crmsync.domain.ledger import matching_number
from crmsync.domain.references import customer_reference
from crmsync.domain.retention import reduced
from crmsync.domain.runs import RunStatus
from crmsync.store.deliveries import GONE, GONE_HEALED, connection_of
from crmsync.store.facts import Facts
from crmsync.store.rows import Rows
from crmsync.store.tables import (
    IS_REDUCED,
    IS_REDUCIBLE,
    alerts,
    dead_letters,
    deliveries,
    history,
    ledger,
    links,
    locks,
    products,
    runs,
    tellings,
)
from crmsync.store.tallies import DELIVERIES, RUNS, Tallies

OVER = (RunStatus.DONE.value, RunStatus.DISCARDED.value)
_SETTLED = (LetterStatus.REPLAYED.value, LetterStatus.DISCARDED.value)
_INVOICED_DEAL = runs.c.results["read_invoice"]["deal"].as_string()


class Retention(Rows):
    def reduce_runs(self, before: datetime, *, limit: int) -> int:
        """Runs that came to their end *before* lose what they learned of persons, and their history."""
        is_due = (text(IS_REDUCIBLE), runs.c.updated_at < before)
        # The oldest first: told to take any, PostgreSQL looks for them among all that is reduced already.
        rows = self._connection.execute(_REDUCIBLE.where(*is_due).order_by(runs.c.updated_at).limit(limit)).all()
        self._reduce(rows)
        return len(rows)

    def drop_runs(self, before: datetime, *, flows: Collection[str], limit: int) -> int:
        """Reduced runs of *flows* that read their source again whenever it changes: a new one would do the same."""
        has_documents = exists().where(ledger.c.run_id == runs.c.id)
        is_over = and_(runs.c.status.in_(OVER), text(IS_REDUCED), runs.c.updated_at < before)
        count = 0
        for flow in flows:
            is_of_flow = and_(is_over, runs.c.flow == flow, not_(has_documents))
            chosen = select(runs.c.id).where(is_of_flow).order_by(runs.c.updated_at).limit(limit - count)
            dropped = delete(runs).where(runs.c.id.in_(chosen))
            columns = (runs.c.tenant, runs.c.flow, runs.c.created_at)
            rows = self._connection.execute(dropped.returning(*columns)).all()
            self._tallies.dropped(RUNS, rows)
            count += len(rows)
        return count

    @property
    def _tallies(self) -> Tallies:
        return Tallies(self._connection, self._now)

    def drop_deliveries(self, before: datetime, *, limit: int) -> int:
        """The counts of what came stay."""
        count = 0
        for source in self._values(deliveries.c.source):
            is_old = (deliveries.c.source == source, deliveries.c.received_at < before)
            chosen = select(deliveries.c.id).where(*is_old).order_by(deliveries.c.received_at).limit(limit - count)
            count += self._count_dropped(delete(deliveries).where(deliveries.c.id.in_(chosen)))
        return count

    def drop_alerts(self, before: datetime, *, limit: int) -> int:
        """Alerts of which people know all, and that nothing has happened under since."""
        is_over = and_(alerts.c.told >= alerts.c.occurrences, alerts.c.updated_at < before)
        return self._drop(alerts, is_over, limit)

    def drop_products(self, before: datetime, *, limit: int) -> int:
        return self._drop(products, and_(not_(products.c.is_active), products.c.seen_at < before), limit)

    def drop_locks(self, before: datetime, *, limit: int) -> int:
        return self._drop(locks, locks.c.until < before, limit)

    def drop_tellings(self, before: datetime, *, flows: Collection[str], limit: int) -> int:
        """What deals that are over, of one of *flows*, said while they were stuck."""
        of_deal = (runs.c.subject_key == tellings.c.deal, runs.c.source == tellings.c.connection)
        is_stuck = exists().where(runs.c.flow.in_(flows), *of_deal, runs.c.status.not_in(OVER))
        return self._drop(tellings, and_(tellings.c.looked_at < before, not_(is_stuck)), limit)

    def _drop(self, table: Any, condition: ColumnElement[bool], limit: int) -> int:
        key = tuple_(*table.primary_key.columns)
        chosen = select(*table.primary_key.columns).where(condition).limit(limit)
        return self._connection.execute(delete(table).where(key.in_(chosen))).rowcount

    def _count_dropped(self, statement: Delete) -> int:
        columns = (deliveries.c.source, deliveries.c.is_healed, deliveries.c.received_at)
        rows = self._connection.execute(statement.returning(*columns)).all()
        self._tallies.dropped(DELIVERIES, rows)
        facts = Facts(self._connection, self._now)
        for source, count in Counter(row.source for row in rows).items():
            facts.count(f"{GONE}{source}", count)
        for source, count in Counter(row.source for row in rows if row.is_healed).items():
            facts.count(f"{GONE_HEALED}{source}", count)
        return len(rows)

    def _reduce(self, rows: Sequence[Any]) -> dict[str, int]:
        """Returns how many rows of each kind were reduced or deleted."""
        ids = [row.id for row in rows if self._reduce_run(row)]
        of_runs = (
            ("history lines", delete(history).where(history.c.run_id.in_(ids))),
            ("dead letters", delete(dead_letters).where(dead_letters.c.run_id.in_(ids), _is_settled())),
        )
        counts = {name: self._connection.execute(statement).rowcount for name, statement in of_runs}
        news = sum(not row.is_reduced for row in rows if row.id in ids)
        return {"runs": news, **counts, "customers": self._unname(ledger.c.run_id.in_(ids))}

    def _reduce_run(self, row: Any) -> bool:
        """False if it is at work again."""
        same = (runs.c.id == row.id, runs.c.updated_at == row.updated_at, runs.c.status.in_(OVER))
        less = {"results": reduced(row.results), "title": "", "answers": {}, "progress": {}, "is_reduced": True}
        return self._connection.execute(update(runs).where(*same).values(**less)).rowcount == 1

    def _unname(self, condition: ColumnElement[bool]) -> int:
        """The ledger keeps the keys of customers that we made or adopted, and not their names."""
        named = select(ledger.c.id, ledger.c.document).where(
            condition, ledger.c.kind == "customer", ledger.c.document.is_not(None)
        )
        rows = [row for row in self._connection.execute(named) if row.document and row.document.get("name")]
        for row in rows:
            nameless = {**row.document, "name": "", **({"city": ""} if "city" in row.document else {})}
            self._connection.execute(update(ledger).where(ledger.c.id == row.id).values(document=nameless))
        return len(rows)

    # -- one customer

    def accounts_of(self, source: str, connection: str, number: str) -> Sequence[str]:
        """The CRM's keys of the customers that are linked to *number* there, with leading zeros or without."""
        is_same = func.ltrim(func.upper(links.c.key), "0") == matching_number(number)
        is_it = (links.c.source == source, links.c.connection == connection, is_same)
        query = select(links.c.crm_key).where(*is_it).distinct()
        return self._connection.execute(query.order_by(links.c.crm_key)).scalars().all()

    def full_key(self, account: str) -> str:
        """*account*, with the guard of a key that came without."""
        if len(account) != SHORT_LENGTH:
            return account
        of_runs = select(runs.c.customer_key).where(runs.c.customer_key.startswith(account, autoescape=True)).limit(1)
        of_links = select(links.c.crm_key).where(links.c.crm_key.startswith(account, autoescape=True)).limit(1)
        found = self._connection.execute(of_runs).scalar() or self._connection.execute(of_links).scalar()
        return str(found or account)

    def forget(self, source: str, account: str, *, prefix: str = "") -> dict[str, int]:
        """Forget all that is known of a CRM's customer from work that is over.

        Returns how many rows of each kind it was.

        *prefix* begins the references of its customers.
        """
        rows = [row for row in self._of_account(source, account) if row.status in OVER]
        deals = [row.subject_key for row in rows]
        is_derived = (
            _INVOICED_DEAL.in_(deals),
            runs.c.status.in_(OVER),
            runs.c.tenant.in_({row.tenant for row in rows}),
        )
        derived = self._connection.execute(_REDUCIBLE.where(*is_derived)).all()
        counts = self._reduce([*rows, *derived])
        counts["customers"] += self._unname(_is_of(account, prefix))
        is_named = (links.c.source == source, links.c.crm_key == account, links.c.name != "")
        nameless = update(links).where(*is_named).values(name="", city="")
        counts["names of links"] = self._connection.execute(nameless).rowcount
        counts["deliveries"] = self._count_dropped(
            delete(deliveries).where(
                deliveries.c.source.in_(self._sources_of(source)), deliveries.c.subject_key.in_(deals)
            )
        )
        is_told = (tellings.c.connection == source, tellings.c.deal.in_(deals))
        self._connection.execute(delete(tellings).where(*is_told))
        counts["alerts"] = self._forget_alerts({*deals, *(row.subject_key for row in derived)})
        return counts

    def _sources_of(self, connection: str) -> list[str]:
        return [each for each in self._values(deliveries.c.source) if connection_of(each) == connection]

    def under_way(self, source: str, account: str) -> list[str]:
        """The runs of the customer that are not over: they need what they know."""
        return [row.id for row in self._of_account(source, account) if row.status not in OVER]

    def kept(self, source: str, account: str, *, prefix: str = "") -> Mapping[str, int]:
        """What stays of a customer, so that nothing is made twice: documents by number and amount, and links."""
        ids = [row.id for row in self._of_account(source, account)]
        count = select(func.count())
        of_links = count.select_from(links).where(links.c.source == source, links.c.crm_key == account)
        of_ledger = count.select_from(ledger).where(or_(ledger.c.run_id.in_(ids), _is_of(account, prefix)))
        return {
            "links": self._connection.execute(of_links).scalar_one(),
            "ledger rows": self._connection.execute(of_ledger).scalar_one(),
        }

    def _of_account(self, source: str, account: str) -> Sequence[Any]:
        is_it = (runs.c.source == source, runs.c.customer_key == account)
        return self._connection.execute(_REDUCIBLE.where(*is_it)).all()

    def _forget_alerts(self, subjects: set[str]) -> int:
        rows = self._connection.execute(select(alerts.c.id, alerts.c.content)).all()
        told = [row.id for row in rows if subjects & {str(value) for _, value in row.content.get("facts", ())}]
        self._connection.execute(delete(alerts).where(alerts.c.id.in_(told)))
        return len(told)


_COLUMNS = ("id", "tenant", "status", "subject_key", "results", "updated_at", "is_reduced")
_REDUCIBLE = select(*(runs.c[name] for name in _COLUMNS))


def _is_settled() -> ColumnElement[bool]:
    return dead_letters.c.status.in_(_SETTLED)


def _is_of(account: str, prefix: str) -> ColumnElement[bool]:
    """Of this customer, in whatever currency."""
    reference = customer_reference(account, prefix=prefix)
    return or_(ledger.c.reference == reference, ledger.c.reference.startswith(f"{reference}-", autoescape=True))
