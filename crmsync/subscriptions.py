"""Operations on webhooks with separate addresses, and what they require. A secret is shown only once."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

from crmsync import connections
from crmsync.connectors import registry
from crmsync.connectors.doors import Door
from crmsync.connectors.system import System
from crmsync.domain.audit import Act
from crmsync.domain.subscriptions import (
    OVERLAP,
    SECRET_LENGTH_MAX,
    SECRET_LENGTH_MIN,
    TELLS,
    InvalidSubscriptionError,
    Secrets,
    Subscription,
    SubscriptionChangedError,
    SubscriptionStatus,
    UnknownSubscriptionError,
    new_id,
    problems_of,
    seal_of,
)
from crmsync.environment import Secret
from crmsync.errors import NoDoorError, ProcessFaultError
from crmsync.services import Services
from crmsync.store import UnitOfWork
from crmsync.store.subscriptions import KeptSubscription

OBJECT = "webhook"
_MADE_SECRET_BYTES = 32


# -- to read


def show(uow: UnitOfWork, tenant: str | None, webhook_id: str) -> Subscription:
    """One webhook as it is now. Raises: UnknownSubscriptionError."""
    return _kept(uow, tenant, webhook_id).subscription


def address_of(of: Subscription, base: str) -> str:
    """The address to which its system has to send. *base* is the address of the receiver, as its system reaches it."""
    return f"{base.rstrip('/')}/api/erp/webhooks/{of.id}/receive"


# -- to make and change


def create(
    using: Services,
    uow: UnitOfWork,
    act: Act,
    tenant: str | None,
    connection_id: str,
    *,
    door: str = "",
    events: Sequence[str] | None = None,
    entity_types: Sequence[str] | None = None,
    secret: str = "",
) -> tuple[Subscription, str]:
    """Make a webhook for a *door* of a connection, or its only one.

    Returns it with its secret, made where none is given.

    Raises: UnknownConnectionError; InvalidSubscriptionError, by name.
    """
    of = connections.show(using, tenant, connection_id)
    found = _door(registry.system_named(of.system), door)
    entity, event = TELLS[found.announces]
    _raise({**problems_of(found.announces, events, entity_types), **_problem_of_secret(secret)})
    made = Subscription(
        id=new_id(),
        tenant=of.tenant,
        connection=of.id,
        door=found.name,
        events=tuple(events or [event]),
        entity_types=tuple(entity_types or [entity]),
    )
    secret = secret or secrets.token_urlsafe(_MADE_SECRET_BYTES)
    uow.subscriptions.add(made, sealed=using.vault.seal_for(Secrets(secret).text(), seal_of(made)))
    uow.audit.add(act, "create", OBJECT, made.id, tenant=made.tenant, after=_audited(made))
    return show(uow, None, made.id), secret


def change(
    using: Services,
    uow: UnitOfWork,
    act: Act,
    tenant: str | None,
    webhook_id: str,
    *,
    events: Sequence[str] | None = None,
    entity_types: Sequence[str] | None = None,
    status: str | None = None,
    expected_version: int | None = None,
) -> Subscription:
    """What is None stays. With an *expected_version* nothing is changed that is not as it was then.

    Raises: UnknownSubscriptionError, SubscriptionChangedError; InvalidSubscriptionError, by name;
    UnknownConnectionError if other events are asked for and its connection is gone.
    """
    kept = _kept(uow, tenant, webhook_id)
    before = kept.subscription
    _require_version(before, expected_version)
    if events is not None or entity_types is not None:
        of = connections.show(using, None, before.connection)
        door = _door(registry.system_named(of.system), before.door)
        _raise(problems_of(door.announces, events, entity_types))
    changed = replace(
        before,
        events=before.events if events is None else tuple(events),
        entity_types=before.entity_types if entity_types is None else tuple(entity_types),
        status=before.status if status is None else SubscriptionStatus(status),
    )
    return _write(uow, act, "update", before, changed, kept.sealed)


def rotate(
    using: Services,
    uow: UnitOfWork,
    act: Act,
    tenant: str | None,
    webhook_id: str,
    *,
    secret: str = "",
    overlap: timedelta = OVERLAP,
) -> tuple[Subscription, str]:
    """Another secret, made where none is given; the one of before stays good for *overlap*. Raises: as change()."""
    kept = _kept(uow, tenant, webhook_id)
    before, held = kept.subscription, _opened(using, kept)
    _raise(_problem_of_secret(secret))
    secret = secret or secrets.token_urlsafe(_MADE_SECRET_BYTES)
    changed = replace(before, previous_until=uow.now + overlap)
    sealed = using.vault.seal_for(Secrets(secret, held.current).text(), seal_of(before))
    return _write(uow, act, "rotate", before, changed, sealed), secret


def delete(
    uow: UnitOfWork, act: Act, tenant: str | None, webhook_id: str, *, expected_version: int | None = None
) -> Subscription:
    """Delete a webhook. Raises: UnknownSubscriptionError, SubscriptionChangedError."""
    before = show(uow, tenant, webhook_id)
    _require_version(before, expected_version)
    if not uow.subscriptions.delete(before):
        raise SubscriptionChangedError
    uow.audit.add(act, "delete", OBJECT, before.id, tenant=before.tenant, before=_audited(before))
    return before


# -- at the door


def opening(using: Services, webhook_id: str) -> tuple[Subscription, Door, Any]:
    """The door of a webhook's address, and settings that only its own secrets open. Raises: NoDoorError."""
    with using.store.read() as uow:
        kept, now = uow.subscriptions.get(None, webhook_id), uow.now
    if kept is None or kept.subscription.status is not SubscriptionStatus.ACTIVE:
        raise NoDoorError
    of = kept.subscription
    if not using.book.is_known(of.connection):
        raise NoDoorError
    known = using.book.get(of.connection)
    door = _door(known.system, of.door)
    held = _opened(using, kept).valid(of.previous_until, now)
    return of, door, _with_own_secrets(known.system, door, known.settings, held)


