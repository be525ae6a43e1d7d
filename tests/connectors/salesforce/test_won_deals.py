"""The list of won deals: no change slips through, none comes twice, and no answer makes it endless."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import responses
from hypothesis import given
from hypothesis import strategies as st

from crmsync.connectors.kit.pages import Page
from crmsync.connectors.salesforce import soql
from crmsync.connectors.salesforce.won_deals import WonDealReader
from crmsync.domain.catch_up import WonDeal
from crmsync.domain.money import Money
from crmsync.errors import PermanentError, UnexpectedAnswerError

from ..conftest import LoadFixture
from .conftest import DEAL, FIXTURES, QUERY, Build

SINCE = datetime(2026, 11, 20, 9, tzinfo=UTC)
UNTIL = datetime(2026, 11, 20, 10, tzinfo=UTC)
OTHER = "006xx0000012ABCAA2"


def _queries(salesforce: responses.RequestsMock) -> list[str]:
    return [parse_qs(urlsplit(call.request.url or "").query)["q"][0] for call in salesforce.calls]


def _read(crm: Build, **changes: Any) -> list[list[WonDeal]]:
    return [list(page) for page in crm(**changes).won_deals(SINCE, UNTIL)]


def _page(rows: Sequence[tuple[str, str]], *, is_done: bool = True) -> dict[str, Any]:
    """An answer of (stamp, id)."""
    records = [
        {"Id": key, "SystemModstamp": stamp, "Name": "", "SAP_Order_Number__c": "", "CurrencyIsoCode": "USD"}
        for stamp, key in rows
    ]
    more = {} if is_done else {"nextRecordsUrl": "/services/data/v68.0/query/0r8xx0000000001AAA-1"}
    return {"totalSize": len(rows), "done": is_done, "records": records, **more}


def test_a_row_tells_what_catch_up_decides_by(crm: Build, salesforce: responses.RequestsMock) -> None:
    salesforce.get(QUERY, body=(FIXTURES / "won_deals__two.json").read_bytes(), content_type="application/json")

    [[first, second]] = _read(crm, default_currency="")

    assert first == WonDeal(
        key=DEAL,
        company="O'Brien & Söhne",
        name="200 sensors",
        amount=Money(Decimal(10_000_000), "EUR"),
        changed_at=datetime(2026, 11, 20, 9, 15, tzinfo=UTC),
        created_at=datetime(2026, 10, 1, 8, tzinfo=UTC),
        won_at=datetime(2026, 11, 20, 9, 14, 59, tzinfo=UTC),
        closed_on=date(2026, 11, 20),
    )
    assert (second.company, second.amount, second.won_at, second.order_number) == ("", None, None, "4500001")
    assert second.changed_at.microsecond == 250_000


def test_the_query(crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture) -> None:
    salesforce.get(QUERY, json=fixture("query__none"))

    assert _read(crm, order_number_field="Order__c") == []

    assert _queries(salesforce) == [
        "SELECT Id, Name, Account.Name, Amount, CreatedDate, CloseDate, SystemModstamp, LastStageChangeDate, Order__c"
        " FROM Opportunity WHERE IsWon = true AND SystemModstamp < 2026-11-20T10:00:00Z"
        " AND SystemModstamp >= 2026-11-20T09:00:00Z ORDER BY SystemModstamp, Id LIMIT 2000"
    ]


def test_a_page_begins_after_the_pair_of_stamp_and_id(crm: Build, salesforce: responses.RequestsMock) -> None:
    salesforce.get(QUERY, json=_page([("2026-11-20T09:15:00.250+0000", DEAL)], is_done=False))
    salesforce.get(QUERY, json=_page([("2026-11-20T09:15:00.250+0000", OTHER)]))

    assert [[deal.key for deal in page] for page in _read(crm)] == [[DEAL], [OTHER]]
    assert (
        "< 2026-11-20T10:00:00Z AND (SystemModstamp > 2026-11-20T09:15:00.250Z OR "
        f"(SystemModstamp = 2026-11-20T09:15:00.250Z AND Id > '{DEAL}')) ORDER BY"
    ) in _queries(salesforce)[1]


def test_a_full_page_is_not_the_last(crm: Build, salesforce: responses.RequestsMock) -> None:
    stamp = "2026-11-20T09:15:00.000+0000"
    salesforce.get(QUERY, json=_page([(stamp, DEAL)] * (soql.WON_DEALS_PER_PAGE - 1) + [(stamp, OTHER)]))
    salesforce.get(QUERY, json=_page([]))

    assert [len(page) for page in _read(crm)] == [soql.WON_DEALS_PER_PAGE]
    assert f"Id > '{OTHER}'" in _queries(salesforce)[1]


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(_page([("2026-11-20T09:15:00Z", DEAL)], is_done=False), id="the same page again"),
        pytest.param(_page([("2026-11-20T09:14:59Z", OTHER)], is_done=False), id="an earlier page"),
        pytest.param(_page([], is_done=False), id="an empty page that is not the last"),
    ],
)
def test_a_page_that_does_not_lead_on_ends_the_reading(
    crm: Build, salesforce: responses.RequestsMock, second: Any
) -> None:
    salesforce.get(QUERY, json=_page([("2026-11-20T09:15:00Z", DEAL)], is_done=False))
    salesforce.get(QUERY, json=second)

    with pytest.raises(UnexpectedAnswerError, match="SystemModstamp"):
        _read(crm)

    assert len(salesforce.calls) == 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"SystemModstamp": None}, "SystemModstamp"),
        ({"SystemModstamp": "2026-11-20T09:15:00"}, "SystemModstamp"),
        ({"LastStageChangeDate": "soon"}, "LastStageChangeDate"),
        ({"CloseDate": "20.11.2026"}, "CloseDate"),
        ({"Id": "x"}, "Id"),
        ({"Account": "Acme"}, "Account"),
    ],
)
def test_an_answer_that_cannot_be_read_is_named_by_field(
    crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture, change: dict[str, Any], field: str
) -> None:
    answer = fixture("won_deals__two")
    answer["records"][1].update(change)
    salesforce.get(QUERY, json=answer)

    with pytest.raises(UnexpectedAnswerError) as caught:
        _read(crm)

    assert list(caught.value.field_errors) == [f"1.{field}"]


def test_a_number_that_the_answer_leaves_out_is_not_taken_for_none(
    crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
) -> None:
    answer = fixture("won_deals__two")
    del answer["records"][0]["SAP_Order_Number__c"]
    salesforce.get(QUERY, json=answer)

    with pytest.raises(UnexpectedAnswerError, match="SAP_Order_Number__c"):
        _read(crm)


class TestFieldsThatSomeOrganizationsLack:
    def test_are_done_without_from_then_on(
        self, crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
    ) -> None:
        salesforce.get(QUERY, status=400, json=fixture("error__no_last_stage_change"))
        salesforce.get(QUERY, status=400, json=fixture("error__no_currency"))
        for _ in range(2):
            salesforce.get(QUERY, json=_page([("2026-11-20T09:15:00Z", DEAL)]))
        connector = crm(default_currency="")

        pages = [list(connector.won_deals(SINCE, UNTIL)) for _ in range(2)]

        assert pages[0] == pages[1]
        assert (pages[0][0][0].won_at, pages[0][0][0].amount) == (None, None)
        asked = [[field in query for field in soql.OPTIONAL] for query in _queries(salesforce)]
        assert asked == [[True, True], [False, True], [False, False], [False, False]]

    def test_a_refusal_that_names_no_field_of_ours_is_tried_without_them(
        self, crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
    ) -> None:
        text = "CloseDate, LastStageChangeDate, SystemModstamp: field is not supported"
        salesforce.get(QUERY, status=400, json=[{"errorCode": "INVALID_FIELD", "message": text}])
        salesforce.get(QUERY, json=fixture("won_deals__two"))

        [[first, _]] = _read(crm)

        assert first.amount == Money(Decimal(10_000_000), "USD")

    def test_nothing_is_forgotten_where_that_does_not_help(
        self, crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
    ) -> None:
        for _ in range(3):
            salesforce.get(QUERY, status=400, json=[{"errorCode": "INVALID_FIELD", "message": "?"}])
        salesforce.get(QUERY, json=fixture("query__none"))
        connector = crm(default_currency="")

        with pytest.raises(PermanentError):
            list(connector.won_deals(SINCE, UNTIL))
        list(connector.won_deals(SINCE, UNTIL))

        assert all(field in _queries(salesforce)[3] for field in soql.OPTIONAL)

    def test_another_missing_field_is_not_taken_for_one_of_them(
        self, crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
    ) -> None:
        salesforce.get(QUERY, status=400, json=fixture("error__no_custom_field"))

        with pytest.raises(PermanentError, match="SAP_Order_Number__c"):
            _read(crm)

        assert len(salesforce.calls) == 1

    def test_a_deal_and_the_list_learn_of_the_currency_from_each_other(
        self, crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
    ) -> None:
        salesforce.get(QUERY, status=400, json=fixture("error__no_currency"))
        salesforce.get(QUERY, json=fixture("query__none"))
        salesforce.get(QUERY, json=fixture("deal__bare"))
        connector = crm(default_currency="")

        list(connector.won_deals(SINCE, UNTIL))
        with pytest.raises(PermanentError, match="CRMSYNC_DEFAULT_CURRENCY"):
            connector.fetch_deal(DEAL)

        assert ["CurrencyIsoCode" in query for query in _queries(salesforce)] == [True, False, False]


@given(
    st.datetimes(
        min_value=datetime(1700, 1, 2),  # noqa: DTZ001 - Hypothesis adds the zone
        max_value=datetime(4000, 12, 30),  # noqa: DTZ001
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=8))]),
    )
)
def test_an_instant_in_a_query_is_the_same_instant_to_the_millisecond(at: datetime) -> None:
    literal = soql.instant(at)

    assert datetime.fromisoformat(literal) == at.replace(microsecond=at.microsecond // 1000 * 1000)
    assert literal.endswith("Z")
    assert "+" not in literal


def _stamp(second: int) -> str:
    return soql.instant(SINCE + timedelta(seconds=second))


class _Organization:
    """Answers the queries of a reader from rows of (seconds, id), some at a time."""

    def __init__(self, rows: list[tuple[int, str]], size: int) -> None:
        self._rows = sorted((_stamp(second), key) for second, key in rows)
        self._size = size

    def page(self, operation: str, query: str) -> Page[str]:
        found = [row for row in self._rows if _matches(query, *row)]
        rows = _page([(stamp, key) for stamp, key in found[: self._size]])["records"]
        return Page(rows, None if len(found) <= self._size else "more")


def _matches(query: str, stamp: str, key: str) -> bool:
    """What the query says of a row, for stamps that are compared as text."""
    [until] = re.findall(r"SystemModstamp < (\S+)", query)
    after = re.search(r"AND \(SystemModstamp > (\S+) OR \(SystemModstamp = (\S+) AND Id > '(\w+)'\)\)", query)
    since = re.search(r"SystemModstamp >= (\S+)", query)
    begins = stamp > after[1] or (stamp == after[2] and key > after[3]) if after else bool(since and stamp >= since[1])
    return begins and stamp < until


@given(
    rows=st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 30).map("006xx0000012{:03}".format)), unique=True),
    size=st.integers(1, 4),
)
def test_every_change_of_the_window_comes_once_and_in_order(rows: list[tuple[int, str]], size: int) -> None:
    """Many deals may share one stamp, and Salesforce decides how many come at once."""
    settings = SimpleNamespace(catch_up_filter="", order_number_field="SAP_Order_Number__c")
    reader = WonDealReader(_Organization(rows, size), settings, default_currency=lambda: "USD", lacking=set())  # type: ignore[arg-type]

    found = [deal for page in reader.pages(SINCE, SINCE + timedelta(seconds=3)) for deal in page]

    assert [((deal.changed_at - SINCE).seconds, deal.key[:15]) for deal in found] == sorted(
        row for row in rows if 0 <= row[0] < 3
    )


def test_an_answer_that_does_not_tell_whether_it_was_the_last(crm: Build, salesforce: responses.RequestsMock) -> None:
    salesforce.get(QUERY, json=_page([("2026-11-20T09:15:00Z", DEAL)]) | {"done": None})

    with pytest.raises(UnexpectedAnswerError, match="nextRecordsUrl"):
        _read(crm)
