"""`crmsync token`: manages the API tokens of programs."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from crmsync.cli import screen
from crmsync.cli.failures import ListingGroup
from crmsync.cli.options import accounted, json_option
from crmsync.cli.process import open_services
from crmsync.cli.users import ROLES, tenant_option
from crmsync.domain.access import Role

if TYPE_CHECKING:
    from crmsync.domain.access import ApiToken
    from crmsync.domain.audit import Act

DAYS_MAX = 3650


@click.group(cls=ListingGroup)
def token() -> None:
    """Tokens for the API: each has a role, and may be limited to one company."""


@token.command
@click.argument("name")
@click.option("--role", type=ROLES, required=True)
@tenant_option
@click.option("--days", type=click.IntRange(1, DAYS_MAX), help="Until it expires (default: never).")
@accounted
@json_option
def create(*, name: str, role: str, tenant: str | None, days: int | None, who: Act, as_json: bool) -> None:
    """Create a token for NAME, such as the program that will use it. It is shown only once."""
    from crmsync import people

    if not 1 <= len(name.strip()) <= 100:
        raise click.BadParameter("expected 1 to 100 characters", param_hint="NAME")
    with open_services(creates=True).store.begin() as uow:
        until = uow.now + timedelta(days=days) if days else None
        made = people.create_token(uow, who, name=name.strip(), role=Role(role), tenant=tenant, expires_at=until)
    if as_json:
        screen.print_json(_to_json(made.token, uow.now) | {"token": made.text})
        return
    out = screen.console(stderr=True)
    out.print(f"✓ Token {made.token.id} for {made.token.name}. It is shown only once:")
    screen.console().print(made.text, soft_wrap=True)


@token.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List all tokens, newest first, without their secrets."""
    with open_services().store.read() as uow:
        known, now = uow.api_tokens.newest(None), uow.now
    if as_json:
        screen.print_json([_to_json(each, now) for each in known])
    elif known:
        columns = ["id", "name", "role", "tenant", "state", "expires (UTC)", "last used (UTC)", "made by"]
        screen.console().print(screen.table(columns, [_row(each, now) for each in known]))
    else:
        screen.console().print("No tokens yet: `crmsync token create NAME --role viewer` makes one.")


@token.command
@click.argument("token_id", metavar="ID")
@accounted
@json_option
def revoke(*, token_id: str, who: Act, as_json: bool) -> None:
    """Revoke the token ID at once and for ever."""
    from crmsync import people

    with open_services().store.begin() as uow:
        gone = people.revoke_token(uow, who, token_id)
    if as_json:
        screen.print_json(_to_json(gone, uow.now))
    else:
        screen.console().print(f"✓ Token {gone.id} ({gone.name}) is revoked.")


def _to_json(of: ApiToken, now: datetime) -> dict[str, Any]:
    return asdict(of) | {"state": of.state(now)}


def _row(of: ApiToken, now: datetime) -> tuple[object, ...]:
    instants = [f"{at:%Y-%m-%d %H:%M}" if at else "never" for at in (of.expires_at, of.last_used_at)]
    return of.id, of.name, of.role.value, of.tenant or "all", of.state(now), *instants, of.created_by
