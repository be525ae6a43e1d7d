"""What becomes of every failure of Zoho Books: the class of error, whether it is definite, and how long to wait."""

from __future__ import annotations

from typing import Any

import pytest
import requests
import responses

from crmsync import errors
from tests.fakes import Signed

from .builders import invoice_request, line
from .conftest import API, Build

TEXT = "Raw text of Ann Lee, token 1000.aaaa.bbbb"


def body(code: int | str) -> dict[str, Any]:
    return {"json": {"code": code, "message": TEXT}}


PAGE = {"body": f"<html>{TEXT}</html>", "content_type": "text/html"}

# status, answer, headers → error, is_definite, retry_after_seconds
FAILURES = {
    "wrong value": (400, body(15), {}, errors.RejectedError, True, None),
    "not our JSON": (400, body(1038), {}, errors.RejectedError, True, None),
    "error under 200": (200, body(15), {}, errors.RejectedError, True, None),
    "error under 201 as text": (201, body("3062"), {}, errors.AmbiguousMatchError, True, None),
    "name is taken": (400, body(3062), {}, errors.AmbiguousMatchError, True, None),
    "number is taken": (400, body(1001), {}, errors.ConcurrentUpdateError, True, None),
    "no such record": (400, body(1002), {}, errors.RecordNotFoundError, True, None),
    "no such record, 404": (404, body(1002), {}, errors.RecordNotFoundError, True, None),
    "no such record under 200": (200, body(1002), {}, errors.RecordNotFoundError, True, None),
    "no such address": (404, body(5), {}, errors.RejectedError, True, None),
    "404 as a page": (404, PAGE, {}, errors.VendorUnavailableError, False, None),
    "401 as a page": (401, PAGE, {}, errors.VendorUnavailableError, False, None),
    "JSON of somebody else": (400, {"json": {"message": "no route"}}, {}, errors.VendorUnavailableError, False, None),
    "no such organization": (400, body(6041), {}, errors.AccountRefusedError, True, None),
    "malformed token": (401, body(14), {}, errors.AccountRefusedError, True, None),
    "no permission": (401, body(57), {}, errors.AuthenticationError, True, None),
    "no permission under 200": (200, body(57), {}, errors.AuthenticationError, True, None),
    "a code means nothing under another status": (400, body(57), {}, errors.RejectedError, True, None),
    "minute used up": (429, body(44), {}, errors.RateLimitedError, True, 60.0),
    "minute used up, reset known": (429, body(44), {"X-Rate-Limit-Reset": "17"}, errors.RateLimitedError, True, 17.0),
    "minute used up, reset of the day": (
        429,
        body(44),
        {"X-Rate-Limit-Reset": "43200"},
        errors.RateLimitedError,
        True,
        60.0,
    ),
    "minute used up, reset is nonsense": (
        429,
        body(44),
        {"X-Rate-Limit-Reset": "soon"},
        errors.RateLimitedError,
        True,
        60.0,
    ),
    "minute used up under 200": (200, body(44), {}, errors.RateLimitedError, True, 60.0),
    "Retry-After wins": (
        429,
        body(44),
        {"Retry-After": "9", "X-Rate-Limit-Reset": "17"},
        errors.RateLimitedError,
        True,
        9.0,
    ),
    "day used up": (429, body(45), {}, errors.RateLimitedError, True, 3600.0),
    "day used up, reset known": (
        429,
        body(45),
        {"X-Rate-Limit-Reset": "43200"},
        errors.RateLimitedError,
        True,
        43200.0,
    ),
    "too many at once": (429, body(1070), {}, errors.RateLimitedError, True, 5.0),
    "limit without a code": (429, PAGE, {"Retry-After": "30"}, errors.RateLimitedError, True, 30.0),
    "internal error": (500, body(1000), {}, errors.VendorUnavailableError, False, None),
    "internal error under 400": (400, body(1000), {}, errors.VendorUnavailableError, False, None),
    "internal error under 200": (200, body(1000), {}, errors.VendorUnavailableError, False, None),
    "internal error of another code": (500, body(9999), {}, errors.VendorUnavailableError, False, None),
    "page of a proxy": (503, PAGE, {"Retry-After": "20"}, errors.VendorUnavailableError, False, 20.0),
    "page instead of data": (200, PAGE, {}, errors.VendorUnavailableError, False, None),
    "redirect": (302, PAGE, {"Location": "https://accounts.zoho.test"}, errors.VendorUnavailableError, False, None),
    "refusal as a page": (403, PAGE, {}, errors.VendorUnavailableError, False, None),
    "method not allowed": (405, body(7), {}, errors.UnexpectedAnswerError, False, None),
}


