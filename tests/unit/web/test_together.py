"""What several threads ask for at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from crmsync.errors import StoreUnavailableError
from crmsync.web.together import Together
from tests.system import until


class Desk:
    """Doubles numbers, and remembers which it was given together; the first time it takes until it is let go."""

    def __init__(self, fails: Callable[[Sequence[int]], Exception | None] = lambda items: None) -> None:
        self.given: list[list[int]] = []
        self.begun, self.may_end = threading.Event(), threading.Event()
        self._fails = fails

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.given.append(list(items))
        if not self.begun.is_set():
            self.begun.set()
            assert self.may_end.wait(30)
        if (error := self._fails(items)) is not None:
            raise error
        return [2 * item for item in items]

    def asked(self, *items: int) -> list[Future[int]]:
        """All of them ask while the first is being served."""
        together = Together(self)
        with ThreadPoolExecutor(len(items)) as pool:
            found = [pool.submit(together.ask, items[0])]
            assert self.begun.wait(30)
            for count, item in enumerate(items[1:], 1):
                found.append(pool.submit(together.ask, item))
                until(lambda count=count: len(together._waiting) == count, what="it waits")
            self.may_end.set()
        return found


def test_who_asks_alone_is_served_at_once():
    desk = Desk()
    desk.may_end.set()
    together = Together(desk)

    assert [together.ask(1), together.ask(2)] == [2, 4]
    assert desk.given == [[1], [2]]


def test_those_who_ask_meanwhile_are_served_together_and_each_gets_his_own():
    desk = Desk()

    found = desk.asked(1, 2, 3, 4)

    assert [each.result() for each in found] == [2, 4, 6, 8]
    assert desk.given == [[1], [2, 3, 4]]


@pytest.mark.parametrize("at_once", [1, 2])
def test_no_more_are_at_work_than_may_be(at_once: int) -> None:
    """Each piece of work lasts until it is let go; the one that follows another takes its place, and no more."""
    places = range(at_once)
    begun = [threading.Event() for _ in range(2 * at_once + 1)]
    let_go = [threading.Event() for _ in begun]
    given: list[list[int]] = []

    def work(items: Sequence[int]) -> Sequence[int]:
        given.append(list(items))
        begun[items[0]].set()
        assert let_go[items[0]].wait(30)
        return items

    together = Together(work, at_once=at_once)
    with ThreadPoolExecutor(len(begun)) as pool:
        found = []
        for place in places:
            found.append(pool.submit(together.ask, place))
            assert begun[place].wait(30)
        for place in places:  # who comes now waits, and takes the place of whoever ends first
            number = at_once + place
            found.append(pool.submit(together.ask, number))
            until(lambda: len(together._waiting) == 1, what="it waits")
            let_go[place].set()
            assert begun[number].wait(30)
        found.append(pool.submit(together.ask, 2 * at_once))
        until(lambda: len(together._waiting) == 1 or begun[-1].is_set(), what="the last waits")
        assert not begun[-1].is_set()
        for event in let_go:
            event.set()

    assert [each.result() for each in found] == [*range(2 * at_once + 1)]
    assert given == [[number] for number in range(2 * at_once + 1)]
    assert together._free == at_once


def test_a_store_that_fails_fails_for_all_who_asked_together_and_for_no_other():
    desk = Desk(lambda items: StoreUnavailableError() if 3 in items else None)

    first, *others = desk.asked(1, 2, 3)

    assert first.result() == 2
    for each in others:
        with pytest.raises(StoreUnavailableError):
            each.result()
    assert desk.given == [[1], [2, 3]]


def test_what_can_not_be_done_for_one_is_done_for_the_others():
    desk = Desk(lambda items: RuntimeError("nobody foresaw it") if 3 in items else None)

    first, second, third, fourth = desk.asked(1, 2, 3, 4)

    assert [each.result() for each in (first, second, fourth)] == [2, 4, 8]
    with pytest.raises(RuntimeError):
        third.result()


def test_who_comes_after_a_failure_is_served():
    desk = Desk(lambda items: StoreUnavailableError() if items == [1] else None)
    desk.may_end.set()
    together = Together(desk)
    with pytest.raises(StoreUnavailableError):
        together.ask(1)

    assert together.ask(2) == 4


def test_nobody_waits_for_ever_for_one_who_has_gone():
    desk = Desk(lambda items: None)

    def gone(items: Sequence[int]) -> list[int]:
        desk(items)
        if 1 in items:
            raise SystemExit
        if 2 in items:
            raise SystemExit
        return [2 * item for item in items]

    together = Together(gone)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(together.ask, 1)
        assert desk.begun.wait(30)
        others = [pool.submit(together.ask, item) for item in (2, 3)]
        until(lambda: len(together._waiting) == 2, what="they wait")
        desk.may_end.set()

    assert isinstance(first.exception(), SystemExit)
    assert {type(each.exception()) for each in others} == {SystemExit, StoreUnavailableError}
