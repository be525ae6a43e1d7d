"""A vendor that nobody has heard of: registered, as any could be, and used by no company that has no account there.

It keeps books: it fills the roles of invoices and of payments. Nothing of crmsync knows it but by its entry point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from crmsync.connectors.doors import Door, DoorCode
from crmsync.connectors.limits.budget import Quota
from crmsync.connectors.system import System, Tools
from crmsync.declared import setting
from crmsync.domain.accounts import Claim
from crmsync.environment import Secret, env


@dataclass(frozen=True, slots=True)
class LedgerlySettings:
    client_id: str = setting("client id", env.required("LEDGERLY_CLIENT_ID"))
    client_secret: Secret = setting("client secret", env.secret("LEDGERLY_CLIENT_SECRET"))
    url: str = setting("where it answers", env.url("LEDGERLY_URL", "https://api.ledgerly.example"))
    webhook_secret: Secret | None = setting("authenticates webhooks", env.door_secret("LEDGERLY_WEBHOOK_SECRET"))


def _connect(connection: str, settings: LedgerlySettings, tools: Tools) -> Any:
    from tests.made_up.client import Ledgerly

    return Ledgerly(connection, settings, tools)


def _code() -> DoorCode:
    from tests.made_up import doors

    return doors


SYSTEM = System(
    name="ledgerly",
    title="Ledgerly",
    roles=("invoices", "payments"),
    guide="docs/setup/ledgerly.md",
    auth_kinds=("client_credentials",),
    doors=(
        Door(
            "payment",
            "/webhook/ledgerly/payment",
            ("LEDGERLY_WEBHOOK_SECRET",),
            announces="payments",
            forms={"ledgerly_payment": "Payment"},
            code=_code,
        ),
    ),
    settings=LedgerlySettings,
    variable="LEDGERLY_CLIENT_ID",
    mentioned_by=("LEDGERLY_CLIENT_ID",),
    prefixes=("LEDGERLY_",),
    connect=_connect,
    quota=lambda connection, settings: Quota(connection, "Ledgerly", settings.client_id, calls_at_once=2),
    claim=lambda settings: Claim("Ledgerly", settings.client_id, (settings.client_secret,)),
)
