"""Which invoices a payment was seen to be applied to."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

from sqlalchemy import ColumnElement, delete, func, select, update

from crmsync.store.rows import Rows
from crmsync.store.tables import applications


class Applications(Rows):
    def hint(self, connection: str, payment_key: str, invoice_keys: Collection[str]) -> None:
        """A webhook says so; what is already known stands."""
        for key in invoice_keys:
            self._insert_once(
                applications,
                {"connection": connection, "payment_key": payment_key, "invoice_key": key, "paid_on": None},
            )

    def of_payment(self, connection: str, payment_key: str) -> list[str]:
        """Every invoice that the payment was ever seen to touch, until replace() says otherwise."""
        query = select(applications.c.invoice_key).where(*_of_payment(connection, payment_key))
        return list(self._connection.execute(query.order_by(applications.c.invoice_key)).scalars())

    def of_invoice(self, connection: str, invoice_key: str) -> list[str]:
        """The payments that were seen to touch the invoice, by a webhook or in the books."""
        query = select(applications.c.payment_key).where(*_of_invoice(connection, invoice_key))
        return list(self._connection.execute(query).scalars())

    def replace(
        self, connection: str, payment_key: str, invoice_keys: Collection[str], *, paid_on: date | None
    ) -> None:
        """What the books say now."""
        mine = _of_payment(connection, payment_key)
        self._connection.execute(delete(applications).where(*mine, applications.c.invoice_key.not_in(invoice_keys)))
        self.hint(connection, payment_key, invoice_keys)
        self._connection.execute(update(applications).where(*mine).values(paid_on=paid_on))

    def last_paid_on(self, connection: str, invoice_key: str) -> date | None:
        """The day of the latest payment that we know of."""
        query = select(func.max(applications.c.paid_on)).where(*_of_invoice(connection, invoice_key))
        return self._connection.execute(query).scalar()


def _of_payment(connection: str, key: str) -> tuple[ColumnElement[bool], ...]:
    return applications.c.connection == connection, applications.c.payment_key == key


def _of_invoice(connection: str, key: str) -> tuple[ColumnElement[bool], ...]:
    return applications.c.connection == connection, applications.c.invoice_key == key
