"""The books' own items by SKU, for the lines of invoices. No filter by SKU is documented: the list is read, and kept.

One query for many: a process reads the list before its first invoice, and again after six hours, when a document was
refused, or when a code is missing that must not be. In between an invoice costs no call for its items, whether its
codes are on the list or not.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from time import monotonic

from crmsync.connectors.zoho_books import schemas
from crmsync.connectors.zoho_books.api import SYSTEM, BooksApi
from crmsync.errors import AccountRefusedError, CrmsyncError, MappingError, PermanentError

LIFE = timedelta(hours=6)
FRESH = timedelta(minutes=1)  # what is younger is not read again for one document
ROWS_MAX = 5_000
READ_SECONDS = 10.0  # a step holds a lease while it reads; what comes later than this is billed as free text

logger = logging.getLogger(__name__)
Clock = Callable[[], datetime]


class Items:
    """Active items; a SKU that two of them have is nobody's."""

    def __init__(self, api: BooksApi, *, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._ids: Mapping[str, str] = {}
        self._read_at: datetime | None = None

    def __len__(self) -> int:
        return len(self._ids)

    def found(self, sku: str) -> str:
        """The id of the item, or "" where there is none or the list can't be read. Never stops an invoice for good."""
        if self._is_older_than(LIFE):
            self._read_if_allowed()
        return self._ids.get(sku.strip(), "")

    def required(self, sku: str) -> str:
        """Raises: MappingError for a SKU that no active item has, or more than one."""
        if self._is_older_than(LIFE) or (sku.strip() not in self._ids and self._is_older_than(FRESH)):
            self.read()
        item_id = self._ids.get(sku.strip())
        if item_id is None:
            raise _no_item(sku)
        return item_id

    def refresh(self) -> None:
        """Read the list again for a document that was refused, unless that was just done."""
        if self._is_older_than(FRESH):
            self._read_if_allowed()

    def _is_older_than(self, age: timedelta) -> bool:
        return self._read_at is None or self._clock() - self._read_at >= age

    def _read_if_allowed(self) -> None:
        try:
            self.read()
        except AccountRefusedError:
            raise
        except PermanentError as error:  # no permission, or an edition without items
            logger.warning("items can't be read: %s", error, extra={"action": "items_unreadable", "system": SYSTEM})
            self._read_at = self._clock()
        except CrmsyncError:
            if self._read_at is None:
                raise
            self._read_at = self._clock() - LIFE + FRESH  # the list is still good, and asked for again in a minute

    def read(self) -> None:
        """Raises: what the call raises, as definite, for no document has been sent yet."""
        try:
            rows = [(row["sku"].strip(), row["item_id"]) for row in self._active() if row["sku"]]
        except CrmsyncError as error:
            error.is_definite = True
            raise
        counts = Counter(sku for sku, _ in rows)
        self._ids, self._read_at = {sku: item_id for sku, item_id in rows if counts[sku] == 1}, self._clock()

    def _active(self) -> Iterator[Mapping[str, str]]:
        started, read = monotonic(), 0
        for page in self._api.pages("/items", filter_by="Status.Active"):
            for row in page.rows:
                item = schemas.load(schemas.ITEM, row, "items", operation="list items")
                if item["status"] != "inactive":
                    yield item
            read += len(page.rows)
            if page.has_more and (read >= ROWS_MAX or monotonic() - started > READ_SECONDS):
                logger.warning("items beyond %d are not read", read, extra={"action": "items_cut", "system": SYSTEM})
                return


def _no_item(sku: str) -> MappingError:
    return MappingError(
        f"{SYSTEM} has no active item with the SKU {sku}, or more than one.",
        system=SYSTEM,
        operation="list items",
        field_errors={"item_id": "has no counterpart"},
        advice="Give exactly one active item this SKU, or unset ZOHO_ITEM_LOOKUP; then replay.",
    )
