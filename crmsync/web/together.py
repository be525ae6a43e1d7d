"""What several threads ask for at the same time is done at once, by one of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from crmsync.errors import StoreUnavailableError

Item = TypeVar("Item")
Result = TypeVar("Result")


class Together(Generic[Item, Result]):
    """Nobody waits for company: who finds nobody at work begins, and what comes meanwhile is the next piece of work.

    So a webhook alone is stored at once, and those of a burst share a transaction and its wait for the disk.
    """

    def __init__(self, do: Callable[[Sequence[Item]], Sequence[Result]]) -> None:
        """*do* does all or nothing, and has one result for each item."""
        self._do = do
        self._lock = threading.Lock()
        self._is_busy = False
        self._waiting: list[_Wish[Item, Result]] = []

    def ask(self, item: Item) -> Result:
        """The result for *item*. Raises: what *do* raises."""
        wish: _Wish[Item, Result] = _Wish(item)
        with self._lock:
            self._waiting.append(wish)
            wish.is_next, self._is_busy = not self._is_busy, True
        if not wish.is_next:
            wish.called.wait()
        if wish.is_next:
            self._work()
        if wish.error is not None:
            raise wish.error
        return wish.results[0]

    def _work(self) -> None:
        with self._lock:
            wishes, self._waiting = self._waiting, []
        try:
            self._fulfil(wishes)
        finally:
            self._hand_over(wishes)

    def _fulfil(self, wishes: Sequence[_Wish[Item, Result]]) -> None:
        """A store that fails does so for all of them. Of anything else one may be the reason, and the others not."""
        try:
            results = self._do([wish.item for wish in wishes])
        except Exception as error:
            if len(wishes) > 1 and not isinstance(error, StoreUnavailableError):
                for wish in wishes:
                    self._fulfil([wish])
                return
            for wish in wishes:
                wish.error = error
        else:
            for wish, result in zip(wishes, results, strict=True):
                wish.results, wish.error = [result], None

    def _hand_over(self, wishes: Sequence[_Wish[Item, Result]]) -> None:
        with self._lock:
            next_one = self._waiting[:1]
            self._is_busy = bool(next_one)
        for wish in next_one:
            wish.is_next = True
        for wish in (*next_one, *wishes):
            wish.called.set()


class _Wish(Generic[Item, Result]):
    """*is_next*: its thread does what all those want who wait."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.is_next = False
        self.called = threading.Event()
        self.results: list[Result] = []
        self.error: Exception | None = StoreUnavailableError()  # whoever was at it has gone
