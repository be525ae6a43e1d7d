"""The check of requests against Zoho's specification finds what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.specs import needs

from . import specs
from .conftest import API

pytestmark = needs("zoho-books")

ORGANIZATION = {"organization_id": "1"}
LINE = {"name": "A", "rate": 1, "quantity": 1}


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "problem"),
    [
        ("GET", "/contacts", {}, None, "query organization_id is missing"),
        ("GET", "/contacts", {**ORGANIZATION, "sku": "A"}, None, "query sku is not documented"),
        ("GET", "/invoices", {**ORGANIZATION, "page": "x"}, None, "query page is no integer"),
        ("PUT", "/invoices", ORGANIZATION, {"customer_id": "1", "line_items": [LINE]}, "X-Unique-Identifier-Key"),
        ("POST", "/contacts", ORGANIZATION, {"company_name": "A"}, "body: required"),
        ("POST", "/contacts", ORGANIZATION, {"contact_name": "A", "payment_terms": "30"}, "payment_terms: type"),
        ("POST", "/contacts", ORGANIZATION, {"contact_name": "A", "nme": "B"}, "nme is not documented"),
        (
            "POST",
            "/invoices",
            ORGANIZATION,
            {"customer_id": "1", "line_items": [{**LINE, "quantity": "1"}]},
            "line_items[].quantity: type",
        ),
    ],
)
def test_wrong_request_is_found(method: str, path: str, query: dict[str, str], body: Any, problem: str) -> None:
    request = requests.Request(method, f"{API}{path}", params=query, json=body).prepare()

    assert any(problem in found for found in specs.problems(request))


def test_right_request_has_no_problem() -> None:
    body = {"customer_id": "1", "line_items": [{**LINE, "discount": "12.5%"}]}
    request = requests.Request("POST", f"{API}/invoices", params=ORGANIZATION, json=body).prepare()

    assert specs.problems(request) == []


@pytest.mark.parametrize(
    ("line", "items", "is_right"),
    [
        (LINE, {"A"}, False),
        ({**LINE, "item_id": "1"}, {"A"}, True),
        (LINE, {"B"}, True),
        (LINE, None, True),
        ({**LINE, "description": "3 × A"}, {"A"}, True),
    ],
    ids=["free text beside an item", "an item", "free text of no item", "free text is wished for", "one piece"],
)
def test_free_text_is_right_only_where_there_is_no_item(line: Any, items: set[str] | None, is_right: bool) -> None:
    body = {"customer_id": "1", "line_items": [line]}
    request = requests.Request("POST", f"{API}/invoices", params=ORGANIZATION, json=body).prepare()

    assert (specs.problems(request, items=items) == []) is is_right
