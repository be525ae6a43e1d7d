"""Fills a store with what years leave in it: runs that are over, their history, and what they made elsewhere.

All of it is written by a few statements of the database's own, which count to a million; no vendor knows any of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import psycopg
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.engine import make_url

from crmsync.store import Store
from crmsync.store.tables import metadata

RUNS = 1_000_000
_DEALS = 0.7  # of the runs; the others are payments and invoices, as many of each
# Ago. What is older than 90 days is reduced, or gone; and the comparisons look at the last seven days.
_OLDEST_DAYS, _KEPT_DAYS, _NEWEST_DAYS = 98, 88, 8
_LETTERS, _WAITING, _ALERTS, _ACCOUNTS, _PRODUCTS = 400, 5, 2_000, 50_000, 5_000
_CAUSE = "letters:create_order:InvalidDealError"
_STEPS = (
    *("fetch_deal", "match_erp_customer", "create_order", "match_books_customer"),
    *("create_invoice", "send_invoice", "write_back"),
)
_DOCUMENTS = (
    *(("s4hana", "customer"), ("zoho_books", "customer")),
    *(("s4hana", "order"), ("zoho_books", "invoice"), ("zoho_books", "mail")),
)


@dataclass(frozen=True)
class _Words:
    """What the two databases say differently; *i* is the number of a row."""

    is_sqlite: bool

    def numbers(self, count: int, first: int = 0) -> str:
        if not self.is_sqlite:
            return f"generate_series({first}, {first + count - 1}) AS numbers(i)"
        counted = f"SELECT {first} AS i UNION ALL SELECT i + 1 FROM c WHERE i < {first + count - 1}"
        return f"(WITH RECURSIVE c AS ({counted}) SELECT i FROM c) AS numbers"

    def padded(self, number: str, width: int = 12) -> str:
        return f"printf('%0{width}d', {number})" if self.is_sqlite else f"lpad(({number})::text, {width}, '0')"

    def run_id(self, number: str) -> str:
        """Ids that are as scattered as random ones: no two numbers below four thousand million share one."""
        scattered = f"((({number}) * 2654435761) % 4294967296)"
        if self.is_sqlite:
            return f"(printf('%08x', {scattered}) || {self.padded(number, 24)})"
        return f"(lpad(to_hex((({number})::bigint * 2654435761) % 4294967296), 8, '0') || {self.padded(number, 24)})"

    def instant(self, start: datetime, seconds: str) -> str:
        if self.is_sqlite:
            return f"(strftime('%Y-%m-%d %H:%M:%f', '{start:%Y-%m-%d %H:%M:%S}', ({seconds}) || ' seconds') || '000')"
        return f"('{start.isoformat()}'::timestamptz + ({seconds}) * interval '1 second')"

    def json(self, expression: str) -> str:
        return expression if self.is_sqlite else f"({expression})::json"

    def amount(self, number: str) -> str:
        whole = f"(100 + ({number}) % 9000)"
        return f"({whole} || '.00')" if self.is_sqlite else f"{whole}::numeric"


@dataclass(frozen=True)
class _Table:
    """Rows of one table: a value for each column."""

    name: str
    source: str
    values: dict[str, str]

    def statement(self) -> str:
        columns, values = ", ".join(self.values), ", ".join(self.values.values())
        return f"INSERT INTO {self.name} ({columns}) SELECT {values} FROM {self.source}"


def fill(store: Store, now: datetime, runs: int = RUNS) -> None:
    """Write *runs* runs that are over, five lines of history and 3.5 ledger rows for each, and all that goes with it.

    The indexes are made when the rows are there, which takes a third of the time. The store must be empty, and nobody
    else may have it open.
    """
    store.engine.dispose()
    indexes = [index for table in metadata.sorted_tables for index in table.indexes]
    with _careless(store) as connection:
        for index in indexes:
            index.drop(connection)
        for table in _tables(_Words(store.is_sqlite), now, runs):
            connection.execute(text(table.statement().replace(":", r"\:")))
        for index in indexes:
            index.create(connection)
    if not store.is_sqlite:
        _vacuum(store)


@contextmanager
def _careless(store: Store) -> Iterator[Connection]:
    """A transaction that a power cut may spoil, and that has time."""
    engine = create_engine(store.url, poolclass=NullPool)
    with engine.connect() as connection:
        if store.is_sqlite:
            for setting in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000", "temp_store = MEMORY"):
                connection.exec_driver_sql(f"PRAGMA {setting}")
        yield connection
        connection.commit()


def _vacuum(store: Store) -> None:
    """What the database does by itself some time after so much was written."""
    url = make_url(store.url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        for table in metadata.sorted_tables:
            connection.execute(f"VACUUM ANALYZE {table.name}")  # type: ignore[arg-type]


def _tables(words: _Words, now: datetime, runs: int) -> Iterator[_Table]:
    deals = int(runs * _DEALS)
    others = (runs - deals) // 2
    yield from _runs(words, now, deals, "order_to_invoice", _STEPS, 0)
    yield from _runs(words, now, others, "payment_to_invoices", ("find_invoices",), deals)
    yield from _runs(
        words, now, runs - deals - others, "invoice_to_deal", ("read_invoice", "write_payment"), deals + others
    )
    for connection, kind in _DOCUMENTS:
        yield _documents(words, now, deals, connection, kind)
    yield from _around(words, now, deals, others)
    yield from _people(words, now)
    yield _Table(
        "facts", "(SELECT 1) AS one", {"name": "'compare_orders.s4hana.until'", "value": f"'{now.isoformat()}'"}
    )


def _life(words: _Words, now: datetime, count: int, seconds: float = 0, *, days: int = _KEPT_DAYS) -> str:
    """When the work of row i was done: evenly over the time, the lowest number first."""
    start, span = now - timedelta(days=days), timedelta(days=days - _NEWEST_DAYS)
    return words.instant(start, f"i * {span.total_seconds() / count:.6f} + {seconds}")


def _key(words: _Words, flow: str, number: str = "i") -> str:
    """What a run is for; no id of the sandbox begins like these."""
    beginning, end = {"order_to_invoice": ("0069", "AAA"), "payment_to_invoices": ("94600", "")}.get(
        flow, ("94601", "")
    )
    return f"('{beginning}' || {words.padded(number, 11)} || '{end}')"


def _account(words: _Words, number: str = "i") -> str:
    return f"('0019' || {words.padded(f'({number}) % {_ACCOUNTS}', 11)} || 'AAA')"


def _runs(words: _Words, now: datetime, count: int, flow: str, steps: Sequence[str], first: int) -> Iterator[_Table]:
    is_deal = flow == "order_to_invoice"
    life = partial(_life, words, now, count, days=_OLDEST_DAYS if is_deal else _KEPT_DAYS)
    reduced = int(count * (_OLDEST_DAYS - _KEPT_DAYS) / (_OLDEST_DAYS - _NEWEST_DAYS)) if is_deal else 0
    ended_at, run_id, waits = life(60), words.run_id(f"i + {first}"), f"i < {_WAITING if is_deal else 0}"
    yield _Table(
        "runs",
        words.numbers(count),
        {
            "id": run_id,
            "flow": f"'{flow}'",
            "source": "'salesforce'" if is_deal else "'zoho_books'",
            "subject_key": _key(words, flow),
            "status": f"CASE WHEN {waits} THEN 'stopped' WHEN i % 500 = 77 THEN 'discarded' ELSE 'done' END",
            "step": f"CASE WHEN {waits} THEN 'create_order' ELSE '{steps[-1]}' END",
            "correlation_id": f"({words.padded('i * 7', 16)} || '{first:016d}')",
            "created_at": life(),
            "updated_at": ended_at,
            "due_at": ended_at,
            "fence": str(len(steps)),
            "attempts": "0",
            "starts": "0",
            "title": f"('Sensors ' || i || ' for Werk ' || (i % {_ACCOUNTS}) || ' GmbH')",
            "amount": words.amount("i"),
            "currency": "'USD'",
            "results": words.json(_results(words, flow)),
            "answers": words.json("'{}'"),
            "is_reduced": f"(i < {reduced} AND NOT {waits})",
            "customer_key": _account(words) if is_deal else "''",
        },
    )
    for place, step in enumerate(steps):
        yield _Table(
            "history",
            words.numbers(count - reduced, reduced),
            {
                "run_id": run_id,
                "step": f"'{step}'",
                "event": "'done'",
                "at": life(8 * place + 8),
                "started_at": life(8 * place),
                "detail": "''",
            },
        )


def _results(words: _Words, flow: str) -> str:
    if flow == "payment_to_invoices":
        invoice = _key(words, "invoice_to_deal", "i * 4")
        return (
            f"""'{{"find_invoices": {{"ours": ["' || {invoice} || '"], "foreign": 0, "number": "P-' || i || '"}}}}'"""
        )
    if flow == "invoice_to_deal":
        deal = _key(words, "order_to_invoice", "i * 4")
        return f"""'{{"read_invoice": {{"deal": "' || {deal} || '", "number": "INV-' || i || '", "figures": {{}}}}}}'"""
    number, account = words.padded("i", 10), _account(words)
    net = """{"amount": "' || (100 + i % 9000) || '.00", "currency": "USD"}"""
    return (
        f"""'{{"fetch_deal": {{"key": "' || {_key(words, flow)} || '", "amount": {net}, "is_won": true, """
        f""""customer": {{"key": "' || {account} || '"}}}}, "match_erp_customer": {{"customer_key": "' || i || '"}}, """
        f""""create_order": {{"key": "' || {number} || '", "number": "' || {number} || '", "net": {net}, """
        f""""customer": "' || i || '"}}, "match_books_customer": {{"customer_key": "' || i || '"}}, """
        f""""create_invoice": {{"key": "' || {number} || '", "number": "INV-' || {number} || '", "net": {net}}}, """
        f""""send_invoice": {{"invoice": "INV-' || {number} || '"}}, "write_back": {{"status": "Synced"}}}}'"""
    )


