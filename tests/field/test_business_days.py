"""Cases from the field: a document bears the day of the organization in whose books it stands."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from crmsync.domain.admission import Dates, won_on, won_since
from crmsync.errors import VendorUnavailableError
from crmsync.flows.business_day import business_day, known_zone
from crmsync.services import Services
from tests.fakes import FakeClock, fill
from tests.field.raw_server import RawServer
from tests.field.vendors import json_answer, zoho, zoho_answer, zoho_check
from tests.system import NO_PERIODS, big_sandbox, running

LOS_ANGELES, RIYADH = ZoneInfo("America/Los_Angeles"), ZoneInfo("Asia/Riyadh")


class Books:
    """Books that tell their zone, and count how often they are asked."""

    system = "Zoho Books"

    def __init__(self, told: str, configured: str = "") -> None:
        self.told = told
        self.time_zone = configured
        self.asked = 0
        self.error: Exception | None = None

    def read_time_zone(self) -> str:
        self.asked += 1
        if self.error:
            raise self.error
        return self.told


def books_of(services: Services, told: str, configured: str = "") -> Books:
    books = Books(told, configured)
    fill(services, invoices=books)
    return books


@pytest.mark.parametrize(
    ("zone", "now", "today"),
    [
        pytest.param("America/Los_Angeles", "2026-11-01T00:30Z", "2026-10-31", id="Los Angeles is behind"),
        pytest.param("PST", "2026-11-01T06:59Z", "2026-10-31", id="summer time has its hour, by an old name"),
        pytest.param("PST", "2026-11-02T07:59Z", "2026-11-01", id="and winter time has its own"),
        pytest.param("Asia/Riyadh", "2026-12-31T22:30Z", "2027-01-01", id="Riyadh is ahead, and in another year"),
        pytest.param("Asia/Calcutta", "2026-12-31T18:29Z", "2026-12-31", id="half an hour counts"),
        pytest.param("(GMT+05:30) Asia/Kolkata", "2026-12-31T18:30Z", "2027-01-01", id="with its offset before it"),
        pytest.param("Pacific/Kiritimati", "2026-02-28T10:00Z", "2026-03-01", id="the first to see a day"),
        pytest.param("GMT-08:00", "2028-03-01T07:00Z", "2028-02-29", id="an offset alone"),
    ],
)
def test_M4__it_is_the_organizations_own_day(
    services: Services, clock: FakeClock, zone: str, now: str, today: str
) -> None:
    books_of(services, zone)
    clock.now = datetime.fromisoformat(now)

    assert business_day(services, services.company().invoices) == date.fromisoformat(today)


def test_M4__the_zone_is_read_once_a_day_and_an_old_one_does_during_an_outage(
    services: Services, clock: FakeClock
) -> None:
    books = books_of(services, "Asia/Riyadh")
    clock.now = datetime(2026, 12, 31, 22, 30, tzinfo=UTC)
    assert [business_day(services, services.company().invoices) for _ in range(3)] == [date(2027, 1, 1)] * 3
    assert books.asked == 1

    clock.advance(86_400)
    books.told = "America/Los_Angeles"
    books.error = VendorUnavailableError()
    assert business_day(services, services.company().invoices) == date(2027, 1, 2)
    books.error = None
    assert business_day(services, services.company().invoices) == date(2027, 1, 1)
    assert books.asked == 3


def test_M4__a_zone_that_is_configured_costs_no_call_and_holds_at_once(services: Services, clock: FakeClock) -> None:
    clock.now = datetime(2026, 12, 31, 22, 30, tzinfo=UTC)
    books_of(services, "America/Los_Angeles")
    assert business_day(services, services.company().invoices) == date(2026, 12, 31)

    services._connected.clear()
    books = books_of(services, "America/Los_Angeles", configured="Asia/Riyadh")

    assert business_day(services, services.company().invoices) == date(2027, 1, 1)
    assert books.asked == 0
    assert known_zone(services, services.company().invoices).utcoffset(clock.now) == timedelta(hours=3)


@pytest.mark.parametrize("told", ["", "Pacific Time", "BST", "../../etc/passwd", "UTC+99"])
def test_M4__where_no_zone_is_known_the_books_date_the_invoice_and_doctor_names_the_variable(told: str) -> None:
    row = {"organization_id": "10", "name": "Acme", "currency_code": "USD", "time_zone": told}
    organizations = json_answer({"code": 0, "message": "success", "organizations": [row]})
    with RawServer(organizations) as server:
        assert zoho(server.url).read_time_zone() == ""
        organization = next(check for check in zoho_check(server.url, "") if check.name == "organization")

    assert not organization.is_ok
    assert "ZOHO_TIME_ZONE" in organization.detail


def test_M4__a_token_that_may_not_ask_for_it_stops_no_invoice(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    with RawServer(zoho_answer(57, "401 Unauthorized")) as server:
        assert zoho(server.url).read_time_zone() == ""
        assert zoho(server.url, ZOHO_TIME_ZONE="Asia/Riyadh").time_zone == "Asia/Riyadh"

    assert "ZOHO_TIME_ZONE" in caplog.text
    books = books_of(services, "")
    assert [business_day(services, services.company().invoices) for _ in range(3)] == [None] * 3
    assert books.asked == 1  # not for each invoice again


@pytest.mark.parametrize(
    ("go_live", "zone", "closed_on", "is_since"),
    [
        pytest.param(
            "2026-11-01T07:00Z", LOS_ANGELES, "2026-10-31", False, id="midnight in Los Angeles, the day before"
        ),
        pytest.param("2026-11-01T03:00Z", LOS_ANGELES, "2026-10-31", True, id="the evening before in Los Angeles"),
        pytest.param("2026-10-31T21:00Z", RIYADH, "2026-10-31", False, id="midnight in Riyadh, the day before"),
        pytest.param("2026-10-31T21:00Z", RIYADH, "2026-11-01", True, id="midnight in Riyadh, the day itself"),
    ],
)
def test_M4__a_close_date_is_a_day_of_the_company_when_it_is_compared_with_going_live(
    go_live: str, zone: ZoneInfo, closed_on: str, is_since: bool
) -> None:
    dates = Dates(closed_on=date.fromisoformat(closed_on))

    assert won_since(dates, datetime.fromisoformat(go_live), zone) is is_since


def test_M4__the_day_on_which_a_deal_was_won_is_the_companys() -> None:
    won_at = datetime(2026, 11, 1, 0, 30, tzinfo=UTC)

    assert won_on(Dates(won_at=won_at), LOS_ANGELES) == date(2026, 10, 31)


@pytest.fixture(scope="module")
def elsewhere() -> str:
    """A zone where it is another day than in UTC, whenever this runs."""
    return "Pacific/Kiritimati" if datetime.now(UTC).hour >= 12 else "Etc/GMT+12"


@pytest.fixture(scope="module")
def invoices(tmp_path_factory: pytest.TempPathFactory, elsewhere: str) -> Iterator[list[dict[str, Any]]]:
    """What two deals of one customer became, and how often the organization was asked for."""
    home: Path = tmp_path_factory.mktemp("days")
    with (
        big_sandbox(zoho_time_zone=elsewhere) as sandbox,
        running(home, "web", "worker", sandbox=sandbox, CRMSYNC_PAYMENT_TERMS_DAYS="14", **NO_PERIODS) as system,
    ):
        for _ in range(2):
            deal = sandbox.deals.create("Kiribati Trading")
            system.close(deal.id)
            system.wait_for("done", deal)
        made = [dict(doc) for doc in sandbox.zoho.organization.invoices.docs.values()]
        yield [*made, {"asked": sandbox.calls()["zoho"]["operations"].get("organizations", 0)}]


def test_M4__the_whole_way_the_invoice_and_its_terms_follow_the_organization(
    invoices: list[dict[str, Any]], elsewhere: str
) -> None:
    first, second, calls = invoices
    days = {(datetime.now(UTC) - timedelta(seconds=ago)).astimezone(ZoneInfo(elsewhere)).date() for ago in (0, 120)}

    assert date.fromisoformat(first["date"]) in days
    assert date.fromisoformat(first["due_date"]) - date.fromisoformat(first["date"]) == timedelta(days=14)
    assert second["date"] >= first["date"]
    assert calls["asked"] == 1, "the second deal costs no call for it"
