"""Operations on bindings, shared by the API and the command line: which connection fills which role in a flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from crmsync.connections import all_of as all_connections
from crmsync.connectors import registry
from crmsync.domain.access import DEFAULT_TENANT
from crmsync.domain.audit import Act
from crmsync.domain.bindings import (
    FLOWS,
    NEEDS,
    Binding,
    BindingChangedError,
    InvalidBindingError,
    UnknownBindingError,
    completed,
    problems_of,
)
from crmsync.errors import ConfigurationError
from crmsync.options import Options, read_options
from crmsync.services import Services
from crmsync.store import UnitOfWork

OBJECT = "binding"


def all_of(using: Services, tenant: str | None) -> list[Binding]:
    """The bindings of one tenant, or of all; what the environment implies has version 0."""
    with using.store.read() as uow:
        kept = uow.bindings.all(tenant)
    said = {each.flow for each in kept if each.tenant == DEFAULT_TENANT}
    implied = [_implied(using, flow) for flow in FLOWS if flow not in said and tenant in (None, DEFAULT_TENANT)]
    return [*implied, *kept]


def show(using: Services, tenant: str, flow: str) -> list[Binding]:
    """One for each source. Raises: UnknownBindingError where the flow is not bound."""
    found = [each for each in all_of(using, tenant) if each.flow == flow]
    if not found:
        raise UnknownBindingError(f"The flow {flow} is not bound for {tenant}.")
    return found


def put(
    using: Services,
    uow: UnitOfWork,
    act: Act,
    tenant: str,
    flow: str,
    roles: Mapping[str, str],
    *,
    options: Mapping[str, Any] | None = None,
    expected_version: int | None = None,
) -> Binding:
    """Bind *flow* for the source that *roles* name, or bind it anew. Options that are not said stay.

    Raises: InvalidBindingError, by name; BindingChangedError.
    """
    systems = registry.systems()
    offered = {each.id: systems[each.system].roles for each in all_connections(using, tenant) if each.system in systems}
    roles = completed(flow, roles, offered)
    problems = problems_of(flow, roles, offered) or _unfit(using, flow, roles)
    if problems := problems | _problems_of_options(options or {}):
        raise InvalidBindingError(field_errors=problems)
    wanted = Binding(tenant, flow, roles[NEEDS[flow][0]], dict(roles))
    before = _of_source(uow, wanted)
    _require_version(before, expected_version)
    if before is None:
        wanted = replace(wanted, options=dict(options or {}))
        is_written = uow.bindings.add(wanted)
    else:
        wanted = replace(wanted, options=dict(before.options if options is None else options), version=before.version)
        is_written = uow.bindings.change(wanted)
    if not is_written:
        raise BindingChangedError
    _audit(uow, act, "bind", wanted, before=before)
    using.companies.forget()
    return _of_source(uow, wanted) or wanted


def _unfit(using: Services, flow: str, roles: Mapping[str, str]) -> dict[str, str]:
    """The roles whose connector lacks what they need, by name."""
    found = {f"roles.{role}": using.unfit(roles[role], role) for role in NEEDS[flow]}
    return {name: problem for name, problem in found.items() if problem}


def _problems_of_options(options: Mapping[str, Any]) -> dict[str, str]:
    try:
        read_options(options, Options())
    except ConfigurationError as error:
        return {f"options.{name}": problem for name, problem in error.field_errors.items()}
    return {}


def remove(
    using: Services,
    uow: UnitOfWork,
    act: Act,
    tenant: str,
    flow: str,
    source: str,
    *,
    expected_version: int | None = None,
) -> Binding:
    """Nothing of *source* starts this flow any more; runs under way keep their source, and wait for the rest.

    Raises: UnknownBindingError, BindingChangedError.
    """
    before = _of_source(uow, Binding(tenant, flow, source, {}))
    if before is None:
        raise UnknownBindingError(f"The flow {flow} is not bound to {source} for {tenant}.")
    _require_version(before, expected_version)
    if not uow.bindings.remove(before):
        raise BindingChangedError
    uow.audit.add(act, "unbind", OBJECT, _key(before), tenant=tenant, before=_audited(before))
    using.companies.forget()
    return before


def _implied(using: Services, flow: str) -> Binding:
    company = using.companies.default
    roles = {role: company.bound(role).connection for role in NEEDS[flow]}
    return Binding(DEFAULT_TENANT, flow, roles[NEEDS[flow][0]], roles, version=0)


def _of_source(uow: UnitOfWork, wanted: Binding) -> Binding | None:
    same = (each for each in uow.bindings.all(wanted.tenant) if _key(each) == _key(wanted))
    return next(same, None)


def _require_version(before: Binding | None, expected: int | None) -> None:
    """0 stands for none. Raises: BindingChangedError."""
    if expected is not None and expected != (before.version if before else 0):
        raise BindingChangedError


def _audit(uow: UnitOfWork, act: Act, verb: str, wanted: Binding, *, before: Binding | None) -> None:
    told = _audited(before) if before else {}
    uow.audit.add(act, verb, OBJECT, _key(wanted), tenant=wanted.tenant, before=told, after=_audited(wanted))


def _key(of: Binding) -> str:
    return f"{of.flow}:{of.source}"


def _audited(of: Binding) -> dict[str, Any]:
    return {"roles": dict(of.roles), "options": dict(of.options)}
