"""The products of the catalogue, and the inventory that keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Row

from crmsync.flows import inventory
from crmsync.store import UnitOfWork
from crmsync.web.pages.history import Event, last_done
from crmsync.web.pages.runs import RunRow, run_row

PRODUCTS_SHOWN = 200


@dataclass(frozen=True, slots=True)
class ProductRow:
    code: str
    available: Decimal | None
    is_low: bool
    is_known: bool | None
    is_active: bool
    problem: str


@dataclass(frozen=True, slots=True)
class StockLine:
    """The stock in one line: how many products stand how, when the last inventory ended, how one stands now."""

    counts: Mapping[str, int]
    last_done: Event | None
    run: RunRow | None


@dataclass(frozen=True, slots=True)
class StockPage:
    """*lists* hold the products that are low, refused or not in the ERP, as many as one page shows."""

    stock: StockLine
    lists: Mapping[str, Sequence[ProductRow]]
    found: Sequence[ProductRow]


def stock_page(uow: UnitOfWork, *, text: str = "") -> StockPage:
    """*text* is part of a product's code."""
    names = ("low", "refused", "unknown")
    return StockPage(
        stock=stock_line(uow),
        lists={name: _products(uow.products.listed(name, limit=PRODUCTS_SHOWN)) for name in names},
        found=_products(uow.products.like(text, limit=PRODUCTS_SHOWN)) if text else [],
    )


def stock_line(uow: UnitOfWork) -> StockLine:
    run = uow.runs.of_subject(inventory.FLOW.name, inventory.FLOW.name)
    done, counts = last_done(uow, inventory.FLOW), dict(uow.products.counts()._mapping)
    return StockLine(counts, done, run_row(run, uow.now) if run else None)


def _products(rows: Sequence[Row[Any]]) -> list[ProductRow]:
    return [
        ProductRow(row.code, row.held_available, bool(row.held_low), row.is_known, row.is_active, row.problem)
        for row in rows
    ]
