"""Two changes at once that were made of the same version: one of them wins, the other one is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crmsync import connections, subscriptions
from crmsync.domain.connections import Connection, ConnectionChangedError
from crmsync.domain.subscriptions import SubscriptionChangedError
from crmsync.services import Services
from crmsync.web.api import versions
from tests.unit.web.api.conftest import ADA, Caller

Make = Callable[..., Connection]
Request = tuple[str, str, dict[str, Any]]
"""A method, a path, and a body."""


@pytest.fixture
def of_acme_in_use(admin: Caller, of_acme: dict[str, str]) -> dict[str, str]:
    """Addresses of what may be changed, by what they are, and the connections of a flow."""
    roles = {"catalogue": of_acme["crm"], "stock": of_acme["erp"]}
    webhook = admin("POST", "/webhooks", json={"connection": of_acme["crm"]}).get_json()["id"]
    config = admin("POST", "/sync-configs", json={"tenantId": "acme", "flow": "inventory", "roles": roles}).get_json()
    return {
        **roles,
        "webhook": f"/webhooks/{webhook}",
        "connection": f"/connections/{of_acme['books']}",
        "limits": f"/rate-limits/{of_acme['books']}",
        "config": f"/sync-configs/{config['id']}",
        "binding": "/bindings/inventory?tenant_id=acme",
    }


def roles_of(of: dict[str, str]) -> dict[str, str]:
    return {name: of[name] for name in ("catalogue", "stock")}


RACES: dict[str, Callable[[dict[str, str]], tuple[Request, Request]]] = {
    "webhook": lambda of: (
        ("PATCH", of["webhook"], {"status": "disabled"}),
        ("PATCH", of["webhook"], {"status": "active"}),
    ),
    "webhook that is deleted": lambda of: (
        ("DELETE", of["webhook"], {}),
        ("PATCH", of["webhook"], {"status": "disabled"}),
    ),
    "connection": lambda of: (
        ("PUT", of["connection"], {"name": "one"}),
        ("PUT", of["connection"], {"name": "other"}),
    ),
    "connection that is deleted": lambda of: (
        ("DELETE", of["connection"], {}),
        ("PUT", of["connection"], {"name": "other"}),
    ),
    "limits": lambda of: (("PUT", of["limits"], {"concurrent": 2}), ("PUT", of["limits"], {"per_hour": 3})),
    "limits and their connection": lambda of: (
        ("PUT", of["limits"], {"concurrent": 2}),
        ("PUT", of["connection"], {"name": "other"}),
    ),
    "sync config": lambda of: (
        ("PUT", of["config"], {"interval_seconds": 60}),
        ("PUT", of["config"], {"status": "paused"}),
    ),
    "binding": lambda of: (
        ("PUT", of["binding"], {"roles": roles_of(of), "options": {"inventory_seconds": 60}}),
        ("PUT", of["binding"], {"roles": roles_of(of), "options": {"inventory_seconds": 90}}),
    ),
}


@pytest.mark.parametrize("what", RACES)
def test_of_two_changes_at_once_one_wins(
    admin: Caller, of_acme_in_use: dict[str, str], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The other request goes through after the first one has compared its version and before it writes."""
    first, other = RACES[what](of_acme_in_use)
    place, query = first[1].partition("?")[::2]
    read = admin("GET", f"{place}?{query}").headers["ETag"]
    compare, between = versions.require, []

    def send(request: Request) -> int:
        method, path, body = request
        asked = {} if method == "DELETE" else {"json": body}
        return admin(method, path, headers={"If-Match": read}, **asked).status_code

    def compare_then_others(*version: Any) -> None:
        compare(*version)
        if not between:
            between.append(0)
            between[0] = send(other)

    monkeypatch.setattr(versions, "require", compare_then_others)

    assert (send(first), between) == (412, [200])
    assert admin("GET", f"{place}?{query}").headers["ETag"] != read


def test_a_transaction_that_has_read_a_version_changes_no_later_one(
    admin: Caller, services: Services, of_acme_in_use: dict[str, str], of_acme: dict[str, str]
) -> None:
    """The statement that writes compares it, for others may write after it was read."""
    webhook = of_acme_in_use["webhook"].rpartition("/")[2]
    with services.store.read() as uow:
        kept = uow.subscriptions.get("acme", webhook)
        connection = uow.connections.get("acme", of_acme["books"])
    assert kept is not None
    assert connection is not None
    with services.store.begin() as uow:
        subscriptions.change(services, uow, ADA, "acme", webhook, status="disabled", expected_version=1)
        connections.pause(services, uow, ADA, "acme", of_acme["books"])

    with services.store.begin() as uow:
        assert uow.subscriptions.change(kept.subscription, sealed=kept.sealed) is False
        assert uow.subscriptions.delete(kept.subscription) is False
        assert uow.connections.delete(of_acme["books"], version=connection.connection.version) is None
        with pytest.raises(SubscriptionChangedError):
            subscriptions.change(services, uow, ADA, "acme", webhook, status="active", expected_version=1)
        with pytest.raises(SubscriptionChangedError):
            subscriptions.delete(uow, ADA, "acme", webhook, expected_version=1)
        with pytest.raises(ConnectionChangedError):
            connections.delete(services, uow, ADA, "acme", of_acme["books"], expected_version=1)
    assert admin("GET", of_acme_in_use["connection"]).status_code == 200
