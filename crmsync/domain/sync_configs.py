"""A sync config: one thing that is kept in sync for a tenant, how often, in which direction, and whether it is paused.

Today each is a flow of a binding. Those of records have the same shape: what is None or fixed here is said there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from crmsync.domain.bindings import Binding
from crmsync.domain.connections import INTERVAL_SECONDS_MAX, INTERVAL_SECONDS_MIN, Direction
from crmsync.errors import CrmsyncError

PAUSED = "paused"  # the option that names the flows that start nothing
GO_LIVE = "go_live"


class Kind(StrEnum):
    """By what a config starts runs."""

    FULL = "full"
    INCREMENTAL = "incremental"
    MANUAL = "manual"
    WEBHOOK = "webhook"


class ConfigStatus(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class FlowSync:
    """What is fixed of a flow; *option* is that of its binding which says how often, "" where webhooks start it."""

    bound_as: str
    flow: str
    kind: Kind
    direction: Direction
    option: str = ""


FLOW_SYNCS: Mapping[str, FlowSync] = {
    "order_to_invoice": FlowSync("order_to_invoice", "order_to_invoice", Kind.WEBHOOK, Direction.BIDIRECTIONAL),
    "payments": FlowSync("payments", "payment_to_invoices", Kind.WEBHOOK, Direction.BIDIRECTIONAL),
    "inventory": FlowSync("inventory", "inventory", Kind.INCREMENTAL, Direction.INBOUND, "inventory_seconds"),
    "catch_up_deals": FlowSync(
        "order_to_invoice", "catch_up_deals", Kind.INCREMENTAL, Direction.INBOUND, "catch_up_seconds"
    ),
    "catch_up_payments": FlowSync(
        "payments", "catch_up_payments", Kind.INCREMENTAL, Direction.INBOUND, "catch_up_seconds"
    ),
}
"""By name. A direction is seen from the connection that the subjects come from as that of what is written there."""


@dataclass(frozen=True, slots=True)
class SyncConfig:
    """*interval_seconds* is None where only webhooks start it, 0 for never. *entity* and what else is None are for
    records.
    """

    name: str
    binding: Binding
    interval_seconds: int | None
    status: ConfigStatus
    entity: str | None = None
    filter: Mapping[str, Any] | None = None
    conflict_resolution: str | None = None
    field_mappings: tuple[Mapping[str, Any], ...] | None = None
    last_run_id: str | None = None
    last_run_status: str | None = None
    last_run_at: datetime | None = None

    @property
    def id(self) -> str:
        """A connection is in one tenant only, so these two say which.

        >>> SyncConfig("inventory", Binding("acme", "inventory", "con_a", {}), 60, ConfigStatus.ACTIVE).id
        'inventory:con_a'
        """
        return f"{self.name}:{self.binding.source}"

    @property
    def fixed(self) -> FlowSync:
        return FLOW_SYNCS[self.name]

    def row(self) -> dict[str, Any]:
        """The config as plain values, by the names that the API and the commands show."""
        names = ("id", "entity", "interval_seconds", "status", "filter", "conflict_resolution", "field_mappings")
        last = {"id": self.last_run_id, "status": self.last_run_status, "started_at": self.last_run_at}
        return {
            **{name: getattr(self, name) for name in names},
            "tenant_id": self.binding.tenant,
            "flow": self.name,
            "source": self.binding.source,
            "roles": dict(self.binding.roles),
            "kind": self.fixed.kind.value,
            "direction": self.fixed.direction.value,
            "last_run": last if self.last_run_id else None,
            "version": self.binding.version,
        }


class UnknownSyncConfigError(CrmsyncError):
    """There is no such sync config."""


class InvalidSyncConfigError(CrmsyncError):
    """The sync config can't be like this."""


def problems_of(fixed: FlowSync, asked: Mapping[str, Any]) -> dict[str, str]:
    """What of *asked* a flow does not leave open, by name; None leaves it as it is.

    >>> problems_of(FLOW_SYNCS["inventory"], {"kind": "full", "filter": {"a": 1}, "interval_seconds": 5})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'kind': 'is incremental for this flow', 'filter': 'is for records alone',
     'interval_seconds': 'expected 0, or 60 to 2592000'}
    """
    found = {}
    for name, is_so in (("kind", fixed.kind.value), ("direction", fixed.direction.value)):
        if asked.get(name) not in (None, is_so):
            found[name] = f"is {is_so} for this flow"
    for name in ("entity", "filter", "conflict_resolution", "field_mappings"):
        if asked.get(name) is not None:
            found[name] = "is for records alone"
    interval = asked.get("interval_seconds")
    if interval is not None and not fixed.option:
        found["interval_seconds"] = "webhooks start this flow: it has none"
    elif interval and not INTERVAL_SECONDS_MIN <= interval <= INTERVAL_SECONDS_MAX:
        found["interval_seconds"] = f"expected 0, or {INTERVAL_SECONDS_MIN} to {INTERVAL_SECONDS_MAX}"
    return found


def options_with(
    before: Mapping[str, Any], name: str, *, interval_seconds: int | None, status: str | None
) -> dict[str, Any]:
    """The options of a binding that a change of the config *name* makes.

    >>> options_with({}, "inventory", interval_seconds=600, status="paused")
    {'inventory_seconds': 600, 'paused': ['inventory']}
    >>> options_with({"paused": ["inventory"]}, "inventory", interval_seconds=None, status="active")
    {}
    """
    options = dict(before)
    if interval_seconds is not None:
        options[FLOW_SYNCS[name].option] = interval_seconds
    if status is not None:
        paused = [each for each in options.pop(PAUSED, ()) if each != name]
        paused += [name] if status == ConfigStatus.PAUSED else []
        options |= {PAUSED: paused} if paused else {}
    return options
