"""Finds runs by any number that people have. Parts of numbers and names have no index, so much is read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, case, exists, func, or_, select, true

from crmsync.domain.finding import Wanted
from crmsync.domain.ledger import number_of
from crmsync.store.owners import Owners
from crmsync.store.rows import Rows
from crmsync.store.run_lists import Place, newest_of
from crmsync.store.tables import applications, dead_letters, ledger, links, runs

MOST = 50  # of one kind: a customer may have thousands of deals
# Runs of a flow, documents, and customers, that a search for a part of something reads.
WINDOW, DOCUMENTS, CUSTOMERS = 1_500, 6_000, 10_000
# Asked of the runs that have it only: taking JSON apart costs more than all else.
_READS_PAYMENT = runs.c.step == "find_invoices"
_PAYMENT_NUMBER = case((_READS_PAYMENT, runs.c.results["find_invoices"]["number"].as_string()))
_SHOWN = [column for column in runs.c if column.name not in ("results", "answers", "progress")]  # those hold persons
_MORE = [column for column in _SHOWN if column.name not in ("id", "created_at")]
_AFTER_ALL = "zzzz"  # what an index has after all that ids go on with
_LONGEST = 20  # a number with the zeros that a system writes in front

Window = tuple[str, str, str, Place | None]


@dataclass(frozen=True, slots=True)
class Hit:
    """A run, and *what* of it bears the number: "invoice INV-000001". *is_direct*: the run is for what was searched,
    or made it; else it is only related."""

    run: Row[Any]
    what: str
    is_direct: bool = True


class Finding(Rows):
    def find(
        self,
        tenant: str | None,
        wanted: Wanted,
        flows: Collection[str],
        systems: Collection[str],
        *,
        everything: bool = True,
    ) -> list[Hit]:
        """Of each run of a tenant one hit, None: of all tenants; *flows* and *systems* are all that there are.

        Without *everything* parts of numbers and names are looked for among the newest runs and documents only.
        """
        if not wanted.keys:
            return []
        owners = Owners(self._connection, self._now)
        own = [system for system in systems if owners.is_of(tenant, system)]  # the environment's bear their names
        search = _Search(self._connection, self._now, tenant, flows, [*own, *owners.made_by(tenant)])
        hits: dict[str, Hit] = {}
        for hit in search.by_number(wanted):
            hits.setdefault(hit.run.id, hit)
        for hit in [] if hits else search.by_part(wanted, everything=everything):
            hits.setdefault(hit.run.id, hit)
        return list(hits.values())


class _Search(Rows):
    """One search, among what belongs to *tenant*, None: to any; whose connections are its *own*."""

    def __init__(
        self, connection: Connection, now: datetime, tenant: str | None, flows: Collection[str], own: Collection[str]
    ) -> None:
        super().__init__(connection, now)
        self._tenant = tenant
        self._flows = flows
        self._own = own

    def by_number(self, wanted: Wanted) -> Iterator[Hit]:
        yield from self._runs(runs.c.id.in_(wanted.keys), "run")
        subject = (runs.c.flow.in_(self._flows), runs.c.subject_key.in_(wanted.keys))
        yield from self._runs(*subject, what="id")
        made = self._documents(wanted)
        yield from self._makers(made)
        yield from self._of_letter(wanted.letter)
        yield from self._runs(runs.c.correlation_id.in_(wanted.keys), "correlation id")
        yield from self._of_customers(wanted)
        invoices = [row.document_key for row in made if row.kind == "invoice" and row.document_key]
        yield from self._around(invoices, [*wanted.keys])

    def _runs(self, *conditions: ColumnElement[bool] | str, what: str = "", is_direct: bool = True) -> Iterator[Hit]:
        told = [each for each in conditions if not isinstance(each, str)]
        name = what or next(each for each in conditions if isinstance(each, str))
        query = select(*_SHOWN).where(*told, self._is_own()).order_by(runs.c.created_at.desc()).limit(MOST)
        return (Hit(row, name, is_direct) for row in self._connection.execute(query).all())

    def _is_own(self) -> ColumnElement[bool]:
        """Whether the run is the tenant's. As an expression, which no index has: asked for the column itself, SQLite
        reads all that the tenant has."""
        return true() if self._tenant is None else runs.c.tenant.concat("") == self._tenant

    def _is_made_for_own(self) -> ColumnElement[bool]:
        """Whether the run that a document was made for is the tenant's."""
        if self._tenant is None:
            return true()
        return exists().where(runs.c.id == ledger.c.run_id, runs.c.tenant == self._tenant)

    def _documents(self, wanted: Wanted) -> Sequence[Row[Any]]:
        """What the ledger has under that number, id or reference."""
        mine = (ledger.c.connection.in_(self._own), ledger.c.kind.in_(("customer", "order", "invoice")))
        conditions = (
            (ledger.c.document_number == wanted.number,),
            (*mine, ledger.c.document_key.in_(wanted.keys)),
            (*mine, ledger.c.reference.in_(wanted.keys)),
        )
        columns = (ledger.c.run_id, ledger.c.kind, ledger.c.document, ledger.c.document_key, ledger.c.reference)
        found: list[Any] = []
        for each in conditions:
            found += self._connection.execute(select(*columns).where(*each, self._is_made_for_own()).limit(MOST)).all()
        return found

    def _makers(self, made: Sequence[Row[Any]]) -> Iterator[Hit]:
        for row in made:
            number = number_of(row.document or {}) or row.reference
            yield from self._runs(runs.c.id == row.run_id, what=f"{row.kind} {number}")

    def _of_letter(self, letter_id: int) -> Iterator[Hit]:
        query = select(dead_letters.c.run_id).where(dead_letters.c.id == letter_id)
        run_id = self._connection.execute(query).scalar() if letter_id else None
        return self._runs(runs.c.id == run_id, what=f"dead letter {letter_id}") if run_id else iter(())

    def _of_customers(self, wanted: Wanted) -> Iterator[Hit]:
        """The deals of an account, by its id in the CRM or by the customer's number in another system."""
        keys = {*wanted.keys, *_spellings(wanted.number)}
        is_it = (links.c.connection.in_(self._own), links.c.key.in_(keys))
        query = select(links.c.source, links.c.crm_key, links.c.key).where(*is_it)
        for row in self._connection.execute(query.limit(MOST)).all():
            yield from self._runs(_is_for(row), what=f"customer {row.key}")
        yield from self._runs(runs.c.customer_key.in_(wanted.keys), what="account")

    def _around(self, invoices: Sequence[str], keys: Sequence[str]) -> Iterator[Hit]:
        """The runs of an invoice and of its payments; of a payment's invoices, and the deals that those belong to."""
        is_own = applications.c.connection.in_(self._own)
        of_payment = select(applications.c.invoice_key).where(applications.c.payment_key.in_(keys), is_own)
        paid = list(self._connection.execute(of_payment.limit(MOST)).scalars())
        touched = select(applications.c.payment_key).where(applications.c.invoice_key.in_([*invoices, *keys]), is_own)
        payments = list(self._connection.execute(touched.limit(MOST)).scalars())
        for what, subjects in (("invoice that it pays", paid), ("its payments", [*invoices, *payments])):
            related = (runs.c.flow.in_(self._flows), runs.c.subject_key.in_(subjects))
            yield from self._runs(*related, what=what, is_direct=False)
        makers = select(ledger.c.run_id, ledger.c.document).where(
            ledger.c.connection.in_(self._own),
            ledger.c.kind == "invoice",
            ledger.c.document_key.in_(paid),
        )
        for row in self._connection.execute(makers).all() if paid else ():
            what = f"invoice {number_of(row.document or {})}"
            yield from self._runs(runs.c.id == row.run_id, what=what, is_direct=False)

    def by_part(self, wanted: Wanted, *, everything: bool) -> Iterator[Hit]:
        """What only the books call a payment, part of a document's number, of an id, of a name. No index has parts:
        the newest runs and documents are read, or all of them.
        """
        paid, called = self._among_runs(wanted, everything)
        yield from (Hit(row, f"payment {wanted.keys[0]}") for row in paid)
        if wanted.part:
            yield from self._makers(self._numbered(wanted.part, everything))
        for column in (runs.c.id, runs.c.correlation_id) if wanted.beginning else ():
            yield from self._runs(_begins(column, wanted.beginning), "beginning of an id")
        yield from (Hit(row, "name or part of an id") for row in called)
        yield from self._of_named(wanted.text, everything)

    def _among_runs(self, wanted: Wanted, everything: bool) -> tuple[list[Row[Any]], list[Row[Any]]]:
        """The runs of a payment's number, and those with that part of a name or of an id; of each the newest first."""
        texts = dict.fromkeys(filter(None, (wanted.text, wanted.id_part)))
        named = [
            column.icontains(text, autoescape=True) for text in texts for column in (runs.c.title, runs.c.subject_key)
        ]
        is_paid, is_named = _PAYMENT_NUMBER.in_(wanted.keys).label("is_paid"), or_(*named).label("is_named")
        found: list[Row[Any]] = []
        for tenant, flow, status, after in self._windows(everything):
            window = newest_of(tenant, flow, status, after, WINDOW, *_MORE, is_paid, is_named).subquery()
            is_it = or_(window.c.is_paid, window.c.is_named)
            found += self._connection.execute(select(window).where(is_it).limit(MOST)).all()
        found.sort(key=lambda row: row.created_at, reverse=True)
        paid, called = [row for row in found if row.is_paid], [row for row in found if row.is_named]
        return paid[:MOST], called[:MOST]

    def _windows(self, everything: bool) -> Iterator[Window]:
        """The newest runs of each flow and each status, or all of them: a part of the list for each question."""
        for tenant, flow, status in self._places(runs.c.tenant, runs.c.flow, runs.c.status):
            if self._tenant not in (None, tenant):
                continue
            yield tenant, flow, status, None
            after = self._place_after(tenant, flow, status, None) if everything else None
            while after is not None:
                yield tenant, flow, status, after
                after = self._place_after(tenant, flow, status, after)

    def _place_after(self, tenant: str, flow: str, status: str, after: Place | None) -> Place | None:
        """Where the next window begins; None where this one is the last."""
        last = self._connection.execute(newest_of(tenant, flow, status, after, 1).offset(WINDOW - 1)).first()
        return Place(last.created_at, last.id) if last else None

    def _numbered(self, part: str, everything: bool) -> Sequence[Row[Any]]:
        """Documents whose number has that part, the newest first."""
        number = func.replace(ledger.c.document_number, "-", "")
        columns: tuple[Any, ...] = (ledger.c.run_id, ledger.c.kind, ledger.c.document, ledger.c.reference)
        has_part = number.contains(part, autoescape=True)
        last = self._connection.execute(select(func.max(ledger.c.id))).scalar() or 0
        found: list[Row[Any]] = []
        while last > 0 and len(found) < MOST:
            in_window = (ledger.c.id <= last, ledger.c.id > last - DOCUMENTS)
            query = select(*columns).where(*in_window, has_part, self._is_made_for_own()).order_by(ledger.c.id.desc())
            found += self._connection.execute(query.limit(MOST - len(found))).all()
            last = last - DOCUMENTS if everything else 0
        return found

    def _of_named(self, text: str, everything: bool) -> Iterator[Hit]:
        """The deals of customers that are called so in another system, however old: there are fewer customers."""
        is_named = (links.c.connection.in_(self._own), links.c.name.icontains(text, autoescape=True))
        query = select(links.c.source, links.c.crm_key, links.c.name).where(*is_named).distinct()
        if not everything:
            query = query.where(links.c.id > select(func.max(links.c.id) - CUSTOMERS).scalar_subquery())
        for row in self._connection.execute(query.limit(MOST)).all() if text else ():
            yield from self._runs(_is_for(row), what=f"customer {row.name}")


def _is_for(link: Any) -> ColumnElement[bool]:
    """Whether a run is of the account that *link* links; the source as an expression, as a tenant in _is_own()."""
    return and_(runs.c.customer_key == link.crm_key, runs.c.source.concat("") == link.source)


def _begins(column: ColumnElement[str], beginning: str) -> ColumnElement[bool]:
    """Said twice: as what an index has in order, and as what is meant, whatever the order of letters."""
    in_order = (column >= beginning, column < f"{beginning}{_AFTER_ALL}")
    return and_(*in_order, column.startswith(beginning, autoescape=True))


def _spellings(number: str) -> list[str]:
    """A number that is known in capitals and without zeros in front, as a system may write it."""
    return [each.zfill(length) for each in {number, number.lower()} for length in range(len(number), _LONGEST + 1)]
