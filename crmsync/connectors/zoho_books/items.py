"""The books' own items by SKU, for the lines of invoices. No filter by SKU is documented: the list is read, and kept.

One query for many: one process reads the list for all, before the first invoice, and again after six hours, when a
document was refused, or when a code is missing that must not be. In between an invoice costs no call for its items,
whether its codes are on the list or not, and whether the process has just been started or not.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from time import monotonic

from crmsync.connectors.kit.notes import Notes
from crmsync.connectors.zoho_books import schemas
from crmsync.connectors.zoho_books.api import BooksApi
from crmsync.connectors.zoho_books.errors import SYSTEM
from crmsync.errors import AccountRefusedError, CrmsyncError, MappingError, PermanentError

LIFE = timedelta(hours=6)
FRESH = timedelta(minutes=1)  # what is younger is not read again for one document
ROWS_MAX = 5_000
READ_SECONDS = 10.0  # a step holds a lease while it reads; what comes later than this is billed as free text

logger = logging.getLogger(__name__)
Clock = Callable[[], datetime]


class Items:
    """Active items that are sold; a SKU that two of them have is nobody's."""

    def __init__(self, api: BooksApi, *, clock: Clock, notes: Notes, organization: str) -> None:
        self._api = api
        self._clock = clock
        self._notes = notes
        self._note = f"items.{organization}"
        self._ids: Mapping[str, str] = {}
        self._read_at: datetime | None = None

    def __len__(self) -> int:
        return len(self._ids)

    def found(self, sku: str) -> str:
        """The id of the item, or "" where there is none or the list can't be read. Never stops an invoice for good."""
        if self._is_older_than(LIFE):
            self._read_if_allowed()
        return self._ids.get(_folded(sku), "")

    def required(self, sku: str) -> str:
        """The id of the item of this SKU. Raises: MappingError for a SKU that no active item has, or more than one."""
        if self._is_older_than(LIFE) or (_folded(sku) not in self._ids and self._is_older_than(FRESH)):
            self.read()
        item_id = self._ids.get(_folded(sku))
        if item_id is None:
            raise _no_item(sku)
        return item_id

    def refresh(self) -> None:
        """Read the list again for a document that was refused, unless that was just done."""
        if self._is_older_than(FRESH):
            self._read_if_allowed()

    def _is_older_than(self, age: timedelta) -> bool:
        """Of what this process knows, or another has read since."""
        if self._has_passed(age):
            self._take_note()
        return self._has_passed(age)

    def _has_passed(self, age: timedelta) -> bool:
        return self._read_at is None or self._clock() - self._read_at >= age

    def _take_note(self) -> None:
        """What was not written by a release and a clock like ours counts as not there."""
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            kept = json.loads(self._notes.read(self._note) or "{}")
            read_at, ids = datetime.fromisoformat(kept["read_at"]), dict(kept["ids"])
            if read_at <= self._clock() and (self._read_at is None or read_at > self._read_at):
                self._ids, self._read_at = ids, read_at

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
        """Read the list of items. Raises: what the call raises, as definite, for no document has been sent yet."""
        try:
            rows = [(_folded(row["sku"]), row["item_id"]) for row in self._active() if row["sku"]]
        except CrmsyncError as error:
            error.is_definite = True
            raise
        counts = Counter(sku for sku, _ in rows)
        self._ids, self._read_at = {sku: item_id for sku, item_id in rows if counts[sku] == 1}, self._clock()
        self._notes.write(self._note, json.dumps({"read_at": self._read_at.isoformat(), "ids": self._ids}))

    def _active(self) -> Iterator[Mapping[str, str]]:
        started, read = monotonic(), 0
        for page in self._api.pages("/items", filter_by="Status.Active"):
            for row in page.rows:
                item = schemas.load(schemas.ITEM, row, "items", operation="list items")
                if item["status"] != "inactive" and item["item_type"] != "purchases":
                    yield item
            read += len(page.rows)
            if not page.is_last and (read >= ROWS_MAX or monotonic() - started > READ_SECONDS):
                logger.warning("items beyond %d are not read", read, extra={"action": "items_cut", "system": SYSTEM})
                return


def _folded(sku: str) -> str:
    """As Zoho Books compares SKUs: without case."""
    return sku.strip().casefold()


def _no_item(sku: str) -> MappingError:
    return MappingError(
        f"{SYSTEM} has no active item with the SKU {sku}, or more than one.",
        system=SYSTEM,
        operation="list items",
        field_errors={"item_id": "has no counterpart"},
        advice="Give exactly one active item this SKU, or unset ZOHO_ITEM_LOOKUP; then replay.",
    )
