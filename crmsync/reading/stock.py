"""The products of the catalogue, and the inventory that keeps them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crmsync.domain.learned import CatalogueRead, LevelsWritten, StockRead
from crmsync.domain.runs import Run
from crmsync.domain.stock import ProductState
from crmsync.flows import inventory
from crmsync.reading.history import Event, last_done
from crmsync.reading.runs import RunRow, run_row
from crmsync.store import UnitOfWork
from crmsync.worker.flow import learned

PRODUCTS_SHOWN = 200
LISTS = ("low", "refused", "unknown")  # unknown: not in the ERP


@dataclass(frozen=True, slots=True)
class StockLine:
    """The stock in one line: how many products stand how, when the last inventory ended, how one stands now."""

    counts: Mapping[str, int]
    last_done: Event | None
    run: RunRow | None


@dataclass(frozen=True, slots=True)
class InventoryDone:
    """What the steps of an inventory have done so far; of those that were not reached as good as nothing."""

    read: CatalogueRead
    stock: StockRead
    wrote: LevelsWritten


@dataclass(frozen=True, slots=True)
class Stock:
    """*lists* hold the products that are low, refused or unknown; *lines* are of each catalogue, where asked for."""

    line: StockLine
    lists: Mapping[str, Sequence[ProductState]]
    found: Sequence[ProductState]
    lines: Sequence[StockLine] = ()


def stock_known(
    uow: UnitOfWork,
    tenant: str | None,
    *,
    connection: str = "",
    text: str = "",
    lists: Collection[str] = LISTS,
    limit: int | None = None,
) -> Stock:
    """The stock of a tenant, None: of all; or of the catalogue of that *connection* only.

    *text* is part of a product's code.
    """
    most = PRODUCTS_SHOWN if limit is None else limit
    return Stock(
        line=stock_line(uow, tenant, connection=connection),
        lists={name: uow.products.listed(tenant, name, limit=most, connection=connection) for name in lists},
        found=uow.products.like(tenant, text, limit=most) if text else [],
    )


def stock_line(uow: UnitOfWork, tenant: str | None, *, connection: str = "") -> StockLine:
    run = only_run(uow, tenant, connection=connection)
    last = last_done(uow, tenant, inventory.FLOW, source=connection)
    counts = product_counts(uow, tenant, connection=connection)
    return StockLine(counts, last, run_row(uow, run) if run else None)


def stock_lines(uow: UnitOfWork, tenant: str | None, *, limit: int) -> list[StockLine]:
    """One for each catalogue that has an inventory, those of one tenant together; its run says whose it is."""
    runs = sorted(_runs(uow, tenant), key=lambda run: (run.tenant, run.source))
    return [stock_line(uow, tenant, connection=run.source) for run in runs[:limit]]


def only_run(uow: UnitOfWork, tenant: str | None, *, connection: str = "") -> Run | None:
    """The run that the inventory has, of several catalogues the newest; None before the first."""
    return next((run for run in _runs(uow, tenant) if connection in ("", run.source)), None)


def _runs(uow: UnitOfWork, tenant: str | None) -> list[Run]:
    return list(uow.runs.called(tenant, inventory.FLOW.name, inventory.FLOW.name))


def product_counts(uow: UnitOfWork, tenant: str | None, *, connection: str = "") -> Mapping[str, int]:
    """Counts of products in the catalogues of a tenant, None: of all; or of that *connection* only."""
    counts: Mapping[str, Any] = uow.products.counts(tenant, connection=connection)._mapping
    return dict(counts)


def inventory_done(run: Run) -> InventoryDone:
    return InventoryDone(
        learned(run, inventory.read_catalogue) or CatalogueRead(0),
        learned(run, inventory.read_stock) or StockRead(0),
        learned(run, inventory.write_levels) or LevelsWritten(0),
    )
