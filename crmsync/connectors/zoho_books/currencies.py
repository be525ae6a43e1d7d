"""The currencies of the organization: their ids, and how many decimals it keeps of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any

from crmsync.connectors.kit.notes import Notes
from crmsync.connectors.zoho_books import schemas
from crmsync.connectors.zoho_books.api import BooksApi
from crmsync.connectors.zoho_books.errors import SYSTEM
from crmsync.domain.deals import Deal
from crmsync.domain.money import decimals_of
from crmsync.errors import CrmsyncError, MappingError, RecordNotFoundError, RejectedError

_HIDDEN = frozenset({"5", "1002"})  # no such address, no such record


class Currencies:
    """The currencies of the organization; *assumed* is its own one as far as the configuration says.

    That it is another is learned from an answer, and kept in *notes* for all processes. So is of which it keeps fewer
    decimals than they have, where no exact amount can be billed. Ids are read once per process, and again when one is
    missing.
    """

    def __init__(self, api: BooksApi, *, assumed: Callable[[], str], notes: Notes, organization: str) -> None:
        self._api = api
        self._assumed = assumed
        self._notes = notes
        self._note = f"own_currency.{organization}"
        self._decimals_note = f"decimals.{organization}"
        self._fewer: Mapping[str, int] = {}  # as it was noted when this process read it last
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
        return self._notes.read(self._note) or self._assumed()

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

    def _decimals(self, currency: str) -> int:
        """How many it keeps, as far as they are known to be fewer than the currency has."""
        return self.fewer().get(currency, decimals_of(currency))

    def saw(self, currency: str, decimals: int | None) -> None:
        """An answer has shown how many it keeps; None where it did not say. What is known already is not read again."""
        full = decimals_of(currency)
        if decimals is None or decimals < 0 or min(decimals, full) == self._fewer.get(currency, full):
            return
        others = {code: kept for code, kept in self.fewer().items() if code != currency}
        now = others | ({currency: decimals} if decimals < full else {})
        self._notes.write(self._decimals_note, json.dumps(now))
        self._fewer = now

    def check(self, deal: Deal) -> int:
        """Before anything is made: how many decimals it keeps of the deal's currency.

        What is known may be old: a deal is refused by a list that was just read. Raises: MappingError for one with a
        total that the organization can't keep.
        """
        kept = self._decimals(deal.amount.currency)
        if _too_fine(deal, kept) is None:
            return kept
        try:
            self._read()
        except CrmsyncError as error:
            error.is_definite = True
            raise
        kept = self._decimals(deal.amount.currency)
        total = None if self._is_hidden else _too_fine(deal, kept)
        if total is not None:
            raise _too_few_decimals(deal.amount.currency, kept, total)
        return kept

    def rows(self) -> list[dict[str, Any]]:
        """The currencies as the organization lists them now. Raises: RecordNotFoundError, RejectedError."""
        rows = list(self._api.rows("/settings/currencies"))
        found = [schemas.load(schemas.CURRENCY, row, "currencies", operation="list currencies") for row in rows]
        for row in found:
            self.saw(row["currency_code"], row["price_precision"])
        return found

    def fewer(self) -> Mapping[str, int]:
        """The decimals that it keeps, by currency. What another release wrote counts as not there."""
        noted = self._notes.read(self._decimals_note) or "{}"
        self._fewer = {}
        with suppress(ValueError, TypeError, AttributeError):
            self._fewer = {str(code): int(kept) for code, kept in json.loads(noted).items()}
        return self._fewer

    def _read(self) -> None:
        try:
            found = self.rows()
        except (RecordNotFoundError, RejectedError) as error:
            if error.code not in _HIDDEN:
                raise
            self._is_hidden = True  # an edition without currencies: every contact has the organization's own
            return
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


def _too_fine(deal: Deal, decimals: int) -> Decimal | None:
    """The first total of a line that *decimals* can't hold."""
    totals = (line.total_in(deal.amount.currency).amount for line in deal.lines)
    return next((total for total in totals if total != total.quantize(Decimal(1).scaleb(-decimals))), None)


def _too_few_decimals(currency: str, kept: int, total: Decimal) -> MappingError:
    return MappingError(
        f"{SYSTEM} keeps {currency} with {kept} of its {decimals_of(currency)} decimals, and a line comes to {total}.",
        system=SYSTEM,
        operation="create invoice",
        field_errors={"price_precision": f"is {kept} for {currency}"},
        advice=f"Give {currency} all its decimals in the settings of the organization, or the deal totals that need no "
        "more; then replay.",
    )
