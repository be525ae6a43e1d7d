"""The store keeps its promises on a real database: SQLite, and PostgreSQL where there is one."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crmsync.domain.dead_letters import LetterKind, LetterStatus
from crmsync.domain.ledger import EntryKey, EntryState
from crmsync.domain.runs import Run, RunStatus
from crmsync.domain.tokens import AccessToken, RenewalLimit
from crmsync.domain.webhooks import WebhookEvent
from crmsync.errors import InvalidDealError, RateLimitedError, StoreUnavailableError, VendorUnavailableError
from crmsync.settings import Secret
from crmsync.store import Store, UnitOfWork, schema
from crmsync.store.remembered import Remembered
from crmsync.store.vault import SharedTokens, Vault
from tests.fakes import AnyAccount, FakeClock, add_link, origin_of, replace_link, start_run

ORDER = EntryKey("s4hana", "order", "SF-006xx0000012abcAAA")


def open_run(store: Store, subject: str = "006xx0000012abcAAA") -> str:
    with store.begin() as uow:
        return start_run(uow, "flow", subject, step="first", correlation_id="c", queued_until=uow.now)[0]


def claim(store: Store, run_id: str, step: str = "first", *, lease_seconds: float = 60) -> Run | None:
    with store.begin() as uow:
        return uow.runs.claim(run_id, step, lease_seconds=lease_seconds)


def claimed(store: Store, run_id: str, step: str = "first") -> Run:
    run = claim(store, run_id, step)
    assert run is not None
    return run


def in_parallel(count: int, work: Callable[[], Any]) -> list[Any]:
    """What *count* threads that start together get from *work*."""
    barrier, results = threading.Barrier(count), []

    def start() -> None:
        barrier.wait()
        results.append(work())

    threads = [threading.Thread(target=start) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_nothing_is_kept_of_a_unit_of_work_that_fails(store: Store) -> None:
    def fail() -> None:
        with store.begin() as uow:
            uow.facts.set("name", "value")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    with store.read() as uow:
        assert uow.facts.get("name") is None


def test_one_run_for_one_deal_however_many_ask_at_once(store: Store) -> None:
    run_ids = in_parallel(8, lambda: open_run(store))

    assert len(run_ids) == 8
    assert len(set(run_ids)) == 1


def test_one_worker_gets_the_lease(store: Store) -> None:
    run_id = open_run(store)

    claims = in_parallel(8, lambda: claim(store, run_id))

    assert len([run for run in claims if run is not None]) == 1


def test_a_lease_that_is_over_can_be_taken(store: Store) -> None:
    run_id = open_run(store)
    claim(store, run_id, lease_seconds=-1)

    assert claimed(store, run_id).starts == 2


def test_a_worker_that_was_overtaken_can_write_nothing(store: Store) -> None:
    run_id = open_run(store)
    slow = claim(store, run_id, lease_seconds=-1)
    assert slow is not None
    claimed(store, run_id)

    with store.begin() as uow:
        assert not uow.runs.renew_lease(slow, lease_seconds=60)
        assert not uow.runs.finish_step(slow, {}, next_step="second", queued_until=uow.now)
        assert not uow.runs.release(slow, wait_seconds=0, attempts=1, queued_for=None)
        assert not uow.runs.stop(slow, title="", amount=None, currency="")


def test_a_finished_step_keeps_what_it_learned_and_hands_over(store: Store) -> None:
    run_id = open_run(store)
    run = claimed(store, run_id)

    with store.begin() as uow:
        assert uow.runs.finish_step(
            run, {"number": "1"}, next_step="second", queued_until=uow.now, amount=Decimal("1.10")
        )

    assert claim(store, run_id, "first") is None
    after = claimed(store, run_id, "second")
    assert (after.results, after.starts, after.attempts) == ({"first": {"number": "1"}}, 1, 0)
    assert after.amount == Decimal("1.10")


def test_a_parked_run_is_not_claimed_before_it_is_due(store: Store) -> None:
    run_id = open_run(store)
    run = claimed(store, run_id)
    with store.begin() as uow:
        uow.runs.release(run, wait_seconds=30, attempts=1, queued_for=None)

    assert claim(store, run_id) is None


def test_the_sweeper_takes_a_due_run_once(store: Store) -> None:
    run_id = open_run(store)

    def sweep() -> list[str]:
        with store.begin() as uow:
            return [run.id for run in uow.due.claim(limit=10, queued_until=uow.now + timedelta(seconds=60))]

    swept = in_parallel(4, sweep)

    assert sorted(swept) == [[], [], [], [run_id]]


@pytest.mark.parametrize("state", ["leased", "parked", "queued", "stopped"])
def test_the_sweeper_leaves_a_run_alone_that_is(store: Store, state: str) -> None:
    run_id = open_run(store)
    run = claimed(store, run_id)
    with store.begin() as uow:
        if state == "parked":
            uow.runs.release(run, wait_seconds=30, attempts=0, queued_for=None)
        if state == "queued":
            uow.runs.finish_step(run, {}, next_step="second", queued_until=uow.now + timedelta(seconds=30))
        if state == "stopped":
            uow.runs.stop(run, title="", amount=None, currency="")

    with store.begin() as uow:
        assert uow.due.claim(limit=10, queued_until=uow.now) == []


def test_one_intent_for_one_document(store: Store) -> None:
    def reserve() -> Any:
        with store.begin() as uow:
            return uow.ledger.reserve(ORDER, "r", certain_at=uow.now)

    reserved = in_parallel(6, reserve)

    assert reserved.count(None) == 1
    assert {entry.state for entry in reserved if entry is not None} == {EntryState.SENT}


def test_a_confirmed_document_stays_what_it_is(store: Store) -> None:
    with store.begin() as uow:
        uow.ledger.reserve(ORDER, "r", certain_at=uow.now)
        uow.ledger.confirmed(ORDER, {"number": "1"})

    with store.begin() as uow:
        seen = uow.ledger.get(ORDER)
        assert seen is not None
        uow.ledger.confirmed(ORDER, {"number": "2"})
        uow.ledger.refused(ORDER, 1)
        uow.ledger.unknown(ORDER, 1, certain_at=uow.now)
        assert not uow.ledger.send_again(seen, "other", certain_at=uow.now)

    with store.read() as uow:
        entry = uow.ledger.get(ORDER)
    assert entry is not None
    assert (entry.state, entry.document, entry.run_id) == (EntryState.CONFIRMED, {"number": "1"}, "r")


def test_what_becomes_of_one_send_says_nothing_of_the_next(store: Store) -> None:
    with store.begin() as uow:
        uow.ledger.reserve(ORDER, "r", certain_at=uow.now)
        first = uow.ledger.get(ORDER)
        assert first is not None
        assert uow.ledger.send_again(first, "other", certain_at=uow.now)
        assert not uow.ledger.send_again(first, "late", certain_at=uow.now)

        uow.ledger.refused(ORDER, 1)

        entry = uow.ledger.get(ORDER)
    assert entry is not None
    assert (entry.state, entry.sends, entry.run_id) == (EntryState.SENT, 2, "other")


def test_the_next_generation_is_another_document(store: Store) -> None:
    """What becomes of one says nothing of the other."""
    again = replace(ORDER, generation=2)
    with store.begin() as uow:
        for key, number in ((ORDER, "1"), (again, "2")):
            assert uow.ledger.reserve(key, "r", certain_at=uow.now) is None
            uow.ledger.confirmed(key, {"number": number})
        assert uow.ledger.gone(ORDER)

        entries = [uow.ledger.get(key) for key in (ORDER, again)]
    known = [(entry.state, entry.document) for entry in entries if entry is not None]
    assert known == [(EntryState.GONE, {"number": "1"}), (EntryState.CONFIRMED, {"number": "2"})]


def test_only_what_was_confirmed_can_be_gone(store: Store) -> None:
    """What may exist is looked for; what does not exist is made."""
    with store.begin() as uow:
        uow.ledger.reserve(ORDER, "r", certain_at=uow.now)
        assert not uow.ledger.gone(ORDER)

        entry = uow.ledger.get(ORDER)
    assert entry is not None
    assert entry.state is EntryState.SENT


def test_a_document_that_is_gone_stands_again_where_people_have_put_it_back(store: Store) -> None:
    with store.begin() as uow:
        uow.ledger.reserve(ORDER, "r", certain_at=uow.now)
        uow.ledger.confirmed(ORDER, {"number": "1"})
        assert not uow.ledger.stands_again(ORDER)
        assert uow.ledger.gone(ORDER)

        assert uow.ledger.stands_again(ORDER)

        entry = uow.ledger.get(ORDER)
    assert entry is not None
    assert (entry.state, entry.document) == (EntryState.CONFIRMED, {"number": "1"})


def linked_to(uow: UnitOfWork, crm_key: str) -> str:
    link = uow.links.get("s4hana", "salesforce", crm_key)
    return link.key if link is not None else ""


def test_the_first_link_stands(store: Store) -> None:
    with store.begin() as uow:
        assert add_link(uow, "s4hana", "customer", "001", "1000123", origin="created")
        assert not add_link(uow, "s4hana", "customer", "001", "1000999", origin="e-mail")
        assert linked_to(uow, "001") == "1000123"

        replace_link(uow, "s4hana", "customer", "001", "1000999", origin="replay")
        assert linked_to(uow, "001") == "1000999"


def test_a_lock_is_held_by_one_until_it_is_released_or_over(store: Store) -> None:
    with store.begin() as uow:
        assert uow.locks.take("customer:1", "a", seconds=60)
        assert uow.locks.take("customer:1", "a", seconds=60)
        assert not uow.locks.take("customer:1", "b", seconds=60)
        uow.locks.release("customer:1", "b")
        assert not uow.locks.take("customer:1", "b", seconds=60)
        uow.locks.release("customer:1", "a")
        assert uow.locks.take("customer:1", "b", seconds=-1)
        assert uow.locks.take("customer:1", "c", seconds=60)


def test_of_events_that_come_together_each_is_new_once(store: Store) -> None:
    keyed, other, without = WebhookEvent("006", "04l1"), WebhookEvent("006", "04l2"), WebhookEvent("006")
    with store.begin() as uow:
        uow.deliveries.add("salesforce", "006", event_key="04l1")

        are_new = uow.deliveries.add_all("salesforce", [keyed, other, without, other, without])

        assert are_new == [False, True, True, False, True]
        assert uow.deliveries.add_all("salesforce", []) == []
        assert uow.deliveries.counts(None) == {"salesforce": 4}


def test_runs_that_are_opened_together_are_one_for_each_subject(store: Store) -> None:
    with store.begin() as uow:
        until = uow.now
        known = start_run(uow, "flow", "known", step="first", correlation_id="c", queued_until=until)[0]

        asked = [("new", "1"), ("known", "2"), ("new", "3")]
        (new, first), (again, second), (same, third) = uow.runs.start_all(
            "flow", origin_of("flow"), asked, step="first", queued_until=until
        )

        assert (again, same, first, second, third) == (known, new, True, False, False)
        assert [run.correlation_id for run in map(uow.runs.get, (new, known)) if run] == ["1", "c"]


def test_a_delivery_that_the_vendor_repeats_is_known(store: Store) -> None:
    with store.begin() as uow:
        assert uow.deliveries.add("salesforce", "006", event_key="04l1")
        assert not uow.deliveries.add("salesforce", "006", event_key="04l1")
        assert uow.deliveries.add("salesforce", "006")
        assert uow.deliveries.add("salesforce", "006")


def stopped(store: Store, run_id: str, error: Any) -> Any:
    with store.begin() as uow:
        run = uow.runs.claim(run_id, "first", lease_seconds=60)
        assert run is not None
        uow.runs.stop(run, title="Acme – 200 sensors", amount=Decimal("47000"), currency="USD")
        return uow.dead_letters.add(run, error)


def test_what_dies_again_after_it_was_well_is_news(store: Store) -> None:
    run_id = open_run(store)
    error = VendorUnavailableError(system="SAP", code="HTTP 503")
    letter, _ = stopped(store, run_id, error)
    with store.begin() as uow:
        uow.dead_letters.move(letter, to=LetterStatus.REPLAYING)
        uow.runs.reopen(run_id, step="first", results={}, answers={}, progress={})
        uow.dead_letters.run_is_done(run_id)

    again, is_news = stopped(store, run_id, error)

    assert is_news
    assert again.failures == 1


def test_a_dead_letter_says_what_a_person_needs(store: Store) -> None:
    letter, is_news = stopped(store, open_run(store), VendorUnavailableError(system="SAP", code="HTTP 503"))

    assert is_news
    assert (letter.kind, letter.status, letter.money) == (LetterKind.FAILURE, LetterStatus.WAITING, "47,000.00 USD")
    assert (letter.step, letter.system, letter.failures) == ("first", "SAP", 1)


def test_a_replay_is_claimed_once(store: Store) -> None:
    letter, _ = stopped(store, open_run(store), InvalidDealError())

    def move() -> bool:
        with store.begin() as uow:
            return uow.dead_letters.move(letter, to=LetterStatus.REPLAYING)

    assert sorted(in_parallel(4, move)) == [False, False, False, True]


def test_the_same_failure_after_a_replay_is_no_news(store: Store) -> None:
    run_id = open_run(store)
    letter, _ = stopped(store, run_id, InvalidDealError())
    with store.begin() as uow:
        uow.dead_letters.move(letter, to=LetterStatus.REPLAYING)
        uow.runs.reopen(run_id, step="first", results={}, answers={}, progress={})

    again, is_news = stopped(store, run_id, InvalidDealError())

    assert not is_news
    assert (again.id, again.failures, again.status) == (letter.id, 2, LetterStatus.WAITING)


def test_a_reopened_run_overtakes_whoever_held_it(store: Store) -> None:
    run_id = open_run(store)
    stopped(store, run_id, InvalidDealError())
    with store.begin() as uow:
        before = uow.runs.get(run_id)
        assert uow.runs.reopen(run_id, step="first", results={}, answers={"accept": True}, progress={})
        after = uow.runs.get(run_id)

    assert before is not None
    assert after is not None
    assert (after.status, after.answers) == (RunStatus.ACTIVE, {"accept": True})
    assert after.fence > before.fence


def test_one_open_alert_for_a_cause_counts(store: Store) -> None:
    with store.begin() as uow:
        for _ in range(3):
            uow.alerts.add(None, "create_order:VendorUnavailableError:SAP", {"headline": "stuck"})
        uow.alerts.add(None, "create_invoice:RejectedError:Zoho", {"headline": "refused"})
        due = uow.alerts.claim_due(limit=10, seconds=60)
        assert sorted(alert.occurrences for alert in due) == [1, 3]
        assert uow.alerts.claim_due(limit=10, seconds=60) == []


def test_an_alert_is_open_once_whoever_raises_it_at_the_same_moment(store: Store) -> None:
    def add() -> None:
        with store.begin() as uow:
            uow.alerts.add(None, "create_order:VendorUnavailableError:SAP", {"headline": "stuck"})

    in_parallel(8, add)

    with store.read() as uow:
        assert [alert.occurrences for alert in uow.alerts.newest(None, limit=9)] == [8]


@pytest.fixture
def tokens(store: Store, tmp_path: Path) -> SharedTokens:
    return SharedTokens(store, Vault(None, tmp_path), AnyAccount())


def a_token(store: Store, value: str) -> AccessToken:
    return AccessToken(value, store.clock() + timedelta(hours=1), "https://x.example")


def test_a_token_is_fetched_by_one_and_used_by_all(store: Store, tokens: SharedTokens) -> None:
    fetched = []

    def fetch() -> AccessToken:
        fetched.append(1)
        return a_token(store, f"token {len(fetched)}")

    got = in_parallel(6, lambda: tokens.renew("zoho_books", stale=None, fetch=fetch, limit=None))

    assert fetched == [1]
    assert {token.value for token in got} == {"token 1"}
    assert tokens.read("zoho_books") == got[0]


def test_a_refused_token_is_replaced_only_if_nobody_else_did(store: Store, tokens: SharedTokens) -> None:
    tokens.renew("zoho_books", stale=None, fetch=lambda: a_token(store, "first"), limit=None)

    second = tokens.renew("zoho_books", stale="first", fetch=lambda: a_token(store, "second"), limit=None)
    third = tokens.renew("zoho_books", stale="first", fetch=lambda: a_token(store, "third"), limit=None)

    assert (second.value, third.value) == ("second", "second")


def test_one_signs_in_at_a_time(store: Store) -> None:
    with store.begin() as uow:
        taken = [uow.tokens.begin_renewal("zoho_books", seconds=30) for _ in range(2)]
        uow.tokens.end_renewal("zoho_books")
        taken.append(uow.tokens.begin_renewal("zoho_books", seconds=-1))  # who never came back
        taken.append(uow.tokens.begin_renewal("zoho_books", seconds=30))

    assert taken == [True, False, True, True]


def test_who_may_sign_in_when_another_has_just_done_so_takes_its_token(
    store: Store, tokens: SharedTokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, begin = SharedTokens(store, Vault(None, tmp_path), AnyAccount()), tokens._begin

    def late(connection: str) -> bool:
        other.renew(connection, stale=None, fetch=lambda: a_token(store, "the other's"), limit=None)
        return begin(connection)

    monkeypatch.setattr(tokens, "_begin", late)

    token = tokens.renew("zoho_books", stale=None, fetch=lambda: a_token(store, "one more"), limit=None)

    assert token.value == "the other's"


def test_a_token_that_has_ended_is_replaced(store: Store, tokens: SharedTokens) -> None:
    ended = AccessToken("first", store.clock(), "https://x.example")
    tokens.renew("zoho_books", stale=None, fetch=lambda: ended, limit=None)

    again = tokens.renew("zoho_books", stale=None, fetch=lambda: a_token(store, "second"), limit=None)

    assert again.value == "second"


def test_a_sign_in_that_fails_holds_up_no_other(store: Store, tokens: SharedTokens) -> None:
    def fails() -> AccessToken:
        raise VendorUnavailableError

    with pytest.raises(VendorUnavailableError):
        tokens.renew("zoho_books", stale=None, fetch=fails, limit=None)

    assert tokens.renew("zoho_books", stale=None, fetch=lambda: a_token(store, "good"), limit=None).value == "good"


def test_the_vendors_limit_of_tokens_is_kept_even_when_each_is_refused(store: Store, tokens: SharedTokens) -> None:
    limit = RenewalLimit(count=2, seconds=600)
    tokens.renew("zoho_books", stale=None, fetch=lambda: a_token(store, "a"), limit=limit)
    tokens.renew("zoho_books", stale="a", fetch=lambda: a_token(store, "b"), limit=limit)

    with pytest.raises(RateLimitedError) as refused:
        tokens.renew("zoho_books", stale="b", fetch=lambda: a_token(store, "c"), limit=limit)

    assert 590 < (refused.value.retry_after_seconds or 0) <= 600


def test_a_token_at_rest_can_be_read_only_with_the_key(store: Store, tokens: SharedTokens, tmp_path: Path) -> None:
    tokens.renew("zoho_books", stale=None, fetch=lambda: a_token(store, "very secret"), limit=None)

    with store.read() as uow:
        row = uow.tokens.get("zoho_books")
    assert row is not None
    assert "very secret" not in row.value
    assert (
        SharedTokens(store, Vault(Secret("another key of thirty-two characters"), tmp_path), AnyAccount()).read(
            "zoho_books"
        )
        is None
    )
    assert (tmp_path / "secret.key").stat().st_mode & 0o077 == 0


def test_the_newest_migration_makes_the_tables_of_this_release(store: Store) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from crmsync.store.tables import metadata

    assert schema.current(store) == schema.HEAD
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, metadata) == []


def test_a_database_that_does_not_answer_is_an_outage() -> None:
    with pytest.raises(StoreUnavailableError):
        Store("postgresql+psycopg://nobody@127.0.0.1:1/none").ping()


# -- SQLite's one writer


@pytest.fixture
def other_writer(tmp_path: Path) -> Iterator[tuple[Store, sqlite3.Connection]]:
    """A store, and what another process has open."""
    made = Store(f"sqlite:///{tmp_path / 'shared.db'}")
    with made.begin():
        pass
    other = sqlite3.connect(tmp_path / "shared.db", isolation_level=None, check_same_thread=False)
    yield made, other
    other.close()
    made.close()


def test_a_writer_waits_for_another_process(
    other_writer: tuple[Store, sqlite3.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = other_writer
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            other.execute("ROLLBACK")

    monkeypatch.setattr("crmsync.store.sqlite.time.sleep", pause)
    other.execute("BEGIN IMMEDIATE")

    with store.begin() as uow:
        uow.connection.exec_driver_sql("CREATE TABLE written (id INTEGER)")

    assert len(pauses) == 3
    assert other.execute("SELECT count(*) FROM written").fetchone() == (0,)


def test_a_writer_that_waits_in_vain_says_so_and_harms_no_later_one(
    other_writer: tuple[Store, sqlite3.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = other_writer
    monkeypatch.setattr("crmsync.store.sqlite.BUSY_SECONDS", 0.05)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreUnavailableError), store.begin():
        pass
    with store.read() as uow:
        uow.ping()
    other.execute("ROLLBACK")
    with store.begin() as uow:
        uow.connection.exec_driver_sql("CREATE TABLE written (id INTEGER)")


def test_a_fact_is_asked_for_again_only_after_a_while(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "clock", clock)
    here, there = Remembered(store), Remembered(store)
    here.set("zone", "UTC")
    assert there.get("zone") == "UTC"

    here.set("zone", "Asia/Tokyo")

    assert (here.get("zone"), there.get("zone")) == ("Asia/Tokyo", "UTC")
    clock.advance(11)
    assert there.get("zone") == "Asia/Tokyo"