def _documents(words: _Words, now: datetime, count: int, connection: str, kind: str) -> _Table:
    """What the deals made; a few were taken back."""
    number = f"""('{"9INV-" if kind == "invoice" else "9"}' || {words.padded("i", 10)})"""
    key = _key(words, "invoice_to_deal") if kind == "invoice" else number
    document = (
        f"""'{{"key": "' || {key} || '", "number": "' || {number} || '", "net": {{"amount": "' || i || '.00"}}}}'"""
    )
    asked_at = _life(words, now, count, 20, days=_OLDEST_DAYS)
    return _Table(
        "ledger",
        words.numbers(count),
        {
            "connection": f"'{connection}'",
            "kind": f"'{kind}'",
            "reference": f"('9-' || {words.padded('i')})",
            "generation": "1",
            "run_id": words.run_id("i"),
            "state": "CASE WHEN i % 1000 = 7 THEN 'gone' ELSE 'confirmed' END",
            "created_at": asked_at,
            "sends": "1",
            "sent_at": asked_at,
            "certain_at": _life(words, now, count, 50, days=_OLDEST_DAYS),
            "document": words.json(document),
            "document_key": key,
            "document_number": number,
        },
    )


def _around(words: _Words, now: datetime, deals: int, payments: int) -> Iterator[_Table]:
    """What was announced, what catch-up saw, which customers are linked, what was paid, and the catalogue."""
    for source, flow, count in (
        ("salesforce", "order_to_invoice", deals),
        ("zoho_books", "payment_to_invoices", payments),
        ("catch_up.order_to_invoice.salesforce", "order_to_invoice", deals),
    ):
        received = {
            "source": f"'{source}'",
            "event_key": f"({_key(words, flow)} || ':1')",
            "subject_key": _key(words, flow),
        }
        received |= {"received_at": _life(words, now, count), "is_healed": "(i % 400 = 3)"}
        yield _Table("deliveries", words.numbers(count), received)
    for connection in ("s4hana", "zoho_books"):
        link = {"connection": f"'{connection}'", "record_type": "'customer'", "crm_key": _account(words)}
        link |= {"source": "'salesforce'"}
        link |= {"key": words.padded("i + 9000000", 10), "origin": "'created'", "name": "('Werk ' || i || ' GmbH')"}
        yield _Table("links", words.numbers(_ACCOUNTS), link | {"created_at": _life(words, now, _ACCOUNTS)})
    paid = {"payment_key": _key(words, "payment_to_invoices"), "invoice_key": _key(words, "invoice_to_deal", "i * 4")}
    yield _Table("applications", words.numbers(payments), {"connection": "'zoho_books'", **paid})
    product = {
        "connection": "'salesforce'",
        "key": words.padded("i", 18),
        "code": "('S-' || i)",
        "matching": "('S' || i)",
        "is_active": "(1 = 1)",
    }
    stock = {"is_known": "(1 = 1)", "held_available": words.amount("i"), "wanted_available": words.amount("i")}
    product |= stock | {"held_low": "(1 = 0)", "wanted_low": "(1 = 0)", "told_low": "(1 = 0)", "problem": "''"}
    yield _Table("products", words.numbers(_PRODUCTS), product | {"seen_at": f"{words.instant(now, '0')}"})


