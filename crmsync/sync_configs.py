"""Operations on sync configs: each is a flow of a binding, and changing one changes the binding's options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from crmsync import bindings
from crmsync.domain.audit import Act
from crmsync.domain.bindings import Binding
from crmsync.domain.sync_configs import (
    FLOW_SYNCS,
    GO_LIVE,
    ConfigStatus,
    FlowSync,
    InvalidSyncConfigError,
    SyncConfig,
    UnknownSyncConfigError,
    options_with,
    problems_of,
)
from crmsync.services import Services
from crmsync.store import UnitOfWork


def all_of(using: Services, tenant: str | None) -> list[SyncConfig]:
    """The sync configs of a tenant, by their ids. A flow without a source is none: nothing is configured for it."""
    bound = [each for each in bindings.all_of(using, tenant) if each.source]
    found = [
        _config(using, name, each) for each in bound for name, of in FLOW_SYNCS.items() if of.bound_as == each.flow
    ]
    return sorted(found, key=lambda each: each.id)


def show(using: Services, uow: UnitOfWork, tenant: str | None, config_id: str) -> SyncConfig:
    """One sync config with its last run. Raises: UnknownSyncConfigError."""
    found = next((each for each in all_of(using, tenant) if each.id == config_id), None)
    if found is None:
        raise UnknownSyncConfigError(f"There is no sync config {config_id}.")
    return with_last_run(uow, found)


def with_last_run(uow: UnitOfWork, of: SyncConfig) -> SyncConfig:
    """Of a flow that has one run; those that webhooks start are in the list of runs."""
    run = uow.runs.of_subject(of.fixed.flow, of.binding.source, of.fixed.flow)
    if run is None:
        return of
    return replace(of, last_run_id=run.id, last_run_status=run.status.value, last_run_at=run.created_at)


def create(
    using: Services,
    uow: UnitOfWork,
    act: Act,
    tenant: str,
    name: str,
    roles: Mapping[str, str],
    asked: Mapping[str, Any],
) -> SyncConfig:
    """Bind the flow. Raises: InvalidSyncConfigError, InvalidBindingError, by name; BindingChangedError: it is bound."""
    fixed = FLOW_SYNCS[name]
    if name != fixed.bound_as:
        raise InvalidSyncConfigError(field_errors={"flow": f"comes with {fixed.bound_as}"})
    options = _options({}, name, fixed, asked)
    made = bindings.put(using, uow, act, tenant, name, roles, options=options, expected_version=0)
    return _config(using, name, made)


def change(
    using: Services, uow: UnitOfWork, act: Act, of: SyncConfig, asked: Mapping[str, Any], *, went_live: datetime
) -> SyncConfig:
    """Of the environment's own a binding is made; when it *went_live* stays, for a new one goes live when it is bound.

    Raises: InvalidSyncConfigError, InvalidBindingError, by name; BindingChangedError.
    """
    before = of.binding
    kept = {GO_LIVE: went_live.isoformat()} if before.is_implied else before.options
    changed = bindings.put(
        using,
        uow,
        act,
        before.tenant,
        before.flow,
        before.roles,
        options=_options(kept, of.name, of.fixed, asked),
        expected_version=before.version,
    )
    return with_last_run(uow, _config(using, of.name, changed))


def _options(before: Mapping[str, Any], name: str, fixed: FlowSync, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Raises: InvalidSyncConfigError."""
    if problems := problems_of(fixed, asked):
        raise InvalidSyncConfigError(field_errors=problems)
    return options_with(before, name, interval_seconds=asked.get("interval_seconds"), status=asked.get("status"))


def _config(using: Services, name: str, of: Binding) -> SyncConfig:
    fixed, options = FLOW_SYNCS[name], using.companies.options_of(of)
    interval = getattr(options, fixed.option) if fixed.option else None
    is_paused = not {name, fixed.bound_as}.isdisjoint(options.paused)
    return SyncConfig(name, of, interval, ConfigStatus.PAUSED if is_paused else ConfigStatus.ACTIVE)
