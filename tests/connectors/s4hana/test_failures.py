"""What becomes of every failure of SAP: the class of error, whether it is definite, how long to wait, and its words."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from crmsync import errors
from crmsync.domain.documents import OrderRequest
from tests.builders import deal

from ..conftest import LoadFixture
from .conftest import ORDERS, Build, Sap

ORDER_SET = f"{ORDERS}/A_SalesOrder"
REQUEST = OrderRequest("SF-006xx0000012abcAAA", "17100001", deal())
PAGE = "<html>Ann Lee, ann@acme.test</html>"
WAIT = {"Retry-After": "60"}

# status, headers → error, is_definite, retry_after_seconds
STATUSES: dict[str, tuple[int, dict[str, str], type[errors.CrmsyncError], bool, float | None]] = {
    "bad request": (400, {}, errors.VendorUnavailableError, False, None),
    "signed out": (401, {}, errors.AccountRefusedError, True, None),
    "no permission": (403, {}, errors.AuthenticationError, True, None),
    "no such page": (404, {}, errors.VendorUnavailableError, False, None),
    "conflict": (409, {}, errors.VendorUnavailableError, False, None),
    "changed meanwhile": (412, {}, errors.ConcurrentUpdateError, True, None),
    "locked": (423, {}, errors.ConcurrentUpdateError, True, None),
    "no If-Match": (428, {}, errors.ConcurrentUpdateError, True, None),
    "too many calls": (429, WAIT, errors.RateLimitedError, True, 60.0),
    "dump": (500, {}, errors.VendorUnavailableError, False, None),
    "gateway": (502, {}, errors.VendorUnavailableError, False, None),
    "maintenance": (503, WAIT, errors.VendorUnavailableError, False, 60.0),
    "gateway timeout": (504, {}, errors.VendorUnavailableError, False, None),
    "log-on page": (302, {}, errors.VendorUnavailableError, False, None),
    "a page under 201": (201, {}, errors.VendorUnavailableError, False, None),
}


@pytest.mark.parametrize(("status", "headers", "error_type", "is_definite", "wait"), STATUSES.values(), ids=STATUSES)
def test_a_status(
    sap: Sap,
    build: Build,
    status: int,
    headers: dict[str, str],
    error_type: type[errors.CrmsyncError],
    is_definite: bool,
    wait: float | None,
) -> None:
    sap.gives_token(ORDERS)
    sap.answers("POST", ORDER_SET, status=status, headers=headers, body=PAGE, content_type="text/html")

    with pytest.raises(error_type) as caught:
        build().create_order(REQUEST)

    assert type(caught.value) is error_type
    assert caught.value.is_definite is is_definite
    assert getattr(caught.value, "retry_after_seconds", None) == wait
    assert (caught.value.system, caught.value.operation) == ("SAP S/4HANA", "create_order")


# SAP's own answer of a status
OWN: dict[int, type[errors.CrmsyncError]] = {
    400: errors.RejectedError,
    404: errors.RecordNotFoundError,
    409: errors.ConcurrentUpdateError,
}


@pytest.mark.parametrize(("status", "error_type"), OWN.items())
def test_a_status_of_saps_own(sap: Sap, build: Build, status: int, error_type: type[errors.CrmsyncError]) -> None:
    sap.gives_token(ORDERS)
    sap.answers("POST", ORDER_SET, {"error": {"code": "V1/042"}}, status=status)

    with pytest.raises(error_type) as caught:
        build().create_order(REQUEST)

    assert (type(caught.value), caught.value.is_definite) == (error_type, True)


BROKEN = {
    "timeout": requests.ReadTimeout(),
    "reset": requests.ConnectionError(),
    "cut": requests.exceptions.ChunkedEncodingError(),
}


@pytest.mark.parametrize("failure", BROKEN.values(), ids=BROKEN)
def test_a_broken_connection_leaves_the_outcome_open(sap: Sap, build: Build, failure: Exception) -> None:
    sap.gives_token(ORDERS)
    sap.answers("POST", ORDER_SET, body=failure)

    with pytest.raises(errors.VendorUnavailableError) as caught:
        build().create_order(REQUEST)

    assert not caught.value.is_definite


# a success that holds no order
UNREADABLE: dict[str, Any] = {
    "nothing": {},
    "a list": [],
    "no d": {"SalesOrder": "4711"},
    "no entity": {"d": None},
    "a collection": {"d": {"results": []}},
    "no number": {"d": {"TotalNetAmount": "1.00"}},
    "an empty number": {"d": {"SalesOrder": ""}},
    "a null number": {"d": {"SalesOrder": None}},
    "a number of zeros": {"d": {"SalesOrder": "0000000000"}},
}


@pytest.mark.parametrize("answer", UNREADABLE.values(), ids=UNREADABLE)
def test_a_success_that_can_not_be_read_leaves_the_outcome_open(sap: Sap, build: Build, answer: Any) -> None:
    sap.gives_token(ORDERS)
    sap.answers("POST", ORDER_SET, answer, status=201)

    with pytest.raises(errors.UnexpectedAnswerError) as caught:
        build().create_order(REQUEST)

    assert not caught.value.is_definite


# fixture → code, field errors, a word of our own sentence
BODIES = {
    "error__sales_area": ("V1/042", {"SoldToParty": "refused"}, "create_order"),
    "error__generic_code": ("FSBP_ECC/030", {"Language": "refused"}, "SAP_LANGUAGE"),
    "error__no_details": ("/IWBEP/CM_MGW_RT/021", {}, "create_order"),
}


@pytest.mark.parametrize(("name", "expected"), BODIES.items(), ids=BODIES)
def test_a_refusal_names_code_and_field_in_our_own_words(
    sap: Sap, build: Build, fixture: LoadFixture, name: str, expected: tuple[str, dict[str, str], str]
) -> None:
    code, field_errors, word = expected
    sap.gives_token(ORDERS)
    sap.answers("POST", ORDER_SET, fixture(name), status=400)

    with pytest.raises(errors.RejectedError, match=word) as caught:
        build().create_order(REQUEST)

    assert (caught.value.code, caught.value.field_errors) == (code, field_errors)
    assert "Ann" not in str(caught.value)
    assert "invalid" not in str(caught.value)


# an error body that is not what the documentation says
STRANGE: dict[str, Any] = {
    "code with words": {"error": {"code": "Ann Lee is locked"}},
    "code is a number": {"error": {"code": 42}},
    "error is a text": {"error": "Ann Lee"},
    "details are a map": {"error": {"innererror": {"errordetails": {"details": {"code": "X/1"}}}}},
    "details hold texts": {"error": {"innererror": {"errordetails": ["Ann Lee"]}}},
    "target with words": {
        "error": {"innererror": {"errordetails": [{"severity": "error", "target": "Ann Lee", "code": None}]}}
    },
}


@pytest.mark.parametrize("answer", STRANGE.values(), ids=STRANGE)
def test_a_strange_error_body_is_a_plain_refusal(sap: Sap, build: Build, answer: Any) -> None:
    sap.gives_token(ORDERS)
    sap.answers("POST", ORDER_SET, answer, status=400)

    with pytest.raises(errors.RejectedError) as caught:
        build().create_order(REQUEST)

    assert (caught.value.code, caught.value.field_errors) == ("HTTP 400", {})


def test_a_lock_code_does_not_make_an_internal_error_definite(sap: Sap, build: Build, fixture: LoadFixture) -> None:
    sap.gives_token(ORDERS)
    sap.answers("POST", ORDER_SET, fixture("error__sales_area"), status=500)

    with pytest.raises(errors.VendorUnavailableError) as caught:
        build(lock_codes=("V1/042",)).create_order(REQUEST)

    assert not caught.value.is_definite


def test_a_code_that_the_tenant_calls_a_lock_is_tried_again(sap: Sap, build: Build, fixture: LoadFixture) -> None:
    sap.gives_token(ORDERS)
    sap.answers("POST", ORDER_SET, fixture("error__sales_area"), status=400)

    with pytest.raises(errors.ConcurrentUpdateError) as caught:
        build(lock_codes=("V1/042",)).create_order(REQUEST)

    assert caught.value.is_definite
