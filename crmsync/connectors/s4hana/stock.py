"""Reads SAP's stock, and which materials exist.

On-hand stock, not what is available to promise: open orders are not taken off (API_PRODUCT_AVAILY_INFO_BASIC does that,
one material a call).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import quote

from crmsync.connectors.base import KeepAlive
from crmsync.connectors.s4hana.api import SapApi
from crmsync.connectors.s4hana.errors import unexpected
from crmsync.connectors.s4hana.odata import Row, equals
from crmsync.connectors.s4hana.services import PRODUCTS, STOCK
from crmsync.domain.stock import StockRow, matching

PAGE_ROWS = 1_000
PAGES_MAX = 50_000  # some services page by 100 rows, whatever they are asked for

CODE_LENGTH = 40
PADDED_LENGTH = 18  # up to which SAP stores a numeric material with zeros in front, though the field holds 40
BATCH_CODES = 40
BATCH_CHARACTERS = 4_000  # of a filter, as sent: proxies refuse addresses of more than 8,000

# All that identifies a row. In any other order two pages could hold the same row, and a third row be in none.
_KEY = (
    "Material",
    "Plant",
    "StorageLocation",
    "Batch",
    "Supplier",
    "Customer",
    "WBSElementInternalID",
    "SDDocument",
    "SDDocumentItem",
    "InventorySpecialStockType",
    "InventoryStockType",
)
_QUANTITY = "MatlWrhsStkQtyInMatlBaseUnit"
_UNIT = "MaterialBaseUnit"

RowKey = tuple[str, ...]


class StockReader:
    """Reads the stock of *plants* (none: all), of *types* (InventoryStockType: '01' is unrestricted)."""

    def __init__(self, api: SapApi, *, types: Collection[str], plants: Collection[str]) -> None:
        self._api = api
        self._types = frozenset(types)
        self._plants = frozenset(plants)

    def pages(self) -> Iterator[list[StockRow]]:
        """All stock, page by page, in base units; a page may be empty, so that the caller can act after each call.

        Special stock (a customer's, a supplier's) does not count; negative stock does. This is no snapshot: a row that
        slides to the next page while they are read counts once, but one that slides back is missed until the next time.

        Raises: UnexpectedAnswerError for a page that comes again, or a row that can't be read.
        """
        operation = "stock"
        firsts: set[RowKey] = set()
        before: frozenset[RowKey] = frozenset()
        for rows in self._slices(operation):
            keys = [_key(row) for row in rows]
            if keys and keys[0] in firsts:
                raise unexpected(operation, "gave a page of its stock twice")
            firsts.update(keys[:1])
            fresh = (row for row, key in zip(rows, keys, strict=True) if key not in before)
            yield list(self._counting(operation, fresh))
            before = frozenset(keys)

    def known(self, codes: Collection[str], keep_alive: KeepAlive) -> set[str]:
        """The ones of *codes* that are a material, also one that is marked for deletion.

        Case and zeros in front of a number don't matter. About 40 codes a call.
        """
        operation = "known_materials"
        # Compared again with what was asked: a filter that SAP ignored must not make every code known.
        found: set[str] = set()
        for condition in conditions(codes):
            keep_alive()
            rows = self._api.rows(operation, PRODUCTS, _products(condition))
            found.update(matching(str(row.get("Product") or "")) for row in rows)
        return {code for code in codes if _is_possible(code) and matching(code) in found}

    def _slices(self, operation: str) -> Iterator[Sequence[Row]]:
        options = {
            "$filter": stock_filter(self._types, self._plants),
            "$select": ",".join((*_KEY, _UNIT, _QUANTITY)),
            "$orderby": ",".join(_KEY),
            "$inlinecount": "allpages",  # a page that a limit of SAP's cuts must not pass for the last one
        }
        return self._api.pages(operation, STOCK, options, page_rows=PAGE_ROWS, pages_max=PAGES_MAX)

    def _counting(self, operation: str, rows: Iterable[Row]) -> Iterator[StockRow]:
        """Filtered again: some servers ignore a filter."""
        for row in rows:
            try:
                if self._counts(row):
                    yield _stock_row(row)
            except (KeyError, InvalidOperation) as error:
                raise unexpected(operation, "answered with a row of stock that can't be read") from error

    def _counts(self, row: Row) -> bool:
        """A row that lacks one of the fields is an error, not stock that is missing."""
        kind, special, plant, material = (
            _text(row[name]) for name in ("InventoryStockType", "InventorySpecialStockType", "Plant", "Material")
        )
        is_ours = not self._plants or plant in self._plants
        return kind in self._types and not special and is_ours and material != ""


def stock_filter(types: Collection[str], plants: Collection[str]) -> str:
    """
    >>> stock_filter(["01"], [])
    "InventoryStockType eq '01' and InventorySpecialStockType eq ''"
    >>> stock_filter(["01", "07"], ["1010"])
    "(InventoryStockType eq '01' or InventoryStockType eq '07') and InventorySpecialStockType eq '' and Plant eq '1010'"
    """
    parts = [_any_of("InventoryStockType", types), equals("InventorySpecialStockType", "")]
    return " and ".join([*parts, *([_any_of("Plant", plants)] if plants else [])])


def conditions(codes: Iterable[str]) -> Iterator[str]:
    """Filters that ask for every one of *codes*, each short enough for an address.

    >>> list(conditions(["tg11", "4711", "TG11", " ", "x" * 41]))
    ["Product eq 'TG11' or Product eq '4711' or Product eq '000000000000004711'"]
    """
    batch: list[str] = []
    size = 0
    for clause in dict.fromkeys(_clause(code) for code in codes if _is_possible(code)):
        length = len(quote(f" or {clause}", safe="'"))
        if batch and (len(batch) == BATCH_CODES or size + length > BATCH_CHARACTERS):
            yield " or ".join(batch)
            batch, size = [], 0
        batch.append(clause)
        size += length
    if batch:
        yield " or ".join(batch)


def _clause(code: str) -> str:
    """Every form in which SAP may keep *code*: it converts the literal of a filter on some services only."""
    asked, bare = code.strip().upper(), matching(code)
    padded = bare.zfill(PADDED_LENGTH) if bare.isascii() and bare.isdigit() else bare
    return equals("Product", *dict.fromkeys((bare, padded, asked)))


def _is_possible(code: str) -> bool:
    return 0 < len(code.strip().upper()) <= CODE_LENGTH


def _products(condition: str) -> dict[str, str]:
    return {"$filter": condition, "$select": "Product", "$orderby": "Product"}


def _any_of(field: str, values: Collection[str]) -> str:
    condition = equals(field, *sorted(values))
    return f"({condition})" if len(values) > 1 else condition


def _key(row: Row) -> RowKey:
    return tuple(str(row.get(name)) for name in _KEY)


def _stock_row(row: Row) -> StockRow:
    return StockRow(_text(row["Material"]), _decimal(row[_QUANTITY]), _text(row.get(_UNIT)))


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _decimal(value: Any) -> Decimal:
    """An Edm.Decimal(31,14), which travels as a string; null is none.

    Raises: InvalidOperation: what can't be read must not be reported as zero.
    """
    number = Decimal(0) if value is None else Decimal(str(value))
    if not number.is_finite():
        raise InvalidOperation
    return number
