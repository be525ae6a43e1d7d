"""The products of the catalogue: the stock that was read (wanted), and the stock that they show (held).

People are told what was read; whether it was written is another question.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Float,
    and_,
    bindparam,
    case,
    cast,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from crmsync.domain.stock import Known, Product, ProductState, Rejection, StockLevel, matching, plain
from crmsync.store.owners import is_owned
from crmsync.store.rows import Rows
from crmsync.store.tables import products

CHUNK = 1000

_IS_TO_WRITE = and_(
    products.c.is_active,
    products.c.wanted_available.is_not(None),
    or_(
        products.c.held_available.is_distinct_from(products.c.wanted_available),
        products.c.held_low.is_distinct_from(products.c.wanted_low),
    ),
)
_IS_NEWLY_LOW = and_(products.c.is_active, products.c.wanted_low, products.c.told_low.is_not(true()))
# Before the first reading, what the catalogue says is all that is known.
_IS_UNREAD = and_(products.c.wanted_available.is_(None), products.c.is_known.is_(None), products.c.problem == "")
_AVAILABLE = case((_IS_UNREAD, products.c.held_available), else_=products.c.wanted_available)
_IS_LOW = func.coalesce(case((_IS_UNREAD, products.c.held_low), else_=products.c.wanted_low), false())
_STATE = select(
    products.c.connection,
    products.c.key,
    products.c.code,
    _AVAILABLE.label("available"),
    _IS_LOW.label("is_low"),
    products.c.held_available.label("shown"),
    not_(_IS_TO_WRITE).label("is_written"),
    products.c.is_known,
    products.c.is_active,
    products.c.problem,
)


def _is_of(connection: str) -> ColumnElement[bool]:
    return products.c.connection == connection


class Products(Rows):
    """What a flow asks is of one catalogue's *connection*; what people ask may be of several."""

    def saw(self, connection: str, found: Sequence[Product], *, seen_at: datetime, trust: bool) -> None:
        """Keep what the catalogue says; with *trust* also what known products say of their stock.

        Without, our own last write stands: the catalogue may round what we wrote.
        """
        if not found:
            return
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(products)
        new = statement.excluded
        changes: dict[str, Any] = {
            "code": new.code,
            "matching": new.matching,
            "is_active": new.is_active,
            "seen_at": new.seen_at,
            "is_known": case((products.c.matching == new.matching, products.c.is_known)),
            "told_low": case((products.c.matching == new.matching, products.c.told_low)),
        }
        if trust:
            changes |= {"held_available": new.held_available, "held_low": new.held_low}
        upsert = statement.on_conflict_do_update(index_elements=[products.c.connection, products.c.key], set_=changes)
        self._connection.execute(upsert, [_row(connection, product, seen_at) for product in found])

    def retire_unseen(self, connection: str, since: datetime) -> None:
        """Products that a reading of the whole catalogue did not show are gone."""
        self._connection.execute(
            update(products).where(_is_of(connection), products.c.seen_at < since).values(is_active=False)
        )

    def active(self, connection: str) -> Iterator[Known]:
        columns = products.c
        query = select(columns.key, columns.code, columns.matching, columns.is_known)
        query = query.where(_is_of(connection), columns.is_active)
        return (Known(*row) for row in self._connection.execute(query.order_by(columns.key)))

    def is_any_stocked(self, connection: str) -> bool:
        """Whether any product was available when its stock was last read, or says that it is."""
        of_some = [
            and_(column.is_not(None), column != Decimal(0))
            for column in (products.c.held_available, products.c.wanted_available)
        ]
        query = select(literal(1)).where(_is_of(connection), products.c.is_active, or_(*of_some)).limit(1)
        return self._connection.execute(query).first() is not None

    def want(self, connection: str, levels: Iterable[StockLevel]) -> None:
        statement = (
            update(products)
            .where(_is_of(connection), products.c.key == bindparam("of_key"))
            .values(wanted_available=bindparam("available"), wanted_low=bindparam("low"), is_known=True)
        )
        self._in_chunks(
            statement,
            ({"of_key": level.product_key, "available": level.available, "low": level.is_low} for level in levels),
        )

    def unknown(self, connection: str, keys: Iterable[str]) -> None:
        """The ERP does not have these."""
        statement = (
            update(products)
            .where(_is_of(connection), products.c.key == bindparam("of_key"))
            .values(is_known=False, wanted_available=None, wanted_low=None, told_low=False)
        )
        self._in_chunks(statement, ({"of_key": key} for key in keys))

    def to_write(self, connection: str) -> list[StockLevel]:
        """What differs from what the catalogue says, by key."""
        columns = (products.c.key, products.c.code, products.c.wanted_available, products.c.wanted_low)
        rows = self._connection.execute(
            select(*columns).where(_is_of(connection), _IS_TO_WRITE).order_by(products.c.key)
        )
        return [_level(row) for row in rows]

    def newly_low(self, connection: str) -> list[StockLevel]:
        """What was read and is low, and of which people do not know it yet, least first: written or not."""
        columns = (products.c.key, products.c.code, products.c.wanted_available, products.c.wanted_low)
        levels = [
            _level(row) for row in self._connection.execute(select(*columns).where(_is_of(connection), _IS_NEWLY_LOW))
        ]
        return sorted(levels, key=lambda level: (level.available, level.code))

    def told_low(self, connection: str) -> None:
        """People know now which products are low."""
        read = update(products).where(_is_of(connection), products.c.wanted_low.is_not(None))
        self._connection.execute(read.values(told_low=products.c.wanted_low))

    def written(self, connection: str, levels: Iterable[StockLevel], rejections: Iterable[Rejection]) -> None:
        """The catalogue says it now, except for those that it refused."""
        reasons = {rejection.product_key: rejection.reason for rejection in rejections}
        columns = products.c
        held = update(products).where(_is_of(connection), columns.key == bindparam("of_key"))
        self._in_chunks(
            held.values(held_available=bindparam("available"), held_low=bindparam("low"), problem=""),
            (
                {"of_key": level.product_key, "available": level.available, "low": level.is_low}
                for level in levels
                if level.product_key not in reasons
            ),
        )
        refused = held.values(problem=bindparam("new_problem"))
        self._in_chunks(refused, ({"of_key": key, "new_problem": text[:200]} for key, text in reasons.items()))
        solved = (_is_of(connection), columns.problem != "", columns.wanted_available.is_not(None), not_(_IS_TO_WRITE))
        self._connection.execute(update(products).where(*solved).values(problem=""))

    def blocked(self, connection: str, rejections: Iterable[Rejection]) -> None:
        """These can't be written at all."""
        statement = update(products).where(_is_of(connection), products.c.key == bindparam("of_key"))
        self._in_chunks(
            statement.values(wanted_available=None, wanted_low=None, problem=bindparam("new_problem")),
            ({"of_key": each.product_key, "new_problem": each.reason[:200]} for each in rejections),
        )

    def known_problems(self, connection: str) -> dict[str, str]:
        """Products that could not be written the last time, by key."""
        is_it = (_is_of(connection), products.c.problem != "", products.c.is_active)
        query = select(products.c.key, products.c.problem).where(*is_it)
        return dict(self._connection.execute(query).all())

    def counts(self, tenant: str | None, *, connection: str = "") -> Any:
        """Counts of products in the catalogues of a tenant, or in one of them; None: of all tenants.

        active; low, as it was read; unknown; refused; unwritten: read, not refused, and not written so far.
        """
        is_active = products.c.is_active
        query = select(
            func.count().label("active"),
            func.count(case((_IS_LOW, 1))).label("low"),
            func.count(case((products.c.is_known.is_(False), 1))).label("unknown"),
            func.count(case((products.c.problem != "", 1))).label("refused"),
            func.count(case((and_(_IS_TO_WRITE, products.c.problem == ""), 1))).label("unwritten"),
        ).where(is_owned(tenant, products.c.connection), is_active)
        query = query.where(_is_of(connection)) if connection else query
        return self._connection.execute(query).one()

    def listed(self, tenant: str | None, which: str, *, limit: int, connection: str = "") -> list[ProductState]:
        """Active products, as counts() has them, that are "low", "unknown" or "refused"; least stock first."""
        conditions = {
            "low": _IS_LOW,
            "unknown": products.c.is_known.is_(False),
            "refused": products.c.problem != "",
        }
        query = _STATE.where(is_owned(tenant, products.c.connection), products.c.is_active, conditions[which])
        query = query.where(_is_of(connection)) if connection else query
        order = (cast(_AVAILABLE, Float), products.c.code) if which == "low" else (products.c.code,)
        return self._states(query.order_by(*order).limit(limit))

    def like(self, tenant: str | None, text: str, *, limit: int) -> list[ProductState]:
        """Products whose codes contain *text*."""
        query = _STATE.where(is_owned(tenant, products.c.connection), products.c.code.icontains(text, autoescape=True))
        return self._states(query.order_by(products.c.code).limit(limit))

    def _states(self, query: Any) -> list[ProductState]:
        return [ProductState(**row._mapping) for row in self._connection.execute(query)]

    def _in_chunks(self, statement: Any, parameters: Iterable[Mapping[str, Any]]) -> None:
        waiting = iter(parameters)
        while chunk := list(islice(waiting, CHUNK)):
            self._connection.execute(statement, chunk)


def _level(row: Any) -> StockLevel:
    return StockLevel(row.key, row.code, plain(row.wanted_available), row.wanted_low)


def _row(connection: str, product: Product, seen_at: datetime) -> dict[str, Any]:
    return {
        "connection": connection,
        "key": product.key,
        "code": product.code[:255],
        "matching": matching(product.code)[:255],
        "is_active": product.is_active,
        "seen_at": seen_at,
        "is_known": None,
        "held_available": None if product.available is None else plain(product.available),
        "held_low": product.is_low,
        "told_low": product.is_low,
        "problem": "",
    }
