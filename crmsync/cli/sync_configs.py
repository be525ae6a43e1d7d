"""`crmsync sync-configs`: what is kept in sync for each company, how often, and whether it is paused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from crmsync.cli import screen
from crmsync.cli.failures import ListingGroup
from crmsync.cli.options import accounted, json_option
from crmsync.cli.process import open_services
from crmsync.cli.users import tenant_option

if TYPE_CHECKING:
    from crmsync.domain.audit import Act
    from crmsync.domain.sync_configs import SyncConfig

_COLUMNS = ("id", "tenant_id", "kind", "direction", "interval_seconds", "status")


@click.group("sync-configs", cls=ListingGroup)
def sync_configs() -> None:
    """Sync configs: the flows that are bound for each company, how often they start, and whether they are paused."""


@sync_configs.command("list")
@tenant_option
@click.option("--status", type=click.Choice(["active", "paused"]))
@json_option
def list_(*, tenant: str | None, status: str | None, as_json: bool) -> None:
    """List the sync configs."""
    from crmsync import sync_configs as verbs

    using = open_services(check_accounts=False)
    found = [each for each in verbs.all_of(using, tenant) if status in (None, each.status)]
    with using.store.read() as uow:
        rows = [verbs.with_last_run(uow, each).row() for each in found]
    if as_json:
        screen.print_json(rows)
    elif rows:
        screen.console().print(screen.records(_COLUMNS, rows))
    else:
        screen.console().print("No sync configs: `crmsync bindings set FLOW` binds a flow.")


@sync_configs.command()
@click.argument("config_id", metavar="ID")
@tenant_option
@json_option
def show(*, config_id: str, tenant: str | None, as_json: bool) -> None:
    """Show the sync config ID, with its run if it has only one."""
    from crmsync import sync_configs as verbs

    using = open_services(check_accounts=False)
    with using.store.read() as uow:
        _print(verbs.show(using, uow, tenant, config_id), as_json=as_json)


@sync_configs.command()
@click.argument("config_id", metavar="ID")
@tenant_option
@accounted
@json_option
def pause(*, config_id: str, tenant: str | None, who: Act, as_json: bool) -> None:
    """Pause the sync config ID: it starts nothing until it is resumed. Webhooks are kept."""
    changed = _change(config_id, tenant, who, status="paused")
    _print(changed, as_json=as_json, done=f"✓ {changed.id} is paused: it starts nothing.")


@sync_configs.command()
@click.argument("config_id", metavar="ID")
@tenant_option
@accounted
@json_option
def resume(*, config_id: str, tenant: str | None, who: Act, as_json: bool) -> None:
    """Resume the sync config ID; catch-up processes what was announced meanwhile."""
    changed = _change(config_id, tenant, who, status="active")
    _print(changed, as_json=as_json, done=f"✓ {changed.id} is {changed.status}.")


@sync_configs.command("set")
@click.argument("config_id", metavar="ID")
@tenant_option
@click.option("--interval", type=int, required=True, metavar="SECONDS", help="How often it is started; 0: never.")
@accounted
@json_option
def set_(*, config_id: str, tenant: str | None, interval: int, who: Act, as_json: bool) -> None:
    """Change how often the sync config ID is started."""
    changed = _change(config_id, tenant, who, interval_seconds=interval)
    _print(changed, as_json=as_json, done=f"✓ {changed.id} has been changed; processes use it within ten seconds.")


def _change(config_id: str, tenant: str | None, who: Act, **asked: Any) -> SyncConfig:
    """Raises: UnknownSyncConfigError; InvalidSyncConfigError, by name; BindingChangedError."""
    from crmsync import sync_configs as verbs

    using = open_services(check_accounts=False)
    went_live = using.go_live()  # before the change: the first question writes it
    with using.store.read() as uow:
        before = verbs.show(using, uow, tenant, config_id)
    with using.store.begin() as uow:
        return verbs.change(using, uow, who, before, asked, went_live=went_live)


def _print(of: SyncConfig, *, as_json: bool, done: str = "") -> None:
    if as_json:
        screen.print_json(of.row())
    elif done:
        screen.console().print(done)
    else:
        screen.console().print(screen.pairs(_facts(of)))


def _facts(of: SyncConfig) -> dict[str, object]:
    """What is for records alone, and null for a flow, is left out."""
    row = of.row()
    last = f"{of.last_run_id} {of.last_run_status} {of.last_run_at:%Y-%m-%d %H:%M}" if of.last_run_at else ""
    interval = "started by webhooks" if of.interval_seconds is None else f"{of.interval_seconds} s"
    return {
        **{name: row[name] for name in ("id", "tenant_id", "flow", "source", "kind", "direction", "status")},
        "interval": interval if of.interval_seconds != 0 else "only started by hand",
        "last run (UTC)": last,
        "version": row["version"] or "of the environment",
        **row["roles"],
    }
