"""Ids that documents need: currencies and items, read once per process and again when one is missing."""

from __future__ import annotations

from collections.abc import Mapping

from crmsync.connectors.zoho_books import schemas
from crmsync.connectors.zoho_books.api import SYSTEM, BooksApi
from crmsync.errors import MappingError, RecordNotFoundError, RejectedError

_HIDDEN = frozenset({"5", "1002"})  # no such address, no such record


class Currencies:
    """The currencies of the organization; *assumed* is its own one as far as the configuration says."""

    def __init__(self, api: BooksApi, *, assumed: str) -> None:
        self._api = api
        self._assumed = assumed
        self._base = ""
        self._ids: Mapping[str, str] = {}
        self._is_hidden = False

    def known_id(self, currency: str) -> str:
        """Its id if a call has brought it already, else ""."""
        return self._ids.get(currency, "")

    def foreign_id(self, currency: str) -> str:
        """Its id, or "" where it is the organization's own or no list can be read.

        Raises: MappingError for one that the organization doesn't have.
        """
        if currency in ("", self._assumed) or self._is_hidden:
            return ""
        if currency not in self._ids:
            self._read()
        if self._is_hidden or currency == self._base:
            return ""
        if currency not in self._ids:
            raise _no_currency(currency)
        return self._ids[currency]

    def _read(self) -> None:
        try:
            rows = list(self._api.rows("/settings/currencies"))
        except (RecordNotFoundError, RejectedError) as error:
            if error.code not in _HIDDEN:
                raise
            self._is_hidden = True  # an edition without currencies: every contact has the organization's own
            return
        found = [schemas.load(schemas.CURRENCY, row, "currencies", operation="list currencies") for row in rows]
        self._base = next((row["currency_code"] for row in found if row["is_base_currency"]), "")
        self._ids = {row["currency_code"]: row["currency_id"] for row in found}


def _no_currency(currency: str) -> MappingError:
    return MappingError(
        f"{SYSTEM} has no currency {currency}.",
        system=SYSTEM,
        operation="list currencies",
        field_errors={"currency_id": "has no counterpart"},
        advice="Add the currency to the organization, then replay.",
    )


class Items:
    """Active items by SKU. No filter by SKU is documented, so the whole list is read."""

    def __init__(self, api: BooksApi) -> None:
        self._api = api
        self._ids: Mapping[str, str] = {}

    def id_of(self, sku: str) -> str:
        """Raises: MappingError for a SKU that no active item has."""
        if sku not in self._ids:
            self._ids = self._read()
        if sku not in self._ids:
            raise MappingError(
                f"{SYSTEM} has no active item with the SKU {sku}.",
                system=SYSTEM,
                operation="list items",
                field_errors={"item_id": "has no counterpart"},
                advice="Add the item, or unset ZOHO_ITEM_LOOKUP; then replay.",
            )
        return self._ids[sku]

    def _read(self) -> Mapping[str, str]:
        rows = (
            schemas.load(schemas.ITEM, row, "items", operation="list items")
            for row in self._api.rows("/items", filter_by="Status.Active")
        )
        return {row["sku"]: row["item_id"] for row in rows if row["sku"] and row["status"] != "inactive"}
