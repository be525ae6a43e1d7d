"""What is kept of a webhook, and what is said to have been done about it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from crmsync.domain.payloads import BODY_BYTES_MAX, KEPT_LENGTH_MAX, kept_of
from crmsync.domain.webhooks import Action, action_taken, lines_after

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
STEPS = ("fetch_deal", "create_order", "write_back")


@dataclass(frozen=True)
class Line:
    step: str
    event: str
    at: datetime
    started_at: datetime | None = None


def lines(*told: str) -> list[Line]:
    """One each second, from NOW on; "fetch_deal" for a step that was done, "create_order stopped" for another event."""
    found = []
    for seconds, each in enumerate(told):
        step, _, event = each.partition(" ")
        found.append(Line(step, event or "done", NOW + timedelta(seconds=seconds), NOW + timedelta(seconds=seconds)))
    return found


def taken(done: list[Line], *, second: float, is_over: bool = True, **other: bool) -> Action:
    facts = {"is_first": second == 0, "is_gone": False, "is_ours": True} | other
    after = lines_after(done, NOW + timedelta(seconds=second), STEPS[0])
    return action_taken(after, steps=STEPS, is_over=is_over, **facts)


ONCE = lines(*STEPS)
TWICE = lines(*STEPS, *STEPS)


@pytest.mark.parametrize(
    ("done", "second", "action"),
    [
        (ONCE, 0, Action.CREATED),
        (TWICE, 0, Action.CREATED),
        (TWICE, 2.5, Action.UPDATED),
        (lines(*STEPS, "fetch_deal"), 2.5, Action.IGNORED),
        (lines(*STEPS, "fetch_deal", *STEPS), 2.5, Action.IGNORED),
        (lines(*STEPS, "fetch_deal", *STEPS), 3.5, Action.UPDATED),
        (lines("fetch_deal", "create_order stopped", "fetch_deal replayed", *STEPS), 0, Action.CREATED),
        ([], 0, Action.IGNORED),
    ],
)
def test_what_was_done_about_an_event_of_a_run_that_is_over(done: list[Line], second: float, action: Action) -> None:
    assert taken(done, second=second) is action


def test_an_event_is_pending_until_its_run_has_come_to_an_end_for_it() -> None:
    assert taken(lines("fetch_deal", "create_order"), second=0, is_over=False) is Action.PENDING
    assert taken(ONCE, second=2.5, is_over=False) is Action.PENDING
    assert taken([*ONCE, *lines("fetch_deal")], second=0, is_over=False) is Action.CREATED


def test_what_is_gone_was_deleted_and_what_is_nothing_of_ours_is_ignored() -> None:
    assert taken(ONCE, second=0, is_gone=True) is Action.DELETED
    assert taken(ONCE, second=0, is_gone=True, is_ours=False) is Action.IGNORED


PERSONAL = ("Ida", "Berg", "ida@acme.test", "+49 151 2345", "Harbour", "DE123456789", "s3cret")


def test_nothing_of_a_person_and_no_secret_is_kept_of_a_body() -> None:
    body = {
        "payment": {
            "payment_id": "460000000042059",
            "payment_number": "17",
            "status": "Ida Berg",
            "state": "paid",
            "amount": 120.5,
            "date": "2026-12-01",
            "description": "from Ida Berg, Harbour Road 12",
            "customer_name": "Ida Berg",
            "email": "ida@acme.test",
            "mobile_number": 491512345,
            "phone_id": "+49 151 2345",
            "vat_id": "DE123456789",
            "verification_key": "s3cret",
            "invoices": [{"invoice_id": "46", "amount_applied": 100, "is_paid": True}],
            "ida@acme.test": None,
        }
    }

    kept = kept_of(json.dumps(body).encode(), "application/json") or ""

    assert [each for each in (*PERSONAL, "491512345") if each in kept] == []
    told = json.loads(kept)["payment"]
    assert (told["payment_id"], told["payment_number"], told["state"], told["amount"], told["date"]) == (
        "460000000042059", "17", "paid", 120.5, "2026-12-01",
    )  # fmt: skip
    assert told["invoices"] == [{"invoice_id": "46", "amount_applied": "<number>", "is_paid": True}]
    assert (told["customer_name"], told["mobile_number"]) == ("<text, 8>", "<number>")


def test_a_form_is_kept_as_the_json_in_it() -> None:
    body = b"JSONString=%7B%22payment_id%22%3A%2246%22%2C%22memo%22%3A%22Ida%22%7D&event=payment"

    kept = kept_of(body, "application/x-www-form-urlencoded")

    assert json.loads(kept or "") == {"JSONString": {"payment_id": "46", "memo": "<text, 3>"}, "event": "payment"}


@pytest.mark.parametrize(
    "body", [b"<xml/>", b"", b"[1]", b'"text"', b"\xff\xfe", b"[" * 30_000, b'{"a": 1}' + b" " * BODY_BYTES_MAX]
)
def test_of_what_is_no_object_or_too_large_nothing_is_kept(body: bytes) -> None:
    assert kept_of(body, "application/json") is None


def test_what_is_kept_has_a_limit() -> None:
    deep: object = 1
    for _ in range(40):
        deep = {"id": deep}
    wide = {f"field_{n}": {f"id_{m}": {"id": [1] * 30} for m in range(30)} for n in range(30)}

    assert "<object, 1>" in (kept_of(json.dumps(deep).encode(), "application/json") or "")
    assert len(kept_of(json.dumps(wide).encode(), "application/json") or "") <= KEPT_LENGTH_MAX
