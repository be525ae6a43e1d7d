"""A document is made once, whatever becomes of the answer."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import update

from crmsync.domain.ledger import EntryKey
from crmsync.errors import (
    CrmsyncError,
    DocumentGoneError,
    LeaseLostError,
    LockedByOtherRunError,
    OutcomeSettlingError,
    OutcomeUnknownError,
    ProcessFaultError,
    RateLimitedError,
    RejectedError,
    VendorUnavailableError,
)
from crmsync.services import Services
from crmsync.store.tables import ledger
from crmsync.worker import stopwatch
from crmsync.worker.attempt import Attempt
from tests.fakes import FakeClock, FakeVendor, start_run

ORDER = EntryKey("s4hana", "order", "SF-006xx0000012abcAAA")
CERTAIN_SECONDS = 54  # after an answer that never came: a call (24) and the settle time (30)
LEASE_SECONDS = 60
FORGOTTEN_SECONDS = 90  # after an attempt that was never heard of again: its lease (60) and the settle time


class WorkerKilledError(BaseException):
    """The process is gone: nothing of it runs any more."""


@pytest.fixture
def vendor() -> FakeVendor:
    return FakeVendor()


def attempt(services: Services, subject: str = "006xx0000012abcAAA") -> Attempt:
    """The next attempt at the step of the deal's run, its lease taken."""
    with services.store.begin() as uow:
        run_id, _ = start_run(uow, "flow", subject, step="first", correlation_id="c", queued_until=uow.now)
        run = uow.runs.claim(run_id, "first", lease_seconds=60)
    assert run is not None
    return Attempt(run, services, services.store.clock())


def create(attempt: Attempt, vendor: FakeVendor) -> Any:
    return attempt.create_once(ORDER, find=vendor.find, create=vendor.create)


def end(attempt: Attempt) -> None:
    """End the attempt as the task does."""
    with attempt.services.store.begin() as uow:
        attempt.record_outcomes(uow)
        uow.runs.release(attempt.run, wait_seconds=0, attempts=0, queued_for=None)


def attempt_ends_in(error: type[CrmsyncError], services: Services, vendor: FakeVendor) -> Any:
    """A whole attempt that ends in *error*; returns that."""
    trying = attempt(services)
    with pytest.raises(error) as raised:
        create(trying, vendor)
    end(trying)
    return raised.value


def test_the_happy_path_pays_no_search(services: Services, vendor: FakeVendor) -> None:
    assert create(attempt(services), vendor) == {"number": "1"}
    assert vendor.searches == 0


def test_what_is_confirmed_is_taken_from_the_ledger(services: Services, vendor: FakeVendor) -> None:
    first = attempt(services)
    create(first, vendor)
    end(first)

    assert create(attempt(services), vendor) == {"number": "1"}
    assert (len(vendor.documents), vendor.searches) == (1, 0)


def test_a_document_whose_answer_was_lost_is_adopted(services: Services, vendor: FakeVendor) -> None:
    vendor.fails_with(VendorUnavailableError(), after_commit=True)
    attempt_ends_in(VendorUnavailableError, services, vendor)

    adopting = attempt(services)
    assert create(adopting, vendor) == {"number": "1"}
    assert adopting.has_adopted, "people may have changed it meanwhile: it is read anew"
    assert len(vendor.documents) == 1


def test_a_document_that_is_gone_is_neither_taken_nor_made_again_under_its_reference(
    services: Services, vendor: FakeVendor
) -> None:
    first = attempt(services)
    create(first, vendor)
    end(first)
    with services.store.begin() as uow:
        assert uow.ledger.gone(ORDER)

    attempt_ends_in(DocumentGoneError, services, vendor)
    assert len(vendor.documents) == 1


def test_a_document_that_does_not_show_up_is_made_again_only_when_that_is_certain(
    services: Services, vendor: FakeVendor, clock: FakeClock
) -> None:
    vendor.fails_with(VendorUnavailableError())
    attempt_ends_in(VendorUnavailableError, services, vendor)

    clock.advance(CERTAIN_SECONDS - 5)
    settling = attempt_ends_in(OutcomeSettlingError, services, vendor)
    assert 5 <= settling.wait_seconds < 6
    assert vendor.documents == []

    clock.advance(6)
    assert create(attempt(services), vendor) == {"number": "1"}


