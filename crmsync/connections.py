"""Operations on connections, shared by the API and the command line: each verb is one function.

*tenant* is whose connections are meant, None for everybody's; who acts is said by an Act, and stands in the audit.
What changes something does it in the transaction of the caller.
No secret is ever returned, but one that was made here, once.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from crmsync import connection_values as values
from crmsync.connection_book import belonging
from crmsync.connectors import registry
from crmsync.connectors.system import System
from crmsync.domain.accounts import Claim
from crmsync.domain.audit import Act
from crmsync.domain.bindings import Binding
from crmsync.domain.connections import (
    Connection,
    ConnectionChangedError,
    ConnectionInUseError,
    ConsentMissingError,
    InvalidConnectionError,
    NameTakenError,
    OtherAccountRefusedError,
    ReadOnlyConnectionError,
    Status,
    UnknownConnectionError,
    Wanted,
    problem_of_tenant,
    problems_of,
    refusal_of_account,
    secrets_text,
    secrets_to_give_again,
)
from crmsync.errors import ProcessFaultError
from crmsync.services import Services
from crmsync.store import UnitOfWork
from crmsync.store.connections import Kept
from crmsync.store.keys import key_id_of
from crmsync.store.resealing import Resealed

OBJECT = "connection"
_MADE_SECRET_BYTES = 32
_OR_FORCE = "Settle its runs and bind its flows to another connection, or force the deletion."
_SEALED_AGAIN = "must be given again, because the address that it is sent to has changed"


# -- to read


def all_of(
    using: Services, tenant: str | None, *, system: str | None = None, status: str | None = None
) -> list[Connection]:
    """The connections of a tenant, None: of all; those of the environment first."""
    with using.store.read() as uow:
        kept = uow.connections.all(tenant)
    own = [each for each in using.book.environment() if tenant in (None, each.tenant)]
    found = [*own, *kept]
    return [each for each in found if system in (None, each.system) and status in (None, each.status.value)]


def show(using: Services, tenant: str | None, connection_id: str) -> Connection:
    """One connection as it is now. Raises: UnknownConnectionError."""
    own = _of_environment(using, tenant, connection_id)
    if own is not None:
        return own
    with using.store.read() as uow:
        return _found(uow, tenant, connection_id).connection


# -- to make and change


def create(using: Services, uow: UnitOfWork, act: Act, tenant: str, system: str, wanted: Wanted) -> Connection:
    """Make a connection. Raises: InvalidConnectionError, with what is wrong by name; NameTakenError."""
    of = _installed(system)
    settings, given = values.apart(of, wanted)
    may = {"allow_http": using.settings.allow_http}
    problems = {**values.problems(of, {**settings, **given}, **may), **problems_of(wanted, of.auth_kinds)}
    if problem := problem_of_tenant(tenant):
        problems["tenant_id"] = problem
    if wanted.name is None:
        problems["name"] = "is missing"
    _raise(problems)
    settings = values.normal(of, settings, given, **may)
    made = values.made(of, tenant, wanted, settings, given)
    sealed = using.vault.seal_for(secrets_text(given), belonging(made, of))
    if not uow.connections.add(made, sealed=sealed, key_id=key_id_of(sealed)):
        raise NameTakenError(f"There is a connection {made.name} already.", field_errors={"name": "is taken"})
    _audit(uow, act, "create", made, after=_audited(made))
    return _now(using, uow, made.id)


def update(
    using: Services,
    uow: UnitOfWork,
    act: Act,
    tenant: str | None,
    connection_id: str,
    wanted: Wanted,
    *,
    expected_version: int | None = None,
    is_same_account: bool = False,
) -> Connection:
    """What *wanted* leaves out stays; settings are replaced as a whole, secrets one by one.

    *is_same_account*: a person says that the account has got another address, and is the one that is remembered.
    Raises: UnknownConnectionError, ReadOnlyConnectionError, ConnectionChangedError, InvalidConnectionError,
    NameTakenError, OtherAccountRefusedError.
    """
    kept = kept_one(using, uow, tenant, connection_id)
    before, of = kept.connection, _installed(kept.connection.system)
    _require_version(before, expected_version)
    settings, given = values.apart(of, wanted, before=before)
    secrets_now = values.secrets_now(using.book.opened(kept), given, wanted)
    may = {"allow_http": using.settings.allow_http}
    problems = {**values.problems(of, {**settings, **secrets_now}, **may), **problems_of(wanted, of.auth_kinds)}
    _raise({**values.consent_taken_away(of, before, {**settings, **secrets_now}), **problems})
    settings = values.normal(of, settings, secrets_now, **may)
    again = secrets_to_give_again(of.addresses_of(before.settings), of.addresses_of(settings), secrets_now, given)
    _raise(dict.fromkeys(again, _SEALED_AGAIN))
    changed = values.changed(before, wanted, of, settings, secrets_now)
    claim = values.claim(of, {**settings, **secrets_now}, **may)
    _keep_to_account(using, uow, changed.id, claim, is_same_account=is_same_account)
    _change(uow, changed, using.vault.seal_for(secrets_text(secrets_now), belonging(changed, of)))
    _audit(uow, act, "update", changed, before=_audited(before), after=_audited(changed))
    return _now(using, uow, changed.id)


def rotate(
    using: Services,
    uow: UnitOfWork,
    act: Act,
    tenant: str | None,
    connection_id: str,
    given: Mapping[str, str],
    *,
    made: Collection[str] = (),
    expected_version: int | None = None,
) -> tuple[Connection, dict[str, str]]:
    """Replace secrets: by those that are *given*, and those of doors that are *made* here and returned this once.

    A door's secret of before stays good, as the previous one, until the next rotation.
    Raises: as update().
    """
    kept = kept_one(using, uow, tenant, connection_id)
    of = _installed(kept.connection.system)
    own = {name: secrets.token_urlsafe(_MADE_SECRET_BYTES) for name in made}
    not_of_doors = set(own) - {each.name for each in of.declared if each.is_of_a_door}
    _raise(dict.fromkeys(not_of_doors, "is issued by the system: it can't be generated here"))
    following = {**given, **own}
    held = using.book.opened(kept)
    known = {each.name for each in of.declared}
    previous = {f"{name}_previous": held[name] for name in following if name in held and f"{name}_previous" in known}
    wanted = Wanted(secrets={**previous, **following})
    changed = update(using, uow, act, tenant, connection_id, wanted, expected_version=expected_version)
    return changed, own


def pause(
    using: Services,
    uow: UnitOfWork,
    act: Act,
    tenant: str | None,
    connection_id: str,
    *,
    expected_version: int | None = None,
) -> Connection:
    """Pause it: its runs wait from now on, and no attempt of them is counted. Raises: as update()."""
    return _set_status(using, uow, act, "pause", Status.INACTIVE, tenant, connection_id, expected_version)


def resume(
    using: Services,
    uow: UnitOfWork,
    act: Act,
    tenant: str | None,
    connection_id: str,
    *,
    expected_version: int | None = None,
) -> Connection:
    """End the pause: its runs go on. Raises: as update(), and ConsentMissingError."""
    return _set_status(using, uow, act, "resume", Status.ACTIVE, tenant, connection_id, expected_version)


def consented(
    using: Services,
    uow: UnitOfWork,
    act: Act,
    tenant: str,
    connection_id: str,
    given: Mapping[str, str],
    *,
    expected_version: int,
) -> Connection:
    """Keep what consent has brought: the connection works from now on, unless a person had paused it before.

    Raises: as update().
    """
    kept = kept_one(using, uow, tenant, connection_id)
    before, of = kept.connection, _installed(kept.connection.system)
    _require_version(before, expected_version)
    held = using.book.opened(kept)
    is_paused = before.status is Status.INACTIVE and not of.awaits_consent({**before.settings, **held})
    status = Status.INACTIVE if is_paused else Status.ACTIVE
    changed = replace(before, status=status, secret_names=tuple(sorted({**held, **given})))
    _change(uow, changed, using.vault.seal_for(secrets_text({**held, **given}), belonging(changed, of)))
    _audit(uow, act, "consent", changed, before=_audited(before), after={**_audited(changed), "status": status.value})
    return _now(using, uow, changed.id)


def delete(
    using: Services,
    uow: UnitOfWork,
    act: Act,
    tenant: str | None,
    connection_id: str,
    *,
    expected_version: int | None = None,
    is_forced: bool = False,
) -> dict[str, int]:
    """Delete it with everything that is remembered of it. Returns how many rows of each table went.

    Raises: UnknownConnectionError, ReadOnlyConnectionError, ConnectionChangedError; ConnectionInUseError where a flow
    is bound to it or a run that is not over needs it, unless it is forced.
    """
    before = kept_one(using, uow, tenant, connection_id).connection
    _require_version(before, expected_version)
    count = uow.connections.open_runs(before.id)
    bound = [each for each in uow.bindings.all(before.tenant) if before.id in each.roles.values()]
    if (count or bound) and not is_forced:
        raise ConnectionInUseError(f"{before.name} can't be deleted: {_needed_by(count, bound)}.", advice=_OR_FORCE)
    for each in bound:
        uow.bindings.remove(each)
    gone = uow.connections.delete(before.id, version=before.version)
    if gone is None:
        raise ConnectionChangedError
    _audit(uow, act, "delete", before, before=_audited(before), after={"open_runs": count, "gone": gone})
    using.book.forget(before.id)
    using.companies.forget()
    return gone


def _needed_by(count: int, bound: Sequence[Binding]) -> str:
    flows = " and ".join(dict.fromkeys(each.flow for each in bound))
    runs = "1 run that is not over needs it" if count == 1 else f"{count} runs that are not over need it"
    return "; ".join([*([f"it is bound to {flows}"] if bound else []), *([runs] if count else [])])


# -- the key


def reseal(using: Services) -> Resealed:
    """Seal the secrets of all connections with the present key. What no key opens is left."""
    total = Resealed()
    with using.store.read() as uow:
        found = uow.connections.all_kept()
    for kept in found:
        total += _resealed(using, kept)
    return total


def _resealed(using: Services, kept: Kept) -> Resealed:
    if key_id_of(kept.sealed) == using.vault.ring.ids[0]:
        return Resealed(sealed=1)
    try:
        text = secrets_text(using.book.opened(kept))
    except ProcessFaultError:
        return Resealed(unreadable=1)
    of = kept.connection
    sealed = using.vault.seal_for(text, belonging(of, registry.system_named(of.system)))
    with using.store.begin() as uow:
        uow.connections.reseal(of.id, was=kept.sealed, sealed=sealed, key_id=key_id_of(sealed))
    return Resealed(sealed=1)


# -- parts


def _of_environment(using: Services, tenant: str | None, connection_id: str) -> Connection | None:
    own = (each for each in using.book.environment() if each.id == connection_id and tenant in (None, each.tenant))
    return next(own, None)


def kept_one(using: Services, uow: UnitOfWork, tenant: str | None, connection_id: str) -> Kept:
    """The row of a connection that can be changed.

    Raises: UnknownConnectionError; ReadOnlyConnectionError for one of the environment.
    """
    if _of_environment(using, tenant, connection_id) is not None:
        variables = registry.system(connection_id).prefixes[0]
        advice = f"Change its variables, {variables}…, and restart every process."
        raise ReadOnlyConnectionError(f"{connection_id} is configured by the environment.", advice=advice)
    return _found(uow, tenant, connection_id)


def _found(uow: UnitOfWork, tenant: str | None, connection_id: str) -> Kept:
    """Raises: UnknownConnectionError."""
    kept = uow.connections.get(tenant, connection_id)
    if kept is None:
        raise UnknownConnectionError(f"There is no connection {connection_id}.")
    return kept


def _now(using: Services, uow: UnitOfWork, connection_id: str) -> Connection:
    """As it has just been written; this process believes nothing older."""
    using.book.forget(connection_id)
    return _found(uow, None, connection_id).connection


def _installed(system: str) -> System:
    """Raises: InvalidConnectionError."""
    found = registry.systems().get(system)
    if found is None:
        expected = f"expected {', '.join(registry.systems())}"
        raise InvalidConnectionError("There is no such system.", field_errors={"erp_system": expected})
    return found


def _raise(problems: Mapping[str, str]) -> None:
    """Raises: InvalidConnectionError, if there are any."""
    if problems:
        raise InvalidConnectionError(field_errors=problems)


def _require_version(before: Connection, expected: int | None) -> None:
    """Raises: ConnectionChangedError."""
    if expected is not None and expected != before.version:
        raise ConnectionChangedError


def _keep_to_account(
    using: Services, uow: UnitOfWork, connection_id: str, claim: Claim, *, is_same_account: bool
) -> None:
    """Raises: OtherAccountRefusedError, unless a person says that it is the same one."""
    known = uow.accounts.get(connection_id)
    refused = refusal_of_account(claim, known.identity if known else "")
    if refused and not is_same_account:
        advice = "Make a new connection for it; or say that it is the same account, which has another address now."
        raise OtherAccountRefusedError(refused, advice=advice)
    if refused:
        uow.accounts.adopt(connection_id, identity=claim.identity, credentials=using.vault.mark(claim.signs_in_with()))


def _change(uow: UnitOfWork, changed: Connection, sealed: str) -> None:
    """Raises: ConnectionChangedError; NameTakenError."""
    other = uow.connections.named(changed.tenant, changed.name)
    if other is not None and other != changed.id:
        raise NameTakenError(f"There is a connection {changed.name} already.", field_errors={"name": "is taken"})
    if not uow.connections.change(changed, sealed=sealed, key_id=key_id_of(sealed)):
        raise ConnectionChangedError
    if not changed.why_not_now:  # it may have been until now: what waits for it goes on
        uow.breakers.release_waiting()


def _set_status(
    using: Services,
    uow: UnitOfWork,
    act: Act,
    verb: str,
    status: Status,
    tenant: str | None,
    connection_id: str,
    expected_version: int | None,
) -> Connection:
    kept = kept_one(using, uow, tenant, connection_id)
    before, of = kept.connection, _installed(kept.connection.system)
    _require_version(before, expected_version)
    if status is Status.ACTIVE and of.awaits_consent({**before.settings, **dict.fromkeys(before.secret_names, "***")}):
        advice = f"Let somebody who may consent do so: `crmsync connections authorize {before.id}`."
        raise ConsentMissingError(f"Nobody has let crmsync into {before.name} yet.", advice=advice)
    changed = replace(before, status=status)
    _change(uow, changed, kept.sealed)
    _audit(uow, act, verb, changed, before={"status": before.status.value}, after={"status": status.value})
    return _now(using, uow, connection_id)


def _audited(of: Connection) -> dict[str, Any]:
    """What the audit keeps of it: which secrets are set, and none of them."""
    return {
        "name": of.name,
        "system": of.system,
        "settings": dict(of.settings),
        "are_set": list(of.secret_names),
        "sync_enabled": of.sync_enabled,
        "interval_seconds": of.interval_seconds,
        "direction": of.direction.value,
    }


def _audit(
    uow: UnitOfWork,
    act: Act,
    verb: str,
    of: Connection,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    uow.audit.add(act, verb, OBJECT, of.id, tenant=of.tenant, before=before or {}, after=after or {})
