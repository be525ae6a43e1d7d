"""Batches what several threads ask for at the same time: one of them does it for all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from crmsync.errors import StoreUnavailableError

Item = TypeVar("Item")
Result = TypeVar("Result")


class Together(Generic[Item, Result]):
    """Nobody waits for company: who finds a free place begins, and what comes meanwhile is the next piece of work.

    So a webhook alone is stored at once, and those of a burst share a transaction and its wait for the disk.
    """

    def __init__(self, do: Callable[[Sequence[Item]], Sequence[Result]], *, at_once: int = 1) -> None:
        """*do* does all or nothing, and has one result for each item; *at_once* of them may be under way."""
        self._do = do
        self._lock = threading.Lock()
        self._free = at_once
        self._waiting: list[_Wish[Item, Result]] = []

    def ask(self, item: Item) -> Result:
        """The result for *item*. Raises: what *do* raises."""
        wish: _Wish[Item, Result] = _Wish(item)
        with self._lock:
            self._waiting.append(wish)
            if self._free:
                self._free -= 1
                wish.group = self._taken()
        if not wish.group:
            wish.called.wait()
        if wish.group:
            self._work(wish.group)
        if wish.error is not None:
            raise wish.error
        return wish.results[0]

    def _taken(self) -> list[_Wish[Item, Result]]:
        taken, self._waiting = self._waiting, []
        return taken

    def _work(self, group: Sequence[_Wish[Item, Result]]) -> None:
        try:
            self._fulfil(group)
        finally:
            self._hand_over(group)

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

    def _hand_over(self, group: Sequence[_Wish[Item, Result]]) -> None:
        """The first of those who have come meanwhile serves them all."""
        with self._lock:
            following = self._taken()
            if not following:
                self._free += 1
        for wish in following[:1]:
            wish.group = following
        for wish in (*following[:1], *group):
            wish.called.set()


class _Wish(Generic[Item, Result]):
    """*group* are those whom its thread serves, itself among them; nobody, where another thread does."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.group: list[_Wish[Item, Result]] = []
        self.called = threading.Event()
        self.results: list[Result] = []
        self.error: Exception | None = StoreUnavailableError()  # whoever was at it has gone
