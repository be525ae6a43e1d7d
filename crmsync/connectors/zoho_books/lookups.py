"""The ids of currencies, read once per process and again when one is missing."""

from __future__ import annotations

from collections.abc import Mapping

from crmsync.connectors.notes import Notes
from crmsync.connectors.zoho_books import schemas
from crmsync.connectors.zoho_books.api import SYSTEM, BooksApi
from crmsync.errors import MappingError, RecordNotFoundError, RejectedError

_HIDDEN = frozenset({"5", "1002"})  # no such address, no such record


class Currencies:
    """The currencies of the organization; *assumed* is its own one as far as the configuration says.

    That it is another is learned from an answer, and kept in *notes* for all processes.
    """

    def __init__(self, api: BooksApi, *, assumed: str, notes: Notes, organization: str) -> None:
        self._api = api
        self._assumed = assumed
        self._notes = notes
        self._note = f"own_currency.{organization}"
        self._base = ""
        self._ids: Mapping[str, str] = {}
        self._is_hidden = False

    def known_id(self, currency: str) -> str:
        """Its id if a call has brought it already, else ""."""
        return self._ids.get(currency, "")

    def learn(self, own: str) -> bool:
        """An answer has shown the organization's own currency. False if that was known."""
        if own == self._own():
            return False
        self._notes.write(self._note, own)
        return True

    def _own(self) -> str:
        return self._notes.read(self._note) or self._assumed

    def foreign_id(self, currency: str) -> str:
        """Its id, or "" where it is the organization's own or no list can be read.

        Raises: MappingError for one that the organization doesn't have.
        """
        if currency in ("", self._own()) or self._is_hidden:
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