@pytest.mark.parametrize(
    ("status", "answer", "headers", "error", "is_definite", "wait"), FAILURES.values(), ids=FAILURES.keys()
)
def test_answer_becomes_the_error_that_says_what_happens_next(
    zoho: responses.RequestsMock,
    books: Build,
    status: int,
    answer: dict[str, Any],
    headers: dict[str, str],
    error: type[errors.CrmsyncError],
    is_definite: bool,
    wait: float | None,
) -> None:
    zoho.post(f"{API}/invoices", status=status, headers=headers, **answer)

    with pytest.raises(errors.CrmsyncError) as caught:
        books().create_invoice(invoice_request(line("1", "5", "5")))

    raised = caught.value
    assert type(raised) is error
    assert raised.is_definite is is_definite
    assert getattr(raised, "retry_after_seconds", None) == wait
    assert (raised.system, raised.operation) == ("Zoho Books", "create invoice")
    for words in (str(raised), repr(raised), raised.advice or ""):
        assert "Ann" not in words
        assert "1000.aaaa" not in words


@pytest.mark.parametrize(
    ("fault", "is_definite"),
    [
        (requests.exceptions.ReadTimeout(TEXT), False),
        (requests.exceptions.ConnectionError(TEXT), False),
        (requests.exceptions.ConnectTimeout(TEXT), True),
    ],
    ids=["no answer in time", "connection broken", "never connected"],
)
def test_lost_answer_is_definite_only_where_nothing_was_sent(
    zoho: responses.RequestsMock, books: Build, fault: Exception, is_definite: bool
) -> None:
    zoho.post(f"{API}/invoices", body=fault)

    with pytest.raises(errors.VendorUnavailableError) as caught:
        books().create_invoice(invoice_request(line("1", "5", "5")))

    assert caught.value.is_definite is is_definite
    assert TEXT not in str(caught.value)


def test_redirect_is_no_success_whatever_it_says(zoho: responses.RequestsMock, books: Build) -> None:
    zoho.post(f"{API}/invoices/46/email", status=302, **body(0))

    with pytest.raises(errors.VendorUnavailableError) as caught:
        books().send_invoice("46", ())

    assert not caught.value.is_definite


@pytest.mark.parametrize("code", [14, 57])
def test_dead_token_is_renewed_once(
    zoho: responses.RequestsMock, books: Build, authorizer: Signed, fixture: Any, code: int
) -> None:
    zoho.get(f"{API}/invoices/46", status=401, **body(code))
    zoho.get(f"{API}/invoices/46", json=fixture("invoice__mailed"))

    assert books().read_invoice("46").number == "INV-00012"
    assert [call.request.headers["Authorization"] for call in zoho.calls] == [
        "Zoho-oauthtoken token-0",
        "Zoho-oauthtoken token-1",
    ]


def test_missing_permission_costs_one_renewal_and_says_what_to_do(
    zoho: responses.RequestsMock, books: Build, authorizer: Signed
) -> None:
    zoho.get(f"{API}/invoices/46", status=401, **body(57))

    with pytest.raises(errors.AuthenticationError) as caught:
        books().read_invoice("46")

    assert authorizer.renewals == 1
    assert len(zoho.calls) == 2
    assert "ZohoBooks.contacts" in (caught.value.advice or "")
    assert caught.value.code == "57"
