"""What the authors of connectors use: pages, the loop behind `crmsync doctor`, and fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from marshmallow import Schema, ValidationError, missing
from marshmallow.fields import Field

from crmsync.connectors.base import Check
from crmsync.connectors.kit.doctor import Found, Probe, examined, not_checked, signed_out
from crmsync.connectors.kit.fields import Day, Flag, Instant, Key, Number, Readable, Text
from crmsync.connectors.kit.pages import Page, pages_from
from crmsync.errors import AuthenticationError, RateLimitedError, UnexpectedAnswerError, VendorUnavailableError

CIRCLE = UnexpectedAnswerError("It leads back to itself.")


class Server:
    """Answers each place with the page that stands there, and writes down which were asked for."""

    def __init__(self, pages: dict[Any, Page[Any]]) -> None:
        self.pages = pages
        self.asked: list[Any] = []

    def read(self, place: Any) -> Page[Any]:
        self.asked.append(place)
        return self.pages[place]

    def rows(self, place: Any, **limits: Any) -> Iterator[Any]:
        for page in pages_from(self.read(place), self.read, circle=CIRCLE, **limits):
            yield from page.rows


def test_a_list_is_read_to_its_last_page() -> None:
    server = Server({"/1": Page(["a"], "/2"), "/2": Page([], "/3"), "/3": Page(["b", "c"])})

    assert list(server.rows("/1")) == ["a", "b", "c"]
    assert server.asked == ["/1", "/2", "/3"]


def test_no_page_is_asked_for_before_the_rows_of_the_one_before_it_are_taken() -> None:
    server = Server({"/1": Page(["a"], "/2"), "/2": Page(["b"])})

    assert next(server.rows("/1")) == "a"
    assert server.asked == ["/1"]


@pytest.mark.parametrize(
    ("pages", "limits", "taken"),
    [
        ({"/1": Page(["a"], "/2"), "/2": Page(["b"], "/2")}, {}, ["a", "b"]),
        ({"/1": Page(["a"], "/2"), "/2": Page(["b"], "/1")}, {"start": "/1"}, ["a", "b"]),
        ({"/1": Page(["a"], "/2"), "/2": Page(["a"], "/3"), "/3": Page([])}, {"at_most": 2}, ["a", "a"]),
        ({1: Page(["a"], 2), 2: Page(["a"], 3)}, {}, ["a"]),
    ],
    ids=["a page names itself", "a page names the first one", "more pages than there may be", "a number is not heeded"],
)
def test_a_list_that_does_not_come_to_its_end_is_an_error(
    pages: dict[Any, Page[Any]], limits: dict[str, Any], taken: list[str]
) -> None:
    rows = Server(pages).rows(next(iter(pages)), **limits)

    assert [next(rows) for _ in taken] == taken
    with pytest.raises(UnexpectedAnswerError, match="leads back"):
        next(rows)


def test_two_addresses_may_have_the_same_rows() -> None:
    assert list(Server({"/1": Page(["a"], "/2"), "/2": Page(["a"])}).rows("/1")) == ["a", "a"]


# -- doctor


def asking(answer: Any) -> Callable[[], Any]:
    def ask() -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


def probes(*answers: Any, **options: Any) -> list[Probe]:
    return [Probe(f"probe {number}", asking(answer), **options) for number, answer in enumerate(answers, 1)]


def told(checks: Iterator[Check]) -> list[tuple[str, bool, str]]:
    return [(check.name, check.is_ok, check.detail) for check in checks]


REFUSED = AuthenticationError("It is not allowed.")


def test_each_probe_says_what_is_wrong_or_what_it_found() -> None:
    answers = probes(None, Found("The field is missing."), Found(detail="12 items"), REFUSED)

    assert told(examined(answers)) == [
        ("probe 1", True, ""),
        ("probe 2", False, "The field is missing."),
        ("probe 3", True, "12 items"),
        ("probe 4", False, "It is not allowed."),
    ]


def test_a_probe_may_give_several_checks_and_an_error_after_them() -> None:
    def ask() -> Iterator[Check]:
        yield Check("area", is_ok=True)
        raise REFUSED

    assert told(examined([Probe("order", ask)])) == [("area", True, ""), ("order", False, "It is not allowed.")]


@pytest.mark.parametrize("answer", [Found("It is another organization."), REFUSED], ids=["a problem", "an error"])
def test_after_an_essential_probe_that_fails_nothing_is_asked(answer: Any) -> None:
    asked: list[str] = []
    essential = Probe("sign-in", asking(answer), is_essential=True)

    checks = list(examined([essential, Probe("deals", lambda: asked.append("deals"))], otherwise=[Check("x", True)]))

    assert [(check.name, check.is_last) for check in checks] == [("sign-in", True)]
    assert asked == []


def test_what_follows_only_where_all_is_well_is_not_asked_after_an_error() -> None:
    then, otherwise = probes(None), [not_checked("order", "the failures above must be corrected first")]

    well = examined(probes(None, Found("no error")), then=then, otherwise=otherwise)
    failed = examined(probes(REFUSED, None), then=then, otherwise=otherwise)

    assert [name for name, *_ in told(well)] == ["probe 1", "probe 2", "probe 1"]
    assert told(failed)[2:] == [("order", True, "not checked: the failures above must be corrected first")]


def test_a_connector_says_in_its_own_words_what_an_error_means() -> None:
    def failed(probe: Probe, error: Exception) -> Check:
        return Check(probe.name, is_ok=False, detail=f"{error} Needs {probe.needs}.")

    assert told(examined(probes(REFUSED, needs="the scope READ"), failed=failed)) == [
        ("probe 1", False, "It is not allowed. Needs the scope READ.")
    ]


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (AuthenticationError("Refused.", code="invalid_client"), "Refused. [invalid_client] Check CLIENT_ID."),
        (VendorUnavailableError("Nobody answers."), "Nobody answers. It was asked at https://host (URL)."),
        (RateLimitedError("Too many tokens.", retry_after_seconds=300), "Too many tokens. Try again in 5 min."),
    ],
)
def test_a_failed_sign_in_says_what_to_check_where_it_was_asked_and_when_to_come_again(error: Any, detail: str) -> None:
    check = signed_out(error, "https://host (URL)", {"invalid_client": "CLIENT_ID"})

    assert (check.name, check.is_last) == ("sign-in", True)
    assert check.detail == detail


# -- fields


def read(field: Field[Any], *value: Any) -> Any:
    """What *field* makes of a value, or of its absence; "refused" where it says that it can't."""
    try:
        return field.deserialize(*value or (missing,))
    except ValidationError:
        return "refused"


