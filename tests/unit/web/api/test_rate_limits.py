"""/rate-limits/{connection_id}: the limits of a connection, told and set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crmsync.connectors.limits import budget
from crmsync.connectors.limits.shared_budget import SharedBudget
from crmsync.connectors.registry import shared_budget
from crmsync.domain.connections import Connection
from crmsync.services import Services
from tests.unit.web.api.conftest import Admit, Caller
from tests.unit.web.api.test_connections import of_environment, pointers

__all__ = ["of_environment"]  # a fixture
Make = Callable[..., Connection]


def put(by: Caller, of: str, version: str = "*", **body: Any) -> Any:
    return by("PUT", f"/rate-limits/{of}", json=body, headers={"If-Match": version})


def budget_of(services: Services, of: str) -> SharedBudget:
    """As a worker has it."""
    known = services.book.get(of)
    return shared_budget(known.system, known.settings, services.link, services.settings.behaviour)


def test_the_limits_that_are_set_are_those_that_are_kept(admin: Caller, services: Services, a_connection: Make) -> None:
    of = a_connection().id
    read = admin("GET", f"/rate-limits/{of}")
    assert read.get_json()["is_known"] is False, "there is no Redis"
    assert read.get_json()["settings"] == {
        "per_minute": 100,
        "per_hour": None,
        "per_day": 10_000,
        "concurrent": 10,
        "reserve_percent": 30,
    }

    changed = put(admin, of, read.headers["ETag"], perMinute=40, concurrent=2, reason="others use it too")

    assert changed.get_json()["settings"]["per_minute"] == 40
    quota = budget_of(services, of).quota
    assert (quota.per_minute, quota.per_day, quota.calls_at_once) == (40, 10_000, 2)
    assert budget.windows(quota, 150)[0].limit == 40, "what Zoho announces does not raise it"
    assert put(admin, of, read.headers["ETag"], concurrent=3).status_code == 412
    assert admin("PUT", f"/rate-limits/{of}", json={"concurrent": 3}).status_code == 428
    with services.store.read() as uow:
        assert uow.audit.newest(None, limit=1)[0].reason == "others use it too"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"per_hour": -1}, "#/per_hour"),
        ({"per_minute": 101}, "#/per_minute"),
        ({"per_day": 10_001}, "#/per_day"),
        ({"concurrent": 0}, "#/concurrent"),
        ({"concurrent": 11}, "#/concurrent"),
        ({"reserve_percent": 96}, "#/reserve_percent"),
    ],
)
def test_a_limit_that_the_system_does_not_allow_is_refused(
    admin: Caller, a_connection: Make, change: dict[str, int], expected: str
) -> None:
    answer = put(admin, a_connection().id, **change)

    assert (answer.status_code, pointers(answer)) == (422, {expected})


def test_a_system_that_publishes_no_limit_takes_any_and_zero_ends_it(
    admin: Caller, services: Services, of_acme: dict[str, str]
) -> None:
    for of in (of_acme["erp"], of_acme["crm"]):
        limits = {"per_minute": 10, "per_hour": 200, "per_day": 3000, "concurrent": 3, "reserve_percent": 0}

        assert put(admin, of, **limits).get_json()["settings"] == limits
        assert budget_of(services, of).reserve_percent == 0
        windows = budget.windows(budget_of(services, of).quota, None)
        assert [(each.limit, each.seconds) for each in windows] == [(10, 60), (200, 3600), (3000, 86_400)]

        assert put(admin, of, per_hour=0).get_json()["settings"] == limits | {"per_hour": None}
        assert [each.limit for each in budget.windows(budget_of(services, of).quota, None)] == [10, 3000]


def test_the_reserve_is_the_connections_own_or_that_of_the_installation(
    admin: Caller, services: Services, a_connection: Make
) -> None:
    of = a_connection().id
    assert budget_of(services, of).reserve_percent == 30

    answer = put(admin, of, reserve_percent=50, per_hour=600)

    assert (answer.get_json()["settings"]["reserve_percent"], answer.get_json()["settings"]["per_hour"]) == (50, 600)
    assert budget_of(services, of).reserve_percent == 50
    with services.store.read() as uow:
        entry = uow.audit.newest(None, limit=1)[0]
    assert (entry.before["settings"].get("reserve_percent"), entry.after["settings"]["reserve_percent"]) == (None, 50)


def test_the_limits_of_the_environment_are_read_only(of_environment: Caller) -> None:
    assert of_environment.get("/rate-limits/zoho_books")["is_of_environment"] is True
    assert put(of_environment, "zoho_books", concurrent=2).status_code == 409


def test_another_tenants_limits_do_not_exist(caller: Admit, a_connection: Make) -> None:
    of = a_connection().id

    assert caller("admin", "acme")("GET", f"/rate-limits/{of}").status_code == 404
    assert put(caller("admin", "acme"), of, concurrent=2).status_code == 404
