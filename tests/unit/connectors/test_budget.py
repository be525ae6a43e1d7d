"""The call budget, as far as it can be decided without Redis, and what a client does with its answers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest
import responses
from redis.exceptions import ConnectionError as RedisConnectionError

from crmsync.connectors.kit.http import VendorClient
from crmsync.connectors.limits import budget
from crmsync.connectors.limits.budget import Announcement, Quota, Unlimited, Window
from crmsync.connectors.limits.redis_link import REST_SECONDS, Link, NoRedisError
from crmsync.connectors.limits.shared_budget import SharedBudget
from crmsync.connectors.limits.slots import Slots, patience_seconds
from crmsync.connectors.s4hana.client import connect as connect_s4hana
from crmsync.connectors.salesforce import quota as salesforce
from crmsync.connectors.system import Tools
from crmsync.connectors.way_out.answers import Failure, Reply
from crmsync.connectors.way_out.transport import new_session
from crmsync.connectors.zoho_books import quota as zoho_books
from crmsync.domain.runs import LONG_WAIT_SECONDS, RetryPolicy, next_try
from crmsync.errors import BusyError, CrmsyncError, NotNowError, RateLimitedError
from crmsync.settings import Settings
from tests.builders import private_pem

URL = "https://books.example.com/invoices"
BOOKS = Quota("zoho_books", "Zoho Books", "10001", calls_at_once=2, per_minute=100, per_day=2000)
MINUTE = Window("minute", 100, 60)


class SpyBudget(Unlimited):
    """Refuses with *refusal*, if there is one, and remembers what it was told."""

    def __init__(self, refusal: CrmsyncError | None = None) -> None:
        self.refusal = refusal
        self.calls: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.refusals: list[float | None] = []

    @contextmanager
    def call(self, operation: str) -> Iterator[None]:
        if self.refusal is not None:
            raise self.refusal
        self.calls.append(operation)
        yield

    def learn(self, headers: Mapping[str, str], status: int) -> None:
        self.headers.append(headers)

    def refused(self, retry_after_seconds: float | None) -> None:
        self.refusals.append(retry_after_seconds)


class Renewable:
    """Credentials that can be renewed once."""

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": "Bearer x"}

    def renew(self, stale: Mapping[str, str]) -> bool:
        return True


def client(spy: SpyBudget) -> VendorClient:
    def explain(reply: Reply) -> Failure | None:
        return None

    return VendorClient(
        system="Zoho Books",
        session=new_session(),
        authorizer=Renewable(),
        explain=explain,
        call_seconds=5,
        budget=spy,
    )


def without_redis() -> Link:
    def opening() -> None:
        raise RedisConnectionError

    return Link(opening)  # type: ignore[arg-type]


# -- words and waits


def test_a_refusal_says_what_is_used_and_that_nothing_was_sent() -> None:
    error = budget.over_window(BOOKS, "create invoice", MINUTE, allowed=100, wait_seconds=41.23)

    assert str(error) == "The budget of 100 calls a minute for Zoho Books is used up. [OVER_BUDGET]"
    assert (error.is_definite, error.retry_after_seconds, error.operation) == (True, 41.3, "create invoice")


def test_background_work_is_told_what_the_rest_is_kept_for() -> None:
    error = budget.over_window(BOOKS, "create invoice", MINUTE, allowed=70, wait_seconds=1)

    assert str(error.args[0]) == (
        "Background work has used its 70 of the 100 calls a minute for Zoho Books; "
        "the rest is reserved for orders and payments."
    )


def test_nobody_sleeps_through_half_a_day_because_the_day_is_used() -> None:
    error = budget.over_window(BOOKS, "create invoice", Window("day", 2000, 86_400), allowed=2000, wait_seconds=50_000)

    assert error.retry_after_seconds == 3600


def test_waiting_for_the_budget_is_no_attempt_and_a_long_wait_is_a_due_time() -> None:
    error = budget.over_window(BOOKS, "create invoice", MINUTE, allowed=100, wait_seconds=55)

    retry = next_try(error, 3, RetryPolicy(max_retries=3), jitter=0.5)

    assert retry is not None
    assert not retry.is_attempt
    assert retry.wait_seconds == pytest.approx(55 * 1.125)
    assert retry.wait_seconds > LONG_WAIT_SECONDS


def test_too_many_at_once_comes_back_at_once_and_is_definite() -> None:
    error = budget.too_many_at_once(BOOKS, allowed=2, wait_seconds=1.2)

    assert (error.wait_seconds, error.is_definite, error.system) == (1.2, True, "Zoho Books")


def test_background_is_what_is_inside_the_block() -> None:
    with budget.background():
        assert budget.is_background()
    assert not budget.is_background()


# -- what vendors say


@pytest.mark.parametrize(
    ("header", "announced"),
    [
        ("api-usage=18/15000", Announcement(used=18, allowed=15000)),
        ("per-app-api-usage=17/250(appName=x); api-usage=18/15000", Announcement(used=18, allowed=15000)),
        ("api-usage=18/0", budget.NOTHING),
        ("nonsense", budget.NOTHING),
    ],
)
def test_salesforce_tells_its_usage(header: str, announced: Announcement) -> None:
    assert salesforce.announcement({"Sforce-Limit-Info": header}) == announced


@pytest.mark.parametrize(
    ("limit", "reset", "per_minute"),
    [
        ("150", "42", 150),
        ("150", "60", 150),
        ("10000", "30", None),  # the last minute of a day
        ("150", "3000", None),
        ("150", "", None),
        ("many", "42", None),
    ],
)
def test_a_limit_of_zoho_is_believed_where_it_is_the_minutes(limit: str, reset: str, per_minute: int | None) -> None:
    headers = {"X-Rate-Limit-Limit": limit, "X-Rate-Limit-Reset": reset}

    assert zoho_books.announcement(headers).per_minute == per_minute


def test_no_person_stands_in_a_key() -> None:
    settings = Settings.from_env(
        {"SF_CLIENT_ID": "id", "SF_USERNAME": "ann@example.com", "SF_PRIVATE_KEY": private_pem()}
    )

    assert settings.systems.get("salesforce") is not None
    assert "ann" not in salesforce.quota("salesforce", settings.systems["salesforce"]).organization


# -- the client


@responses.activate
@pytest.mark.parametrize("refusal", [RateLimitedError(code=budget.OVER_BUDGET), NotNowError()])
def test_no_byte_leaves_where_the_budget_refuses(refusal: CrmsyncError) -> None:
    with pytest.raises(type(refusal)):
        client(SpyBudget(refusal)).call("create invoice", "POST", URL, json={})

    assert len(responses.calls) == 0


@responses.activate
def test_a_repetition_after_a_401_counts_as_well() -> None:
    responses.get(URL, status=401)
    responses.get(URL, json={})
    spy = SpyBudget()

    client(spy).call("read invoice", "GET", URL)

    assert spy.calls == ["read invoice", "read invoice"]


@responses.activate
def test_the_budget_learns_from_every_answer() -> None:
    responses.get(URL, status=429, headers={"X-Rate-Limit-Limit": "150", "Retry-After": "17"})
    spy = SpyBudget()

    with pytest.raises(RateLimitedError):
        client(spy).call("read invoice", "GET", URL)

    assert spy.headers[0]["X-Rate-Limit-Limit"] == "150"
    assert spy.refusals == [17.0]


def test_sap_is_asked_for_csrf_tokens_as_for_anything_else() -> None:
    """A token is fetched between the calls, never inside one; and an outage shows there first."""
    settings = Settings.from_env(
        {
            "SAP_BASE_URL": "https://sap.example.com",
            "SAP_AUTH": "basic",
            "SAP_USER": "u",
            "SAP_PASSWORD": "p",
            "SAP_SALES_ORGANIZATION": "1010",
        }
    )
    assert settings.systems.get("s4hana") is not None
    spy = SpyBudget()

    made = connect_s4hana(
        "s4hana",
        settings.systems["s4hana"],
        Tools(token_store=None, behaviour=settings.behaviour, budget=spy),  # type: ignore[arg-type]
    )

    assert made._api._client._budget is spy
    assert made._api._tokens._http._budget is spy


# -- without Redis


def shared(link: Link) -> SharedBudget:
    return SharedBudget(BOOKS, link, reserve_percent=30, call_seconds=5)


def test_without_redis_calls_go_on() -> None:
    made = shared(without_redis())

    for _ in range(BOOKS.per_minute or 0):
        with made.call("read"):
            made.learn({"X-Rate-Limit-Limit": "150", "X-Rate-Limit-Reset": "10"})
    made.refused(40)


def test_without_redis_this_process_still_counts_what_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crmsync.connectors.limits.slots.PATIENCE_SECONDS", 0.05)
    made = shared(without_redis())

    with made.call("1"), made.call("2"), pytest.raises(NotNowError, match="2 calls of crmsync"), made.call("3"):
        pass
    with made.call("4"):
        pass


def test_nobody_stands_and_waits_for_a_system_that_has_become_slow() -> None:
    now = [100.0]
    slots = Slots(BOOKS, without_redis(), prefix="p", reserve_percent=30, hold_seconds=30, clock=lambda: now[0])

    with slots.one(), slots.one():
        now[0] += 12
        assert patience_seconds(slots.call_seconds()) == 0
        with pytest.raises(BusyError) as caught, slots.one():
            pass
        assert 3 <= caught.value.wait_seconds <= 9
    assert slots.call_seconds() == 12

    with slots.one():
        now[0] += 0.1
    assert patience_seconds(slots.call_seconds()) > 0  # it is fast again


def test_background_work_leaves_a_slot_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crmsync.connectors.limits.slots.BACKGROUND_PATIENCE_SECONDS", 0.05)
    made = shared(without_redis())

    with budget.background(), made.call("1"), pytest.raises(NotNowError), made.call("2"):
        pass
    with budget.background(), made.call("3"):
        pass


def test_a_redis_that_failed_is_given_a_rest_and_the_log_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    asked = []

    def opening() -> None:
        asked.append(now[0])
        raise RedisConnectionError

    link = Link(opening, clock=lambda: now[0])  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        for second in (0.0, 1.0, REST_SECONDS - 0.1, REST_SECONDS, 12.0, 61.0):
            now[0] = second
            with pytest.raises(NoRedisError):
                link.ask(_ping)

    assert asked == [0.0, REST_SECONDS, 12.0, 61.0]
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


_ping: Callable[[object], None] = lambda _: None  # noqa: E731
