"""The products of the catalogue, and the inventory that keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crmsync.domain.stock import ProductState
from crmsync.flows import inventory
from crmsync.store import UnitOfWork
from crmsync.web.pages.history import Event, last_done
from crmsync.web.pages.runs import RunRow, run_row

PRODUCTS_SHOWN = 200


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
    lists: Mapping[str, Sequence[ProductState]]
    found: Sequence[ProductState]


def stock_page(uow: UnitOfWork, *, text: str = "") -> StockPage:
    """*text* is part of a product's code."""
    names = ("low", "refused", "unknown")
    return StockPage(
        stock=stock_line(uow),
        lists={name: uow.products.listed(name, limit=PRODUCTS_SHOWN) for name in names},
        found=uow.products.like(text, limit=PRODUCTS_SHOWN) if text else [],
    )


def stock_line(uow: UnitOfWork) -> StockLine:
    run = uow.runs.of_subject(inventory.FLOW.name, inventory.FLOW.name)
    done, counts = last_done(uow, inventory.FLOW), dict(uow.products.counts()._mapping)
    return StockLine(counts, done, run_row(run, uow.now) if run else None)
