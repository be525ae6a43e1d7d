"""The control tower's search box, and the same search for programs."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from crmsync.flows.order_to_invoice import FLOW
from crmsync.services import Services
from crmsync.store import finding
from tests.fakes import DEFAULT, FakeClock
from tests.field.test_finding import DEAL, business
from tests.unit.web.test_tower import words

__all__ = ["business"]


def test_P15__the_tower_finds_it_and_says_what_it_found(operator: FlaskClient) -> None:
    page = words(operator.get("/runs?text=INV-000001"))

    assert "Muster GmbH – 200 sensors" in page
    assert "Found by: invoice INV-000001" in page
    assert "Searched: ids of runs" in words(operator.get("/runs?text=INV-9"))


def test_a_search_offers_to_look_at_everything(
    operator: FlaskClient, services: Services, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "WINDOW", 1)
    clock.advance(1)
    with services.store.begin() as uow:  # the newest one, which is all that is looked at
        FLOW.open_run(uow, DEFAULT, "006xx0000099newAAA", correlation_id="c")

    page = operator.get("/runs?text=muster")

    assert "Muster GmbH" not in words(page)
    assert 'href="/runs?text=muster&amp;everything=1"' in page.text
    assert "Muster GmbH – 200 sensors" in words(operator.get("/runs?text=muster&everything=1"))
    assert not operator.get("/api/find?text=muster").get_json()["found"]
    assert operator.get("/api/find?text=muster&everything=1").get_json()["found"]


def test_P15__the_api_finds_it(operator: FlaskClient, visitor: FlaskClient) -> None:
    answer = operator.get("/api/find?text=4734").get_json()

    assert [(each["run"]["key"], each["what"]) for each in answer["found"]] == [(DEAL, "order 0000004734")]
    assert visitor.get("/api/find?text=4734").status_code == 401
