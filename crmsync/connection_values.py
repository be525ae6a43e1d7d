"""The settings and secrets that users give for a connection, validated and normalised, and what they make of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from crmsync.connectors.system import System
from crmsync.domain.accounts import Claim
from crmsync.domain.connections import Connection, Direction, Status, Wanted, new_id


def apart(of: System, wanted: Wanted, *, before: Connection | None = None) -> tuple[dict[str, Any], dict[str, str]]:
    """The settings without secrets, as they are to be, and the secrets that are given; either may stand in settings."""
    are_secret = {each.name for each in of.declared if each.is_secret}
    if wanted.settings is None:
        settings = dict(before.settings) if before else {}
    else:
        settings = {name: value for name, value in wanted.settings.items() if value is not None}
    given = {name: value for name, value in settings.items() if name in are_secret}
    plain = {name: value for name, value in settings.items() if name not in are_secret}
    if wanted.auth_kind is not None and of.auth_setting:
        plain[of.auth_setting] = wanted.auth_kind
    return plain, {**given, **{name: value for name, value in wanted.secrets.items() if value}}


def secrets_now(held: Mapping[str, str], given: Mapping[str, str], wanted: Wanted) -> dict[str, str]:
    """The secrets that there are after the change: a null takes one away, and what is not named stays."""
    taken_away = [
        name for values in (wanted.settings or {}, wanted.secrets) for name, value in values.items() if not value
    ]
    found = {**held, **given, **dict.fromkeys(taken_away, "")}
    return {name: value for name, value in found.items() if value}


def problems(of: System, values: Mapping[str, Any], *, allow_http: bool) -> dict[str, str]:
    """What is wrong, by name; what consent in the browser brings may be missing."""
    return of.read_row(values, allow_http=allow_http)[1]


def claim(of: System, values: Mapping[str, Any], *, allow_http: bool) -> Claim:
    """What *values*, which are right, say of the account."""
    return of.claim(of.read_mapping(values, allow_http=allow_http)[0])


def normal(of: System, settings: Mapping[str, Any], given: Mapping[str, str], *, allow_http: bool) -> dict[str, Any]:
    """*settings* as they are kept, however they were written: numbers as numbers, lists as lists."""
    found, _ = of.read_mapping({**settings, **given}, allow_http=allow_http)
    values = {name: getattr(found, name) for name in settings}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def consent_taken_away(of: System, before: Connection, values_now: Mapping[str, Any]) -> dict[str, str]:
    """What consent has brought may be replaced, and not removed: the connection would not work any more."""
    secret = of.consent.secret if of.consent is not None else ""
    return {secret: "is missing"} if secret in before.secret_names and of.awaits_consent(values_now) else {}


def made(of: System, tenant: str, wanted: Wanted, settings: Mapping[str, Any], given: Mapping[str, str]) -> Connection:
    """A new connection of *tenant*; *wanted*, *settings* and the secrets *given* are right."""
    return Connection(
        id=new_id(),
        tenant=tenant,
        system=of.name,
        name=(wanted.name or "").strip(),
        auth_kind=of.auth_kind_of(settings),
        settings=settings,
        sync_enabled=wanted.sync_enabled is not False,
        interval_seconds=wanted.interval_seconds,
        direction=Direction(wanted.direction or Direction.BIDIRECTIONAL),
        secret_names=tuple(sorted(given)),
        status=Status.INACTIVE if of.awaits_consent({**settings, **given}) else Status.ACTIVE,
    )


def changed(
    before: Connection, wanted: Wanted, of: System, settings: Mapping[str, Any], secrets_now: Mapping[str, str]
) -> Connection:
    """*before* with all that *wanted* names; it waits for consent where its secrets lack that now."""
    return replace(
        before,
        name=before.name if wanted.name is None else wanted.name.strip(),
        auth_kind=of.auth_kind_of(settings),
        settings=settings,
        sync_enabled=before.sync_enabled if wanted.sync_enabled is None else wanted.sync_enabled,
        interval_seconds=before.interval_seconds if wanted.interval_seconds is None else wanted.interval_seconds,
        direction=before.direction if wanted.direction is None else Direction(wanted.direction),
        secret_names=tuple(sorted(secrets_now)),
        status=Status.INACTIVE if of.awaits_consent({**settings, **secrets_now}) else before.status,
    )
