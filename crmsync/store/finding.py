"""Finds runs by whatever number people have. Where no index answers, all is read, for part of a number or a name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select

from crmsync.domain.finding import Wanted
from crmsync.domain.ledger import number_of
from crmsync.store.rows import Rows
from crmsync.store.tables import applications, dead_letters, ledger, links, runs

MOST = 50  # of one kind: a customer may have thousands of deals
_PAYMENT_NUMBER = runs.c.results["find_invoices"]["number"].as_string()
_SHOWN = [column for column in runs.c if column.name not in ("results", "answers", "progress")]  # those hold persons


@dataclass(frozen=True, slots=True)
class Hit:
    """A run, and *what* of it bears the number: "invoice INV-000001". *is_direct*: the run is for what was looked for,
    or made it; else it has to do with it."""

    run: Row[Any]
    what: str
    is_direct: bool = True


class Finding(Rows):
    def find(self, wanted: Wanted, flows: Collection[str], connections: Collection[str]) -> list[Hit]:
        """Of each run one hit; *flows* and *connections* are all that there are."""
        if not wanted.keys:
            return []
        hits: dict[str, Hit] = {}
        for hit in self._by_number(wanted, flows, connections):
            hits.setdefault(hit.run.id, hit)
        for hit in [] if hits else self._by_part(wanted):
            hits.setdefault(hit.run.id, hit)
        return list(hits.values())

    def _by_number(self, wanted: Wanted, flows: Collection[str], connections: Collection[str]) -> Iterator[Hit]:
        yield from self._runs(runs.c.id.in_(wanted.keys), "run")
        subject = (runs.c.flow.in_(flows), runs.c.subject_key.in_(wanted.keys))
        yield from self._runs(*subject, what="id")
        made = self._documents(wanted, connections)
        yield from self._makers(made)
        yield from self._of_letter(wanted.letter)
        yield from self._runs(runs.c.correlation_id.in_(wanted.keys), "correlation id")
        yield from self._of_customers(wanted)
        invoices = [row.document_key for row in made if row.kind == "invoice" and row.document_key]
        yield from self._around(invoices, [*wanted.keys], flows, connections)

    def _runs(self, *conditions: ColumnElement[bool] | str, what: str = "", is_direct: bool = True) -> Iterator[Hit]:
        told = [each for each in conditions if not isinstance(each, str)]
        name = what or next(each for each in conditions if isinstance(each, str))
        query = select(*_SHOWN).where(*told).order_by(runs.c.created_at.desc()).limit(MOST)
        return (Hit(row, name, is_direct) for row in self._connection.execute(query).all())

    def _documents(self, wanted: Wanted, connections: Collection[str]) -> Sequence[Row[Any]]:
        """What the ledger has under that number, id or reference."""
        mine = (ledger.c.connection.in_(connections), ledger.c.kind.in_(("customer", "order", "invoice")))
        conditions = (
            (ledger.c.document_number == wanted.number,),
            (*mine, ledger.c.document_key.in_(wanted.keys)),
            (*mine, ledger.c.reference.in_(wanted.keys)),
        )
        columns = (ledger.c.run_id, ledger.c.kind, ledger.c.document, ledger.c.document_key, ledger.c.reference)
        found: list[Any] = []
        for each in conditions:
            found += self._connection.execute(select(*columns).where(*each).limit(MOST)).all()
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
        number = func.ltrim(func.upper(links.c.key), "0")
        linked = select(links.c.crm_key, links.c.key).where(number == wanted.number).limit(MOST)
        for row in self._connection.execute(linked).all():
            yield from self._runs(runs.c.customer_key == row.crm_key, what=f"customer {row.key}")
        yield from self._runs(runs.c.customer_key.in_(wanted.keys), what="account")

    def _around(
        self, invoices: Sequence[str], keys: Sequence[str], flows: Collection[str], connections: Collection[str]
    ) -> Iterator[Hit]:
        """The runs of an invoice and of its payments; of a payment's invoices, and the deals that those belong to."""
        of_payment = select(applications.c.invoice_key).where(applications.c.payment_key.in_(keys)).limit(MOST)
        paid = list(self._connection.execute(of_payment).scalars())
        touched = select(applications.c.payment_key).where(applications.c.invoice_key.in_([*invoices, *keys]))
        payments = list(self._connection.execute(touched.limit(MOST)).scalars())
        for what, subjects in (("invoice that it pays", paid), ("its payments", [*invoices, *payments])):
            related = (runs.c.flow.in_(flows), runs.c.subject_key.in_(subjects))
            yield from self._runs(*related, what=what, is_direct=False)
        makers = select(ledger.c.run_id, ledger.c.document).where(
            ledger.c.connection.in_(connections),
            ledger.c.kind == "invoice",
            ledger.c.document_key.in_(paid),
        )
        for row in self._connection.execute(makers).all() if paid else ():
            what = f"invoice {number_of(row.document or {})}"
            yield from self._runs(runs.c.id == row.run_id, what=what, is_direct=False)

    def _by_part(self, wanted: Wanted) -> Iterator[Hit]:
        """What only the books call a payment, part of a document's number, part of a name: this reads every row."""
        yield from self._runs(_PAYMENT_NUMBER.in_(wanted.keys), what=f"payment {wanted.keys[0]}")
        if wanted.part:
            yield from self._makers(self._numbered(wanted.part))
        if wanted.beginning:
            begins = [each.startswith(wanted.beginning) for each in (runs.c.id, runs.c.correlation_id)]
            yield from self._runs(begins[0] | begins[1], what="beginning of an id")
        for text in filter(None, dict.fromkeys((wanted.text, wanted.id_part))):
            yield from self._by_name(text)

    def _numbered(self, part: str) -> Sequence[Row[Any]]:
        number = func.replace(ledger.c.document_number, "-", "")
        columns: tuple[Any, ...] = (ledger.c.run_id, ledger.c.kind, ledger.c.document, ledger.c.reference)
        query = select(*columns).where(number.contains(part, autoescape=True))
        return self._connection.execute(query.order_by(ledger.c.id.desc()).limit(MOST)).all()

    def _by_name(self, text: str) -> Iterator[Hit]:
        """Part of a company's or a deal's name, or of an id."""
        query = select(*_SHOWN).where(
            runs.c.title.icontains(text, autoescape=True) | runs.c.subject_key.icontains(text, autoescape=True)
        )
        rows = self._connection.execute(query.order_by(runs.c.created_at.desc()).limit(MOST)).all()
        return (Hit(row, "name or part of an id") for row in rows)