def _people(words: _Words, now: datetime) -> Iterator[_Table]:
    """Dead letters, most of them settled long ago, and what people and deals were told of them."""
    died_at, is_waiting = _life(words, now, _LETTERS), f"i < {_WAITING}"
    yield _Table(
        "dead_letters",
        words.numbers(_LETTERS),
        {
            "run_id": words.run_id("i"),
            "step": "'create_order'",
            "kind": "'data'",
            "status": f"CASE WHEN {is_waiting} THEN 'waiting' ELSE 'replayed' END",
            "error": "'InvalidDealError'",
            "system": "''",
            "cause": "'The deal has no line.'",
            "advice": "'Add a product to the deal.'",
            "alert_cause": f"'{_CAUSE}'",
            "failures": "1",
            "created_at": died_at,
            "updated_at": died_at,
        },
    )
    content = words.json(
        """'{"headline": "A deal can not be invoiced", "facts": [["Company", "Werk"]], "cause": "x"}'"""
    )
    told = {"cause": f"CASE WHEN i = 0 THEN '{_CAUSE}' ELSE 'order:s4hana:' || i END", "occurrences": "1", "told": "1"}
    told |= {"attempts": "0", "message_id": "''"}
    told |= {name: _life(words, now, _ALERTS) for name in ("opened_at", "updated_at", "due_at")}
    closed_at = f"CASE WHEN i > 0 THEN {_life(words, now, _ALERTS, 900)} END"
    yield _Table("alerts", words.numbers(_ALERTS), told | {"content": content, "closed_at": closed_at})
    says = f"CASE WHEN {is_waiting} THEN 'Needs attention' ELSE 'Synced' END"
    telling = {
        "connection": "'salesforce'",
        "deal": _key(words, "order_to_invoice"),
        "status": says,
        "reason": "''",
        "is_refused": "(1 = 0)",
    }
    yield _Table("tellings", words.numbers(_LETTERS), telling | {"looked_at": words.instant(now, "0")})
