"""/rate-limits/{connection_id}: the limits of a connection, told and set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crmsync.connectors.registry import shared_budget
from crmsync.domain.connections import Connection
from crmsync.services import Services
from tests.unit.web.api.conftest import Admit, Caller
from tests.unit.web.api.test_connections import of_environment, pointers

__all__ = ["of_environment"]  # a fixture
Make = Callable[..., Connection]


def put(by: Caller, of: str, version: str = "*", **body: Any) -> Any:
    return by("PUT", f"/rate-limits/{of}", json=body, headers={"If-Match": version})


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
    known = services.book.get(of)
    quota = shared_budget(known.system, known.settings, services.link, services.settings.behaviour).quota
    assert (quota.per_minute, quota.per_day, quota.calls_at_once) == (40, 10_000, 2)
    assert put(admin, of, read.headers["ETag"], concurrent=3).status_code == 412
    assert admin("PUT", f"/rate-limits/{of}", json={"concurrent": 3}).status_code == 428
    with services.store.read() as uow:
        assert uow.audit.newest(None, limit=1)[0].reason == "others use it too"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"per_hour": 100}, "#/per_hour"),
        ({"concurrent": 0}, "#/concurrent"),
        ({"concurrent": 100_000}, "#/concurrent"),
        ({"reserve_percent": 50}, "#/reserve_percent"),
    ],
)
def test_a_limit_that_there_is_not_is_refused(
    admin: Caller, a_connection: Make, change: dict[str, int], expected: str
) -> None:
    answer = put(admin, a_connection().id, **change)

    assert (answer.status_code, pointers(answer)) == (422, {expected})


def test_a_system_that_counts_no_minutes_takes_no_limit_of_them(admin: Caller, of_acme: dict[str, str]) -> None:
    assert pointers(put(admin, of_acme["erp"], per_minute=10)) == {"#/per_minute"}
    assert put(admin, of_acme["erp"], concurrent=3).get_json()["settings"]["concurrent"] == 3


def test_the_limits_of_the_environment_are_read_only(of_environment: Caller) -> None:
    assert of_environment.get("/rate-limits/zoho_books")["is_of_environment"] is True
    assert put(of_environment, "zoho_books", concurrent=2).status_code == 409


def test_another_tenants_limits_do_not_exist(caller: Admit, a_connection: Make) -> None:
    of = a_connection().id

    assert caller("admin", "acme")("GET", f"/rate-limits/{of}").status_code == 404
    assert put(caller("admin", "acme"), of, concurrent=2).status_code == 404
