"""What a step's task does with its run, however the step ends. The task is called as a function."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import Ignore, Retry

from crmsync import failpoints
from crmsync.connectors.way_out.lease import lease_ends_at
from crmsync.domain.dead_letters import LetterKind, LetterStatus
from crmsync.domain.ledger import EntryKey, EntryState
from crmsync.domain.runs import Run, RunStatus
from crmsync.errors import (
    AmountMismatchError,
    BugError,
    InvalidDealError,
    OutcomeSettlingError,
    RateLimitedError,
    VendorUnavailableError,
)
from crmsync.services import Services
from crmsync.worker import dead_letters
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import FLOWS, Flow
from crmsync.worker.task import step
from tests.fakes import DEFAULT, FakeClock, FakeMessenger

Body = Callable[[Attempt], Mapping[str, Any]]

_FLOW = Flow("a_flow", subject="deal", steps=("read", "make", "tell"), rereads=("read",))
_bodies: dict[str, Body] = {}


@step(_FLOW, queue="crm")
def read(attempt: Attempt) -> Mapping[str, Any]:
    return _bodies["read"](attempt)


@step(_FLOW, queue="erp")
def make(attempt: Attempt) -> Mapping[str, Any]:
    return _bodies["make"](attempt)


@step(_FLOW, queue="crm")
def tell(attempt: Attempt) -> Mapping[str, Any]:
    return _bodies["tell"](attempt)


@pytest.fixture(autouse=True)
def bodies() -> Iterator[dict[str, Body]]:
    """What each step does; by default it learns nothing."""
    _bodies.update(dict.fromkeys(_FLOW.steps, lambda attempt: {}))
    yield _bodies
    _bodies.clear()


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What would go to the broker: dead letters shown, chains enqueued, housekeeping called."""
    messages: list[str] = []
    monkeypatch.setattr(dead_letters, "show", lambda letter: messages.append(f"shown {letter.step}"))
    monkeypatch.setattr(
        FLOWS["a_flow"], "enqueue", lambda run_id, results: messages.append(f"enqueued {sorted(results)}")
    )
    monkeypatch.setattr(dead_letters.app, "send_task", lambda name, **_: messages.append(name))
    return messages


@pytest.fixture
def run_id(services: Services) -> str:
    with services.store.begin() as uow:
        return _FLOW.open_run(uow, DEFAULT, "006xx0000012abcAAA", correlation_id="c")[0]


def get(services: Services, run_id: str) -> Run:
    with services.store.read() as uow:
        run = uow.runs.get(run_id)
    assert run is not None
    return run


def raises(error: Exception) -> Body:
    def body(attempt: Attempt) -> Mapping[str, Any]:
        attempt.describe(title="Acme – 200 sensors", amount=attempt.amount or 47000, currency="USD")
        raise error

    return body


def test_a_step_that_returns_hands_over_to_the_next(services: Services, run_id: str, bodies: dict[str, Body]) -> None:
    bodies["read"] = lambda attempt: {"name": "200 sensors"}

    read.execute(run_id)

    run = get(services, run_id)
    assert (run.step, run.results, run.leased_until) == ("make", {"read": {"name": "200 sensors"}}, None)


def test_the_last_step_ends_the_run(services: Services, run_id: str) -> None:
    for task in (read, make, tell):
        task.execute(run_id)

    assert get(services, run_id).status is RunStatus.DONE


def test_a_step_that_is_done_is_not_done_again(services: Services, run_id: str, bodies: dict[str, Body]) -> None:
    read.execute(run_id)
    bodies["read"] = raises(AssertionError("ran twice"))

    read.execute(run_id)  # returns: its chain may go on

    assert get(services, run_id).step == "make"


def test_a_message_for_a_leased_run_ends(services: Services, run_id: str) -> None:
    with services.store.begin() as uow:
        uow.runs.claim(run_id, "read", lease_seconds=60)

    with pytest.raises(Ignore):
        read.execute(run_id)


def test_a_message_for_a_later_step_ends(run_id: str) -> None:
    with pytest.raises(Ignore):
        tell.execute(run_id)


