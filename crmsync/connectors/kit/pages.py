"""Reads paged lists to their last page, and notices when pages repeat."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from crmsync.errors import CrmsyncError

Place = TypeVar("Place", str, int)


@dataclass(frozen=True, slots=True)
class Page(Generic[Place]):
    """Some rows of a list, and where the page after them is: its address or number; None after the last."""

    rows: list[Any]
    next: Place | None = None

    @property
    def is_last(self) -> bool:
        return self.next is None


AnyPage = TypeVar("AnyPage", bound="Page[Any]")


def pages_from(
    first: AnyPage,
    read: Callable[[Any], AnyPage],
    *,
    circle: CrmsyncError,
    start: str | None = None,
    at_most: int | None = None,
) -> Iterator[AnyPage]:
    """*first*, and what *read* brings of each place that a page names as the next; *start* is where *first* was.

    Numbers always lead on, so there the rows tell: a server that does not heed them gives the same ones again.

    Raises: *circle* for a place that comes again, the rows of the page before at a number, or a page above
    *at_most*.
    """
    seen, page, count = {start}, first, 1
    while True:
        yield page
        if page.next is None:
            return
        if page.next in seen or count == at_most:
            raise circle
        seen.add(page.next)
        before, page, count = page, read(page.next), count + 1
        if isinstance(before.next, int) and page.rows == before.rows:
            raise circle
