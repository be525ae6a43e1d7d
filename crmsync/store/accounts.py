"""The account that each connection was first seen to belong to."""

from __future__ import annotations

from sqlalchemy import select, update

from crmsync.domain.accounts import Account
from crmsync.store.owners import is_owned
from crmsync.store.rows import Rows
from crmsync.store.tables import accounts


class Accounts(Rows):
    def get(self, connection: str) -> Account | None:
        row = self._connection.execute(select(accounts).where(accounts.c.connection == connection)).first()
        return Account(**row._mapping) if row is not None else None

    def all(self, tenant: str | None) -> dict[str, Account]:
        """The accounts of a tenant by connection; None: of all."""
        query = select(accounts).where(is_owned(tenant, accounts.c.connection))
        rows = self._connection.execute(query.order_by(accounts.c.connection))
        return {row.connection: Account(**row._mapping) for row in rows}

    def confirm(self, connection: str, *, identity: str, credentials: str) -> None:
        """Bind *connection* to *identity*, unless it is bound; *credentials* are those of the account."""
        first = {"connection": connection, "identity": identity, "credentials": credentials, "met_at": self._now}
        if not self._insert_once(accounts, first):
            mine = update(accounts).where(accounts.c.connection == connection, accounts.c.identity == identity)
            self._connection.execute(mine.values(credentials=credentials))

    def adopt(self, connection: str, *, identity: str, credentials: str) -> None:
        """A person says that *identity* is the account of everything that is remembered."""
        self.confirm(connection, identity=identity, credentials=credentials)
        mine = update(accounts).where(accounts.c.connection == connection, accounts.c.identity != identity)
        self._connection.execute(mine.values(identity=identity, credentials=credentials, met_at=self._now))
