"""Reads the products that sales people quote from, and writes their stock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from crmsync.connectors.base import KeepAlive
from crmsync.connectors.salesforce import schemas, soql
from crmsync.connectors.salesforce.api import SalesforceApi, unexpected
from crmsync.connectors.salesforce.errors import refusal, speaks_results
from crmsync.connectors.salesforce.settings import SalesforceSettings
from crmsync.domain.stock import Product, Rejection, StockLevel

# https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_composite_sobjects_collections.htm
ROWS_PER_CALL = 200

_READ = "read products"
_WRITE = "write stock"


class ProductCatalogue:
    """Reads products, and writes up to some thousands of levels."""

    def __init__(self, api: SalesforceApi, settings: SalesforceSettings) -> None:
        self._api = api
        self._settings = settings
        self._answer = schemas.catalogue_answer(settings)
        self._body = schemas.level_body(settings)

    def products(self, since: datetime | None) -> Iterator[Sequence[Product]]:
        """Pages of at most 2,000; without those that have no code. All that are active, or all changes since."""
        for rows in self._api.pages(_READ, soql.select_products(self._settings, since)):
            products = [schemas.product_of(row) for row in schemas.load(self._answer, rows, operation=_READ)]
            yield [product for product in products if product.code]

    def write_levels(self, levels: Sequence[StockLevel], keep_alive: KeepAlive) -> list[Rejection]:
        """One call for every 200 levels; the same call twice changes nothing."""
        rejections: list[Rejection] = []
        for start in range(0, len(levels), ROWS_PER_CALL):
            keep_alive()
            rejections += self._write(levels[start : start + ROWS_PER_CALL])
        return rejections

    def _write(self, levels: Sequence[StockLevel]) -> list[Rejection]:
        records = self._body.dump(levels, many=True)
        body = {"allOrNone": False, "records": [{"attributes": {"type": soql.PRODUCT}, **each} for each in records]}
        answer = self._api.call(_WRITE, "PATCH", "/composite/sobjects", speaks=speaks_results, json=body)
        return rejections_of(levels, schemas.load(schemas.ROW_RESULTS, answer, operation=_WRITE))


def rejections_of(levels: Sequence[StockLevel], results: Sequence[Mapping[str, Any]]) -> list[Rejection]:
    """The levels that were refused; results come in the order of what was sent, and only `success` counts.

    Raises: UnexpectedAnswerError where there are more or fewer of them.
    """
    if len(results) != len(levels):
        raise unexpected(_WRITE, "body", f"has {len(results)} results for {len(levels)} rows")
    return [
        Rejection(level.product_key, refusal(result["errors"]))
        for level, result in zip(levels, results, strict=True)
        if not result["is_success"]
    ]