INSTANT = datetime(2026, 11, 18, 10, 2, 51, tzinfo=UTC)
ABSENT: dict[str, tuple[Field[Any], Any]] = {
    "text": (Text(), ""),
    "text with a default": (Text(otherwise="active"), "active"),
    "key": (Key(otherwise=""), ""),
    "number": (Number(), None),
    "flag": (Flag(), False),
    "instant": (Instant(), None),
    "day": (Day(), None),
}


@pytest.mark.parametrize(("field", "otherwise"), ABSENT.values(), ids=ABSENT)
def test_what_is_absent_is_what_the_field_says(field: Field[Any], otherwise: Any) -> None:
    assert read(field) == otherwise


@pytest.mark.parametrize(("field", "otherwise"), ABSENT.values(), ids=ABSENT)
def test_null_is_the_same_as_absence(field: Field[Any], otherwise: Any) -> None:
    assert read(field, None) == otherwise


@pytest.mark.parametrize("field", [Key, Number, Flag, Instant, Day])
def test_neither_null_nor_absence_will_do_where_a_field_is_required(field: type[Any]) -> None:
    assert (read(field(required=True)), read(field(required=True), None)) == ("refused", "refused")


def test_a_text_that_is_required_may_be_null_but_is_there() -> None:
    assert (read(Text(required=True)), read(Text(required=True), None)) == ("refused", "")


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        (Text(), " Acme ", " Acme "),
        (Text(), Decimal("4711.0"), "4711"),
        (Text(), 4711, "4711"),
        (Text(), True, "refused"),
        (Text(), ["Acme"], "refused"),
        (Key(), "4711", "4711"),
        (Key(), 4711, "4711"),
        (Key(), True, "refused"),
        (Key(), Decimal("1.5"), "refused"),
        (Key(required=True), "", "refused"),
        (Key(canonical=int), "x", "refused"),
        (Number(), "12.50", Decimal("12.50")),
        (Number(), Decimal("1.0E+7"), Decimal("10000000")),
        (Number(), "", None),
        (Number(required=True), "", "refused"),
        (Number(), "1E+999", "refused"),
        (Number(), "NaN", "refused"),
        (Number(), "twelve", "refused"),
        (Flag(), "true", True),
        (Flag(), 0, False),
        (Flag(), "perhaps", "refused"),
        (Instant(), "2026-11-18T02:02:51-0800", INSTANT),
        (Instant(), "2026-11-18T10:02:51.000+0000", INSTANT),
        (Instant(), "2026-11-18T10:02:51", "refused"),
        (Instant(), "0001-01-01T00:00:00+14:00", "refused"),
        (Instant(), 5, "refused"),
        (Day(), "2026-11-18", date(2026, 11, 18)),
        (Day(), "2026-11-18T02:02:51-0800", date(2026, 11, 18)),
        (Day(), "2026-02-30", "refused"),
        (Day(), 20261118, "refused"),
        (Readable(Day()), " ", None),
        (Readable(Instant()), "soon", None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Field) else repr(value),
)
def test_a_field_reads_what_vendors_send(field: Field[Any], value: Any, expected: Any) -> None:
    assert read(field, value) == expected


def test_a_number_is_written_without_an_exponent() -> None:
    assert str(read(Number(), Decimal("1.0E+7"))) == "10000000"


def test_a_lenient_field_stands_under_the_name_of_what_it_reads() -> None:
    schema = Schema.from_dict({"paid_on": Readable(Day("date"))})()

    assert schema.load({"date": "2026-11-18"}) == {"paid_on": date(2026, 11, 18)}