def _with_own_secrets(system: System, door: Door, settings: Any, held: Secrets) -> Any:
    """*settings* whose doors know these secrets, and none of the connection's own."""
    name = next(each.name for each in system.declared if each.variable == door.secrets[0])
    known = {each.name for each in fields(settings)}
    none = {each.name: None for each in system.declared if each.is_of_a_door}
    own = {name: Secret(held.current)}
    if held.previous and f"{name}_previous" in known:
        own[f"{name}_previous"] = Secret(held.previous)
    return replace(settings, **{**none, **own})


# -- parts


def _door(system: System, name: str) -> Door:
    """Raises: InvalidSubscriptionError."""
    found = [each for each in system.doors if name in ("", each.name)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(each.name for each in system.doors)
    told = f"expected one of {names}" if names else f"{system.title} has none"
    raise InvalidSubscriptionError(field_errors={"door": told})


def _kept(uow: UnitOfWork, tenant: str | None, webhook_id: str) -> KeptSubscription:
    """Raises: UnknownSubscriptionError."""
    kept = uow.subscriptions.get(tenant, webhook_id)
    if kept is None:
        raise UnknownSubscriptionError(f"There is no webhook {webhook_id}.")
    return kept


def _opened(using: Services, kept: KeptSubscription) -> Secrets:
    """Raises: ProcessFaultError."""
    text = using.vault.open_for(kept.sealed, seal_of(kept.subscription))
    if text is None:
        raise ProcessFaultError(f"The secret of the webhook {kept.subscription.id} can't be opened.")
    return Secrets.of(text)


def _require_version(before: Subscription, expected: int | None) -> None:
    """Raises: SubscriptionChangedError. What changes it later still is found by the statement that writes."""
    if expected is not None and expected != before.version:
        raise SubscriptionChangedError


def _write(
    uow: UnitOfWork, act: Act, verb: str, before: Subscription, changed: Subscription, sealed: str
) -> Subscription:
    if not uow.subscriptions.change(changed, sealed=sealed):
        raise SubscriptionChangedError
    uow.audit.add(
        act, verb, OBJECT, changed.id, tenant=changed.tenant, before=_audited(before), after=_audited(changed)
    )
    return show(uow, None, changed.id)


def _problem_of_secret(secret: str) -> dict[str, str]:
    is_right = not secret or (SECRET_LENGTH_MIN <= len(secret) <= SECRET_LENGTH_MAX and secret.isascii())
    return {} if is_right else {"secret": f"expected {SECRET_LENGTH_MIN} to {SECRET_LENGTH_MAX} ASCII characters"}


def _raise(problems: Mapping[str, str]) -> None:
    """Raises: InvalidSubscriptionError, if there are any."""
    if problems:
        raise InvalidSubscriptionError(field_errors=problems)


def _audited(of: Subscription) -> dict[str, Any]:
    return {
        "connection": of.connection,
        "door": of.door,
        "events": list(of.events),
        "entity_types": list(of.entity_types),
        "status": of.status.value,
    }