def test_a_passing_fault_is_counted_and_comes_back(
    services: Services, run_id: str, bodies: dict[str, Body], clock: FakeClock
) -> None:
    bodies["read"] = raises(VendorUnavailableError(system="SAP"))

    with pytest.raises(VendorUnavailableError) as failed:
        read.execute(run_id)

    run = get(services, run_id)
    wait = failed.value.retry_in_seconds  # type: ignore[attr-defined]
    assert 1 <= wait <= 2
    assert (run.attempts, run.leased_until, run.due_at) == (1, None, clock.now + timedelta(seconds=wait))


def test_celery_retries_after_the_wait_that_the_store_decided(
    run_id: str, bodies: dict[str, Body], monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies["read"] = raises(VendorUnavailableError(retry_after_seconds=20))
    sent: dict[str, Any] = {}
    monkeypatch.setattr("celery.canvas.Signature.apply_async", lambda self, **options: sent.update(self.options))

    read.push_request(called_directly=False, id="t", retries=0)
    try:
        with pytest.raises(Retry):
            read.run(run_id)
    finally:
        read.pop_request()

    assert 20 <= sent["countdown"] <= 21


def test_three_retries_then_a_dead_letter(
    services: Services, run_id: str, bodies: dict[str, Body], clock: FakeClock, sent: list[str]
) -> None:
    bodies["read"] = raises(VendorUnavailableError(system="SAP", code="HTTP 503"))
    waits = []
    for _ in range(4):
        with pytest.raises(VendorUnavailableError) as failed:
            read.execute(run_id)
        waits.append(failed.value.retry_in_seconds)  # type: ignore[attr-defined]
        clock.advance(10)

    assert [round(wait / 2**n) for n, wait in enumerate(waits[:3])] == pytest.approx([1.5, 1.5, 1.5], abs=0.6)
    assert waits[3] is None
    assert get(services, run_id).status is RunStatus.STOPPED
    assert sent == ["shown read", "housekeeping.deliver_alerts"]


def test_a_long_wait_ends_the_message(
    services: Services, run_id: str, bodies: dict[str, Body], clock: FakeClock
) -> None:
    bodies["read"] = raises(RateLimitedError(retry_after_seconds=900))

    with pytest.raises(Ignore):
        read.execute(run_id)

    run = get(services, run_id)
    assert run.due_at >= clock.now + timedelta(seconds=900)
    assert (run.queued_until, run.attempts) == (None, 0)


def test_waiting_for_an_outcome_is_no_attempt(services: Services, run_id: str, bodies: dict[str, Body]) -> None:
    bodies["read"] = raises(OutcomeSettlingError(wait_seconds=5))

    with pytest.raises(OutcomeSettlingError):
        read.execute(run_id)

    run = get(services, run_id)
    assert (run.attempts, run.starts) == (0, 0)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidDealError(), LetterKind.DATA),
        (AmountMismatchError(), LetterKind.REVIEW),
        (BugError(), LetterKind.FAILURE),
    ],
)
def test_what_no_retry_can_help_is_buried_at_once(
    services: Services, run_id: str, bodies: dict[str, Body], error: Exception, kind: LetterKind
) -> None:
    bodies["read"] = raises(error)

    with pytest.raises(type(error)):
        read.execute(run_id)

    with services.store.read() as uow:
        [letter] = uow.dead_letters.list(None)
    assert (letter.kind, letter.title, letter.money) == (kind, "Acme – 200 sensors", "47,000.00 USD")


def test_an_unexpected_error_is_a_bug_that_tells_no_data(
    services: Services, run_id: str, bodies: dict[str, Body], caplog: pytest.LogCaptureFixture
) -> None:
    bodies["read"] = raises(KeyError("ann@acme.test"))

    with pytest.raises(BugError) as failed:
        read.execute(run_id)

    assert "KeyError" in str(failed.value)
    assert "ann@acme.test" not in caplog.text + str(failed.value)


