"""Query locators: what is left of a result, for two days.

A locator is an 18-character id that starts with 0r8, a dash, and the position of the next row.
"""

from collections.abc import Callable
from itertools import count

from crmsync.lab.sandbox.clock import Clock
from crmsync.lab.sandbox.salesforce.errors import SalesforceError
from crmsync.lab.sandbox.salesforce.ids import make_id
from crmsync.lab.sandbox.salesforce.org import Record
from crmsync.lab.sandbox.salesforce.schema import Object
from crmsync.lab.sandbox.salesforce.search import Search
from crmsync.lab.sandbox.salesforce.soql import Query

LIFE_SECONDS = 2 * 24 * 3600
MOST_OPEN = 200


class Cursors:
    """Keeps the rows of results that did not fit one page."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._numbers = count(1)
        self._open: dict[str, tuple[float, Object, Query, list[Record], int]] = {}

    def keeper(self, version: str, size: int) -> "Keeper":
        return Keeper(
            lambda kind, query, rows, position: self._keep(version, (kind, query, rows, size), position), size
        )

    def _keep(self, version: str, rest: tuple[Object, Query, list[Record], int], position: int) -> str:
        locator = make_id("0r8", next(self._numbers))
        self._open[locator] = (self._clock.seconds() + LIFE_SECONDS, *rest)
        if len(self._open) > MOST_OPEN:  # what long tests leave behind; the vendor's own bound is not known
            del self._open[next(iter(self._open))]
        return f"/services/data/v{version}/query/{locator}-{position}"

    def page(self, search: Search, version: str, text: str) -> Record:
        """The page at a locator. Raises SalesforceError (INVALID_QUERY_LOCATOR) for unknown and expired ones."""
        locator, _, start = text.partition("-")
        expiry, kind, query, rows, size = self._open.get(locator, (0.0, None, None, [], 0))
        if kind is None or query is None or not start.isdigit() or expiry < self._clock.seconds():
            raise SalesforceError("INVALID_QUERY_LOCATOR", "invalid query locator")
        end = int(start) + size
        body: Record = {"totalSize": len(rows), "done": end >= len(rows)}
        if not body["done"]:
            body["nextRecordsUrl"] = f"/services/data/v{version}/query/{locator}-{end}"
        return {**body, "records": search.show(kind, query, rows[int(start) : end], self.keeper(version, size))}

    def expire(self) -> None:
        self._open.clear()


class Keeper:
    """Keeps a rest, and knows the page size."""

    def __init__(self, keep: Callable[[Object, Query, list[Record], int], str], size: int) -> None:
        self._keep = keep
        self.size = size

    def __call__(self, kind: Object, query: Query, rows: list[Record], position: int) -> str:
        return self._keep(kind, query, rows, position)
