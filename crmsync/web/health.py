"""Health checks for load balancers, orchestrators and people: is the process alive, and can it work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, current_app, jsonify
from flask.blueprints import BlueprintSetupState
from sqlalchemy.exc import SQLAlchemyError

from crmsync import broker
from crmsync.company import default_roles
from crmsync.connectors import registry
from crmsync.domain.breaker import Breaker
from crmsync.errors import StoreUnavailableError
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.store import Store, UnitOfWork, schema
from crmsync.web import paths
from crmsync.web.context import services_of_app
from crmsync.web.kept import Kept
from crmsync.worker import watch

blueprint = Blueprint("health", __name__)

KEPT_SECONDS = 1.0  # anybody may ask, and as often as they like

Check = Mapping[str, Any]  # "status" is "ok", or what is not; "reason" says why

_NONE: Check = {"status": "unknown", "active": 0, "down": []}
_NOBODY_ELSES = ("slack", "connections")
_UNKNOWN: Check = {"status": "unknown", "reason": "the database does not answer"}


@blueprint.record_once
def _prepare(state: BlueprintSetupState) -> None:
    services = state.app.extensions["crmsync"]
    state.app.extensions["crmsync_checks"] = Kept(
        lambda: check_all(services), seconds=KEPT_SECONDS, clock=services.store.clock
    )


@blueprint.get("/healthz")
def alive() -> Response:
    """The process answers; nothing else is asked."""
    return _uncached({"status": "alive"})


@blueprint.get("/readyz")
def ready() -> tuple[Response, int]:
    """Each dependency, OK or why not. 503 without the store, and where nobody takes runs.

    In the second case webhooks are still kept: let /healthz decide where they are sent, and this page whom to alarm.
    """
    kept: Kept[dict[str, Check]] = current_app.extensions["crmsync_checks"]
    checks = kept.get()
    overall = _overall(checks)
    body = {"status": overall, "checks": checks}
    if paths.is_public_port(services_of_app().settings):
        del body["checks"]  # strangers need not know what we are made of
    return _uncached(body), 503 if overall == "not ready" else 200


def check_all(services: Services) -> dict[str, Check]:
    """Every check of /readyz. No vendor is called, and no address or secret is shown."""
    settings = services.settings
    store = _store(services.store)
    breakers = _breakers(services) if store["status"] == "ok" else {}
    made = _made(services, breakers) if store["status"] == "ok" else _NONE
    bound = () if made["active"] and not settings.systems else default_roles(settings.systems).values()
    return {
        "store": store,
        "broker": _broker(settings),
        "workers": _workers(services) if store["status"] == "ok" else _UNKNOWN,
        **{name: _system(name, settings, breakers.get(name)) for name in registry.in_use(settings, bound)},
        "connections": made,
        "slack": {"status": "ok" if settings.slack.is_on else "off"},
    }


def _store(store: Store) -> Check:
    """Whether it answers, has our tables, and can write: a standby answers too."""
    try:
        version = schema.current(store)
        if version != schema.HEAD:
            reason = f"the schema is {version or 'empty'}, this release needs {schema.HEAD}"
            return {"status": "down", "reason": reason, "schema": version}
        store.check_writable()
        with store.read() as uow:
            return {"status": "ok", "schema": version, **_waiting(uow)}
    except StoreUnavailableError as error:
        return {"status": "down", "reason": str(error)}
    except SQLAlchemyError:
        return {"status": "down", "reason": "the database does not answer"}


def _waiting(uow: UnitOfWork) -> Check:
    oldest = uow.due.oldest(None) or uow.now
    return {
        "dead_letters_waiting": uow.dead_letters.waiting_count(None),
        "oldest_due_seconds": round((uow.now - oldest).total_seconds(), 1),
    }


def _workers(services: Services) -> Check:
    try:
        with services.store.read() as uow:
            reason = watch.idle_reason(uow, services.settings)
    except (StoreUnavailableError, SQLAlchemyError):
        return _UNKNOWN
    if not reason:
        return {"status": "ok"}
    return {"status": "down", "reason": f"{reason}; webhooks are kept and their runs start when one does"}


def _broker(settings: Settings) -> Check:
    reason = broker.problem(settings)
    if reason is None:
        return {"status": "ok"}
    return {"status": "down", "reason": f"{reason}; webhooks are kept and their runs start when it is back"}


def _breakers(services: Services) -> dict[str, Breaker]:
    try:
        with services.store.read() as uow:
            return {breaker.connection: breaker for breaker in uow.breakers.all(None)}
    except (StoreUnavailableError, SQLAlchemyError):
        return {}


def _system(connection: str, settings: Settings, breaker: Breaker | None) -> Check:
    """As the last calls found it."""
    if not registry.is_configured(connection, settings):
        return {"status": "not configured", "reason": "docs/configuration.md lists its variables"}
    if breaker is None or not breaker.is_open:
        return {"status": "ok"}
    reason = "it refuses the account, or something that it was asked" if breaker.reason else "it does not answer"
    return {"status": "down", "reason": f"{reason}; runs that need it wait, and go on by themselves"}


def _made(services: Services, breakers: Mapping[str, Breaker]) -> Check:
    """The stored connections that work: how many, and the ids of those whose system can't be used now."""
    try:
        with services.store.read() as uow:
            active = [each.id for each in uow.connections.all(None) if not each.why_not_now]
    except (StoreUnavailableError, SQLAlchemyError):
        return _NONE
    down = [each for each in active if each in breakers and breakers[each].is_open]
    return {"status": "down" if down else "ok", "active": len(active), "down": down}


def _overall(checks: Mapping[str, Check]) -> str:
    """Slack is a choice: without it alerts go to the log and the control tower.

    A stored connection that is down is a matter of its own company: the others can work.
    """
    if checks["store"]["status"] != "ok" or checks["workers"]["status"] == "down":
        return "not ready"
    needed = [check["status"] for name, check in checks.items() if name not in _NOBODY_ELSES]
    return "ready" if set(needed) == {"ok"} else "degraded"


def _uncached(body: Mapping[str, Any]) -> Response:
    response = jsonify(body)
    response.headers["Cache-Control"] = "no-store"
    return response
