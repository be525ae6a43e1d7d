"""One transaction, and the questions and facts of the domain inside it."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property

from sqlalchemy import Connection, text

from crmsync.store.accounts import Accounts
from crmsync.store.alerts import Alerts
from crmsync.store.applications import Applications
from crmsync.store.breakers import Breakers
from crmsync.store.dead_letters import DeadLetters
from crmsync.store.deliveries import Deliveries
from crmsync.store.facts import Facts
from crmsync.store.ledger import Ledger
from crmsync.store.links import Links, Locks
from crmsync.store.products import Products
from crmsync.store.refusals import Refusals
from crmsync.store.retention import Retention
from crmsync.store.runs import Runs
from crmsync.store.tokens import Tokens


class UnitOfWork:
    """*now* is one instant for all of the transaction."""

    def __init__(self, connection: Connection, now: datetime) -> None:
        self.connection = connection
        self.now = now

    @cached_property
    def runs(self) -> Runs:
        return Runs(self.connection, self.now)

    @cached_property
    def deliveries(self) -> Deliveries:
        return Deliveries(self.connection, self.now)

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.connection, self.now)

    @cached_property
    def links(self) -> Links:
        return Links(self.connection, self.now)

    @cached_property
    def locks(self) -> Locks:
        return Locks(self.connection, self.now)

    @cached_property
    def dead_letters(self) -> DeadLetters:
        return DeadLetters(self.connection, self.now)

    @cached_property
    def alerts(self) -> Alerts:
        return Alerts(self.connection, self.now)

    @cached_property
    def accounts(self) -> Accounts:
        return Accounts(self.connection, self.now)

    @cached_property
    def tokens(self) -> Tokens:
        return Tokens(self.connection, self.now)

    @cached_property
    def facts(self) -> Facts:
        return Facts(self.connection, self.now)

    @cached_property
    def refusals(self) -> Refusals:
        return Refusals(self.connection, self.now)

    @cached_property
    def applications(self) -> Applications:
        return Applications(self.connection, self.now)

    @cached_property
    def products(self) -> Products:
        return Products(self.connection, self.now)

    @cached_property
    def retention(self) -> Retention:
        return Retention(self.connection, self.now)

    @cached_property
    def breakers(self) -> Breakers:
        return Breakers(self.connection, self.now)

    def ping(self) -> None:
        self.connection.execute(text("SELECT 1"))

    def touch(self) -> None:
        """Write, and change nothing: a database that is read-only refuses it."""
        self.connection.execute(text("UPDATE facts SET value = value WHERE name = ''"))
