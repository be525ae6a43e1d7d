"""The access rules of the API: every endpoint with its role and its rule for tenants. Tests are made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from crmsync.domain.access import Role

PREFIX = "/api/erp"


class Tenancy(StrEnum):
    """What an endpoint has to do with tenants."""

    NONE = "none"  # it shows nothing that is anybody's
    OWN = "own"  # it shows and changes what belongs to the caller's tenant; another's does not exist: 404
    ALL = "all"  # it is about the whole installation: 403 for who is kept to one tenant


@dataclass(frozen=True, slots=True)
class Rule:
    """*role* is None where anybody may ask; *is_public* where strangers do, on the port of the doors."""

    role: Role | None
    tenancy: Tenancy
    is_public: bool = False


_VIEW = Rule(Role.VIEWER, Tenancy.OWN)
_DECIDE = Rule(Role.OPERATOR, Tenancy.OWN)
_RULE = Rule(Role.ADMIN, Tenancy.OWN)
_ANYBODY = Rule(None, Tenancy.NONE)

ENDPOINTS: Mapping[tuple[str, str], Rule] = {
    ("GET", "/openapi.json"): _ANYBODY,
    ("GET", "/docs"): _ANYBODY,
    ("GET", "/me"): Rule(Role.VIEWER, Tenancy.NONE),
    ("GET", "/systems"): Rule(Role.VIEWER, Tenancy.NONE),
    ("GET", "/systems/{name}"): Rule(Role.VIEWER, Tenancy.NONE),
    ("GET", "/connections"): _VIEW,
    ("POST", "/connections"): _RULE,
    ("GET", "/connections/{connection_id}"): _VIEW,
    ("PUT", "/connections/{connection_id}"): _RULE,
    ("DELETE", "/connections/{connection_id}"): _RULE,
    ("POST", "/connections/{connection_id}/test"): _DECIDE,
    ("POST", "/connections/{connection_id}/pause"): _RULE,
    ("POST", "/connections/{connection_id}/resume"): _RULE,
    ("POST", "/connections/{connection_id}/rotate"): _RULE,
    ("GET", "/connections/{connection_id}/authorize"): _RULE,
    ("GET", "/oauth/callback"): Rule(None, Tenancy.NONE, is_public=True),
    ("GET", "/bindings/{flow}"): _VIEW,
    ("PUT", "/bindings/{flow}"): _RULE,
    ("DELETE", "/bindings/{flow}"): _RULE,
    ("GET", "/sync-configs"): _VIEW,
    ("POST", "/sync-configs"): _RULE,
    ("GET", "/sync-configs/{config_id}"): _VIEW,
    ("PUT", "/sync-configs/{config_id}"): _RULE,
    ("POST", "/sync"): _DECIDE,
    ("GET", "/webhooks"): _VIEW,
    ("POST", "/webhooks"): _RULE,
    ("GET", "/webhooks/{webhook_id}"): _VIEW,
    ("PATCH", "/webhooks/{webhook_id}"): _RULE,
    ("DELETE", "/webhooks/{webhook_id}"): _RULE,
    ("POST", "/webhooks/{webhook_id}/rotate"): _RULE,
    ("POST", "/webhooks/{webhook_id}/disable"): _RULE,
    ("GET", "/dashboard"): _VIEW,
    ("GET", "/runs"): _VIEW,
    ("POST", "/runs"): _DECIDE,
    ("GET", "/runs/{run_id}"): _VIEW,
    ("GET", "/dead-letters"): _VIEW,
    ("GET", "/dead-letters/{letter_id}"): _VIEW,
    ("POST", "/dead-letters/{letter_id}/replay"): _DECIDE,
    ("POST", "/dead-letters/{letter_id}/discard"): _DECIDE,
    ("GET", "/approvals"): _VIEW,
    ("POST", "/approvals/{approval_id}/approve"): _DECIDE,
    ("POST", "/approvals/{approval_id}/reject"): _DECIDE,
    ("GET", "/sync-logs"): _VIEW,
    ("GET", "/sync-logs/{run_id}"): _VIEW,
    ("GET", "/sync-records"): _VIEW,
    ("GET", "/links"): _VIEW,
    ("PUT", "/links/{connection}/{account}"): _DECIDE,
    ("DELETE", "/links/{connection}/{account}"): _DECIDE,
    ("GET", "/webhook-events"): _VIEW,
    ("GET", "/rate-limits"): _VIEW,
    ("GET", "/rate-limits/{connection_id}"): _VIEW,
    ("PUT", "/rate-limits/{connection_id}"): _RULE,
    ("GET", "/audit"): _RULE,
    ("GET", "/tokens"): _RULE,
    ("POST", "/tokens"): _RULE,
    ("GET", "/tokens/{token_id}"): _RULE,
    ("DELETE", "/tokens/{token_id}"): _RULE,
}