def test_an_error_that_celery_shows_has_no_cause_that_may_hold_data(
    services: Services, run_id: str, bodies: dict[str, Body]
) -> None:
    def body(attempt: Attempt) -> Mapping[str, Any]:
        try:
            raise KeyError("ann@acme.test")
        except KeyError as error:
            raise InvalidDealError from error

    bodies["read"] = body

    with pytest.raises(InvalidDealError) as failed:
        read.execute(run_id)

    assert failed.value.__cause__ is None


@pytest.mark.parametrize(
    "error", [None, VendorUnavailableError(), AmountMismatchError()], ids=["ends well", "waits", "dies"]
)
def test_what_a_step_has_made_is_confirmed_however_it(
    services: Services, run_id: str, bodies: dict[str, Body], error: Exception | None
) -> None:
    key = EntryKey("s4hana", "order", "SF-006xx0000012abcAAA")

    def body(attempt: Attempt) -> Mapping[str, Any]:
        made = attempt.create_once(key, find=list, create=lambda: {"number": "1"})
        if error is not None:
            raise error
        return made

    bodies["read"] = body
    with contextlib.suppress(Retry, VendorUnavailableError, AmountMismatchError):
        read.execute(run_id)

    with services.store.read() as uow:
        entry = uow.ledger.get(key)
    assert entry is not None
    assert (entry.state, entry.document) == (EntryState.CONFIRMED, {"number": "1"})