def test_what_a_clock_that_was_ahead_promised_is_waited_for_by_the_stopwatch(
    services: Services, vendor: FakeVendor, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O15: an hour is not waited for, and nothing is sent before a call that is under way must be over."""
    vendor.fails_with(VendorUnavailableError())
    attempt_ends_in(VendorUnavailableError, services, vendor)
    with services.store.begin() as uow:
        uow.connection.execute(update(ledger).values(certain_at=clock.now + timedelta(hours=1)))

    for passed_seconds in (0, FORGOTTEN_SECONDS - 5):
        monkeypatch.setattr(stopwatch, "now", partial(float, passed_seconds))
        settling = attempt_ends_in(OutcomeSettlingError, services, vendor)
        assert settling.wait_seconds == pytest.approx(FORGOTTEN_SECONDS - passed_seconds + 0.1)
    assert vendor.documents == []

    monkeypatch.setattr(stopwatch, "now", partial(float, FORGOTTEN_SECONDS))
    assert create(attempt(services), vendor) == {"number": "1"}


def test_a_document_that_the_vendor_lists_late_is_still_adopted(
    services: Services, vendor: FakeVendor, clock: FakeClock
) -> None:
    vendor.fails_with(VendorUnavailableError(), after_commit=True)
    vendor.hidden = 1
    attempt_ends_in(VendorUnavailableError, services, vendor)

    attempt_ends_in(OutcomeSettlingError, services, vendor)
    vendor.hidden = 0
    clock.advance(CERTAIN_SECONDS + 1)

    assert create(attempt(services), vendor) == {"number": "1"}
    assert len(vendor.documents) == 1


def test_what_comes_to_the_list_while_that_is_on_its_way_is_not_made_again(
    services: Services, vendor: FakeVendor, clock: FakeClock
) -> None:
    """The look began before absence was certain, whenever it ended: what it did not show proves nothing."""
    vendor.fails_with(VendorUnavailableError(), after_commit=True)
    attempt_ends_in(VendorUnavailableError, services, vendor)
    clock.advance(CERTAIN_SECONDS - 1)

    def find() -> list[Any]:
        clock.advance(5)
        return []

    with pytest.raises(OutcomeSettlingError):
        attempt(services).create_once(ORDER, find=find, create=vendor.create)
    assert len(vendor.documents) == 1


def test_an_internal_error_is_settled_from_its_answer_on(
    services: Services, vendor: FakeVendor, clock: FakeClock
) -> None:
    vendor.fails_with(VendorUnavailableError(code="HTTP 500"))
    attempt_ends_in(VendorUnavailableError, services, vendor)

    clock.advance(31)

    assert create(attempt(services), vendor) == {"number": "1"}


@pytest.mark.parametrize(
    "refusal",
    [RejectedError(), RateLimitedError(), VendorUnavailableError(is_definite=True)],
    ids=["refused", "over the limit", "never sent"],
)
def test_what_certainly_was_not_made_is_made_at_once(
    services: Services, vendor: FakeVendor, refusal: Exception
) -> None:
    vendor.fails_with(refusal)
    attempt_ends_in(type(refusal), services, vendor)

    assert create(attempt(services), vendor) == {"number": "1"}
    assert vendor.searches == 0


@pytest.mark.parametrize("is_made", [True, False], ids=["after the commit", "before the commit"])
def test_a_worker_killed_in_the_middle(services: Services, vendor: FakeVendor, clock: FakeClock, is_made: bool) -> None:
    vendor.fails_with(WorkerKilledError(), after_commit=is_made)
    with pytest.raises(WorkerKilledError):
        create(attempt(services), vendor)

    clock.advance(FORGOTTEN_SECONDS + 1)

    assert create(attempt(services), vendor) == {"number": "1"}
    assert len(vendor.documents) == 1


@pytest.mark.parametrize("is_first", [True, False], ids=["the first send", "a later send"])
def test_what_a_killed_worker_may_have_made_gets_its_settle_time_after_the_lease(
    services: Services, vendor: FakeVendor, clock: FakeClock, is_first: bool
) -> None:
    """A call may begin at the end of a lease: so long after that the vendor's lists may still be without it."""
    if not is_first:
        vendor.fails_with(RejectedError())
        attempt_ends_in(RejectedError, services, vendor)
    vendor.fails_with(WorkerKilledError(), after_commit=True)
    vendor.hidden = 1
    with pytest.raises(WorkerKilledError):
        create(attempt(services), vendor)

    clock.advance(FORGOTTEN_SECONDS - 1)
    settling = attempt_ends_in(OutcomeSettlingError, services, vendor)
    assert 1 <= settling.wait_seconds < 2
    vendor.hidden = 0
    clock.advance(settling.wait_seconds)

    assert create(attempt(services), vendor) == {"number": "1"}
    assert len(vendor.documents) == 1


def test_what_a_killed_worker_never_sent_is_made_as_soon_as_that_is_certain(
    services: Services, vendor: FakeVendor, clock: FakeClock
) -> None:
    vendor.fails_with(WorkerKilledError())
    with pytest.raises(WorkerKilledError):
        create(attempt(services), vendor)

    clock.advance(FORGOTTEN_SECONDS)

    assert create(attempt(services), vendor) == {"number": "1"}


def test_a_slow_sign_in_before_the_call_does_not_shorten_the_wait(
    services: Services, vendor: FakeVendor, clock: FakeClock
) -> None:
    def slow() -> Any:
        clock.advance(50)  # the token and the session took as long as the lease allows, then the call timed out
        return vendor.create()

    vendor.fails_with(VendorUnavailableError(), after_commit=True)
    vendor.hidden = 1
    first = attempt(services)
    with pytest.raises(VendorUnavailableError):
        first.create_once(ORDER, find=vendor.find, create=slow)
    end(first)

    clock.advance(CERTAIN_SECONDS - 1)
    second = attempt(services)
    with pytest.raises(OutcomeSettlingError):
        create(second, vendor)
    assert len(vendor.documents) == 1


@pytest.mark.parametrize("code", ["HTTP 502", "HTTP 503", "HTTP 504"])
def test_behind_a_gateway_that_gave_up_the_vendor_may_still_be_at_it(
    services: Services, vendor: FakeVendor, clock: FakeClock, code: str
) -> None:
    vendor.fails_with(VendorUnavailableError(code=code))
    attempt_ends_in(VendorUnavailableError, services, vendor)

    clock.advance(31)

    with pytest.raises(OutcomeSettlingError):
        create(attempt(services), vendor)


def test_a_fault_of_this_process_in_the_middle_of_a_call_says_nothing_of_the_vendor(
    services: Services, vendor: FakeVendor, clock: FakeClock
) -> None:
    vendor.fails_with(ProcessFaultError("There are no open files left.", code="EMFILE"))
    attempt_ends_in(ProcessFaultError, services, vendor)

    clock.advance(CERTAIN_SECONDS - 1)

    attempt_ends_in(OutcomeSettlingError, services, vendor)


def test_a_document_that_an_overtaken_worker_confirms_late_is_not_made_again(
    services: Services, vendor: FakeVendor, clock: FakeClock
) -> None:
    """The second worker has looked, found nothing, and is about to send when the first one's answer arrives."""
    vendor.fails_with(WorkerKilledError(), after_commit=True)
    first = attempt(services)
    with pytest.raises(WorkerKilledError):
        create(first, vendor)
    clock.advance(FORGOTTEN_SECONDS + 1)
    second = attempt(services)

    def find() -> list[Any]:
        with services.store.begin() as uow:
            uow.ledger.confirmed(ORDER, vendor.documents[0])
        return []

    with pytest.raises(OutcomeSettlingError):
        second.create_once(ORDER, find=find, create=vendor.create)
    assert len(vendor.documents) == 1


def test_a_late_refusal_says_nothing_of_anothers_send(services: Services, vendor: FakeVendor, clock: FakeClock) -> None:
    slow = attempt(services)

    def refused_late() -> Any:
        clock.advance(FORGOTTEN_SECONDS + 1)
        vendor.fails_with(VendorUnavailableError(), after_commit=True)
        with pytest.raises(VendorUnavailableError):
            create(attempt(services), vendor)
        raise RejectedError

    with pytest.raises(RejectedError):
        slow.create_once(ORDER, find=vendor.find, create=refused_late)
    clock.advance(61)

    assert create(attempt(services), vendor) == {"number": "1"}
    assert len(vendor.documents) == 1


def test_two_documents_under_one_reference_need_a_person(services: Services, vendor: FakeVendor) -> None:
    vendor.documents = [{"number": "7"}]
    vendor.fails_with(VendorUnavailableError(), after_commit=True)
    attempt_ends_in(VendorUnavailableError, services, vendor)

    with pytest.raises(OutcomeUnknownError, match="2 documents"):
        create(attempt(services), vendor)


def test_a_worker_that_was_overtaken_sends_nothing(services: Services, vendor: FakeVendor, clock: FakeClock) -> None:
    slow = attempt(services)
    clock.advance(61)
    attempt(services)

    with pytest.raises(LeaseLostError):
        create(slow, vendor)
    assert vendor.documents == []


def test_a_worker_that_is_overtaken_while_it_looks_sends_nothing(
    services: Services, vendor: FakeVendor, clock: FakeClock
) -> None:
    vendor.fails_with(VendorUnavailableError())
    attempt_ends_in(VendorUnavailableError, services, vendor)
    clock.advance(CERTAIN_SECONDS + 1)
    slow = attempt(services)

    def find() -> list[Any]:
        clock.advance(61)
        attempt(services)
        return []

    with pytest.raises(LeaseLostError):
        slow.create_once(ORDER, find=find, create=vendor.create)
    assert vendor.documents == []


def test_calls_end_before_the_lease_that_was_taken_for_them(
    services: Services, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever passed since: a worker may be stopped between taking it and coming to the call."""
    monkeypatch.setattr("crmsync.worker.attempt.time", SimpleNamespace(monotonic=lambda: 1000.0))
    held = attempt(services)

    clock.advance(20)

    assert held.calls_end_at(held.started_at) == 1000 + LEASE_SECONDS * 0.95 - 20


def test_work_that_goes_on_keeps_its_lease(services: Services, clock: FakeClock) -> None:
    long = attempt(services)

    for _ in range(3):
        clock.advance(LEASE_SECONDS - 1)
        long.keep_alive()

    with services.store.read() as uow:
        run = uow.runs.get(long.run.id)
    assert run is not None
    assert run.leased_until == clock.now + timedelta(seconds=LEASE_SECONDS)


def test_an_overtaken_worker_still_records_the_document_it_holds(services: Services, vendor: FakeVendor) -> None:
    first = attempt(services)
    create(first, vendor)
    with services.store.begin() as uow:
        first.record_outcomes(uow)
        entry = uow.ledger.get(ORDER)

    assert entry is not None
    assert entry.document == {"number": "1"}


def test_one_run_at_a_time_works_on_a_customer(services: Services) -> None:
    one, other = attempt(services), attempt(services, "006xx0000012abdAAA")

    with one.lock("customer:1"), pytest.raises(LockedByOtherRunError), other.lock("customer:1"):
        pytest.fail("both hold it")
    with other.lock("customer:1"):
        pass


def test_the_lock_of_an_attempt_that_was_overtaken_is_not_its_successors(services: Services, clock: FakeClock) -> None:
    """Both would work on the customer at once: the lock outlasts the lease under which it was taken."""
    first = attempt(services)
    clock.advance(LEASE_SECONDS - 10)

    with first.lock("customer:1"):
        clock.advance(11)
        second = attempt(services)
        with pytest.raises(LockedByOtherRunError), second.lock("customer:1"):
            pytest.fail("both hold it")
