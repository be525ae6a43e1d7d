"""One transaction, and the questions and facts of the domain inside it."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import TypeVar

from sqlalchemy import Connection, text

from crmsync.store.accounts import Accounts
from crmsync.store.alerts import Alerts
from crmsync.store.applications import Applications
from crmsync.store.approvals import Approvals
from crmsync.store.audit import Audit
from crmsync.store.bindings import Bindings
from crmsync.store.breakers import Breakers
from crmsync.store.connections import Connections
from crmsync.store.consents import Consents
from crmsync.store.dead_letters import DeadLetters
from crmsync.store.deliveries import Deliveries
from crmsync.store.due import Due
from crmsync.store.facts import Facts
from crmsync.store.finding import Finding
from crmsync.store.history import History
from crmsync.store.ledger import Ledger
from crmsync.store.links import Links, Locks
from crmsync.store.owners import Owners
from crmsync.store.people import ApiTokens, Sessions, Users
from crmsync.store.products import Products
from crmsync.store.refusals import Refusals
from crmsync.store.requests import Requests
from crmsync.store.retention import Retention
from crmsync.store.rows import Rows
from crmsync.store.runs import Runs
from crmsync.store.subscriptions import Subscriptions
from crmsync.store.tallies import Tallies
from crmsync.store.tellings import Tellings
from crmsync.store.tokens import Tokens

_Group = TypeVar("_Group", bound=Rows)


def _of_this(kind: type[_Group]) -> cached_property[_Group]:
    """A group of rows in the transaction; made when it is first asked for, for few transactions ask for many."""
    return cached_property(lambda uow: kind(uow.connection, uow.now))


class UnitOfWork:
    """*now* is one instant for all of the transaction."""

    runs = _of_this(Runs)
    due = _of_this(Due)
    finding = _of_this(Finding)
    history = _of_this(History)
    deliveries = _of_this(Deliveries)
    ledger = _of_this(Ledger)
    links = _of_this(Links)
    locks = _of_this(Locks)
    dead_letters = _of_this(DeadLetters)
    tellings = _of_this(Tellings)
    alerts = _of_this(Alerts)
    owners = _of_this(Owners)
    accounts = _of_this(Accounts)
    connections = _of_this(Connections)
    consents = _of_this(Consents)
    tokens = _of_this(Tokens)
    facts = _of_this(Facts)
    refusals = _of_this(Refusals)
    tallies = _of_this(Tallies)
    applications = _of_this(Applications)
    products = _of_this(Products)
    retention = _of_this(Retention)
    breakers = _of_this(Breakers)
    bindings = _of_this(Bindings)
    subscriptions = _of_this(Subscriptions)
    users = _of_this(Users)
    api_tokens = _of_this(ApiTokens)
    sessions = _of_this(Sessions)
    approvals = _of_this(Approvals)
    audit = _of_this(Audit)
    requests = _of_this(Requests)

    def __init__(self, connection: Connection, now: datetime) -> None:
        self.connection = connection
        self.now = now

    def ping(self) -> None:
        self.connection.execute(text("SELECT 1"))

    def touch(self) -> None:
        """Write, and change nothing: a database that is read-only refuses it."""
        self.connection.execute(text("UPDATE facts SET value = value WHERE name = ''"))