def test_no_call_of_a_step_outlasts_the_lease_of_its_claim(
    services: Services, run_id: str, bodies: dict[str, Body], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker is stopped for a while right after the claim."""
    monkeypatch.setattr("crmsync.worker.attempt.time", SimpleNamespace(monotonic=lambda: 1000.0))
    monkeypatch.setattr(failpoints, "hit", lambda boundary, _: boundary == "claimed" and clock.advance(20))
    ends_at: list[float | None] = []
    bodies["read"] = lambda attempt: ends_at.append(lease_ends_at()) or {}  # type: ignore[func-returns-value]

    read.execute(run_id)

    assert ends_at == [1000 + 60 * 0.95 - 20]


def test_a_step_that_kills_its_worker_is_buried_after_five_starts(
    services: Services, run_id: str, bodies: dict[str, Body], clock: FakeClock
) -> None:
    class WorkerKilledError(BaseException):
        """The process is gone."""

    def die(attempt: Attempt) -> Mapping[str, Any]:
        raise WorkerKilledError

    bodies["read"] = die
    for _ in range(5):
        with pytest.raises(WorkerKilledError):
            read.execute(run_id)
        clock.advance(61)

    with pytest.raises(BugError, match="5 times"):
        read.execute(run_id)
    assert get(services, run_id).status is RunStatus.STOPPED


def test_a_worker_that_was_overtaken_changes_nothing(
    services: Services, run_id: str, bodies: dict[str, Body], clock: FakeClock
) -> None:
    def overtaken(attempt: Attempt) -> Mapping[str, Any]:
        clock.advance(61)
        with services.store.begin() as uow:
            assert uow.runs.claim(run_id, "read", lease_seconds=60) is not None
        return {"late": True}

    bodies["read"] = overtaken

    with pytest.raises(Ignore):
        read.execute(run_id)
    assert get(services, run_id).results == {}


def bury(services: Services, run_id: str, bodies: dict[str, Body], error: Exception | None = None) -> int:
    """Let the run die at `make`; returns the letter's id."""
    read.execute(run_id)
    bodies["make"] = raises(error or AmountMismatchError(system="SAP"))
    with pytest.raises(type(error or AmountMismatchError())):
        make.execute(run_id)
    with services.store.read() as uow:
        return uow.dead_letters.list(None)[0].id


def test_a_replay_reads_the_source_again_and_does_the_rest(
    services: Services, run_id: str, bodies: dict[str, Body], sent: list[str]
) -> None:
    letter_id = bury(services, run_id, bodies)
    sent.clear()

    dead_letters.replay(services, letter_id, by="test")

    assert sent == ["enqueued []"]
    assert get(services, run_id).step == "read"
    bodies["make"] = lambda attempt: {}
    for task in (read, make, tell):
        task.execute(run_id)
    with services.store.read() as uow:
        letter = uow.dead_letters.get(letter_id)
    assert letter is not None
    assert letter.status is LetterStatus.REPLAYED


def test_a_letter_is_replayed_once(services: Services, run_id: str, bodies: dict[str, Body]) -> None:
    letter_id = bury(services, run_id, bodies)
    dead_letters.replay(services, letter_id, by="one")

    with pytest.raises(dead_letters.NotWaitingError):
        dead_letters.replay(services, letter_id, by="other")


def test_the_answer_reaches_the_step_that_stopped_and_no_other(
    services: Services, run_id: str, bodies: dict[str, Body]
) -> None:
    letter_id = bury(services, run_id, bodies)
    dead_letters.replay(services, letter_id, dead_letters.Answers(accept=True), by="test")
    accepted: dict[str, bool] = {}
    for name in bodies:
        bodies[name] = lambda attempt: accepted.update({attempt.run.step: attempt.is_accepted()}) or {}

    for task in (read, make, tell):
        task.execute(run_id)

    assert accepted == {"read": False, "make": True, "tell": False}


def test_a_second_failure_puts_the_letter_back_without_a_new_alert(
    services: Services, run_id: str, bodies: dict[str, Body], sent: list[str]
) -> None:
    letter_id = bury(services, run_id, bodies)
    dead_letters.replay(services, letter_id, by="test")
    sent.clear()
    read.execute(run_id)
    with pytest.raises(AmountMismatchError):
        make.execute(run_id)

    with services.store.read() as uow:
        [letter] = uow.dead_letters.list(None)
        [alert] = uow.alerts.newest(None, limit=9)
    assert (letter.id, letter.failures) == (letter_id, 2)
    assert alert.occurrences == 1
    assert sent == []


@pytest.mark.parametrize(("error", "is_revived"), [(InvalidDealError(), True), (AmountMismatchError(), False)])
def test_a_new_webhook_revives_what_died_of_bad_data(
    services: Services, run_id: str, bodies: dict[str, Body], error: Exception, is_revived: bool
) -> None:
    bury(services, run_id, bodies, error)

    with services.store.begin() as uow:
        revived = dead_letters.revive(uow, run_id)

    assert (revived is not None) is is_revived
    assert (get(services, run_id).status is RunStatus.ACTIVE) is is_revived


def test_a_discarded_letter_ends_its_run(services: Services, run_id: str, bodies: dict[str, Body]) -> None:
    letter_id = bury(services, run_id, bodies)

    dead_letters.discard(services, letter_id, by="test")

    assert get(services, run_id).status is RunStatus.DISCARDED
    with pytest.raises(Ignore):
        make.execute(run_id)


def test_a_message_on_the_dead_letter_queue_replays_its_letter(
    services: Services, run_id: str, bodies: dict[str, Body], sent: list[str]
) -> None:
    bury(services, run_id, bodies)
    sent.clear()
    make.push_request(delivery_info={"routing_key": "dead_letter"})
    try:
        for _ in range(2):  # the second message finds nothing to do
            with pytest.raises(Ignore):
                make.execute(run_id)
    finally:
        make.pop_request()

    assert sent == ["enqueued []"]


def test_an_alert_names_the_deal_the_amount_and_the_next_command(
    services: Services, run_id: str, bodies: dict[str, Body], messenger: FakeMessenger
) -> None:
    from crmsync.alerts import delivery

    letter_id = bury(services, run_id, bodies)

    delivery.deliver(services.store, messenger)

    [(content, occurrences, _)] = messenger.told
    facts = dict(content["facts"])
    assert occurrences == 1
    assert (facts["Company"], facts["Amount"], facts["System"]) == ("Acme – 200 sensors", "47,000.00 USD", "SAP")
    assert content["command"].endswith(f"celery -A crmsync dead-letters show {letter_id}")
