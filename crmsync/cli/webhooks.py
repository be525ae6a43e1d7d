"""`crmsync webhooks`: separate addresses for what systems send, each with its own secret."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from crmsync.cli import screen
from crmsync.cli.failures import ListingGroup
from crmsync.cli.options import accounted, can_ask, confirm, json_option, yes_option
from crmsync.cli.process import open_services
from crmsync.cli.processes import local_url
from crmsync.cli.users import tenant_option
from crmsync.domain.subscriptions import OVERLAP, OVERLAP_SECONDS_MAX

if TYPE_CHECKING:
    from crmsync.domain.audit import Act
    from crmsync.domain.subscriptions import Subscription
    from crmsync.settings import Settings

_COLUMNS = ("id", "tenant", "connection", "door", "status", "receive_url")

secret_option = click.option(
    "--secret-stdin", is_flag=True, help="Read the secret from stdin (default: generate one and show it)."
)


@click.group(cls=ListingGroup)
def webhooks() -> None:
    """Webhooks: addresses of their own for what the systems of companies send, each with its own secret."""


@webhooks.command("list")
@tenant_option
@click.option("--connection", help="Only those of this connection.")
@json_option
def list_(*, tenant: str | None, connection: str | None, as_json: bool) -> None:
    """List the webhooks, oldest first, without their secrets."""
    using = open_services(check_accounts=False)
    with using.store.read() as uow:
        found = [each for each in uow.subscriptions.all(tenant) if connection in (None, each.connection)]
    rows = [_row(each, using.settings) for each in found]
    if as_json:
        screen.print_json(rows)
    elif rows:
        screen.console().print(screen.records(_COLUMNS, rows))
    else:
        screen.console().print("No webhooks yet: `crmsync webhooks create CONNECTION` makes one.")


@webhooks.command()
@click.argument("connection")
@tenant_option
@click.option("--door", default="", help="Which door of the connection, if its system has several.")
@click.option("--event", "events", multiple=True, help="Such as deal.closed; may be repeated (default: all).")
@click.option("--entity-type", "entity_types", multiple=True, help="Such as deal; may be repeated (default: all).")
@secret_option
@accounted
@json_option
def create(
    *,
    connection: str,
    tenant: str | None,
    door: str,
    events: tuple[str, ...],
    entity_types: tuple[str, ...],
    secret_stdin: bool,
    who: Act,
    as_json: bool,
) -> None:
    """Create an address for what CONNECTION sends. Its secret is shown only once."""
    from crmsync.subscriptions import create as created

    using = open_services(check_accounts=False)
    choice = {"events": events or None, "entity_types": entity_types or None}
    secret = _secret(secret_stdin)
    with using.store.begin() as uow:
        made, token = created(using, uow, who, tenant, connection, door=door, secret=secret, **choice)
    _print_once(made, token, using.settings, as_json=as_json, done=f"✓ {made.id} is created.")


@webhooks.command()
@click.argument("webhook_id", metavar="ID")
@tenant_option
@click.option(
    "--overlap", type=click.IntRange(0, OVERLAP_SECONDS_MAX), default=int(OVERLAP.total_seconds()),
    show_default=True, metavar="SECONDS", help="For how long the previous secret is also accepted.",
)  # fmt: skip
@secret_option
@accounted
@json_option
def rotate(*, webhook_id: str, tenant: str | None, overlap: int, secret_stdin: bool, who: Act, as_json: bool) -> None:
    """Give the webhook ID a new secret, which is shown only once."""
    from crmsync.subscriptions import rotate as rotated

    using = open_services(check_accounts=False)
    secret, lasts = _secret(secret_stdin), timedelta(seconds=overlap)
    with using.store.begin() as uow:
        changed, token = rotated(using, uow, who, tenant, webhook_id, secret=secret, overlap=lasts)
    _print_once(changed, token, using.settings, as_json=as_json, done=f"✓ {changed.id} has a new secret.")


@webhooks.command()
@click.argument("webhook_id", metavar="ID")
@tenant_option
@accounted
@json_option
def disable(*, webhook_id: str, tenant: str | None, who: Act, as_json: bool) -> None:
    """Refuse everything that is sent to the webhook ID, at once."""
    _set_status(webhook_id, tenant, who, status="disabled", as_json=as_json)


@webhooks.command()
@click.argument("webhook_id", metavar="ID")
@tenant_option
@accounted
@json_option
def enable(*, webhook_id: str, tenant: str | None, who: Act, as_json: bool) -> None:
    """Accept again what is sent to the webhook ID, with the secret that it had."""
    _set_status(webhook_id, tenant, who, status="active", as_json=as_json)


@webhooks.command()
@click.argument("webhook_id", metavar="ID")
@tenant_option
@yes_option
@accounted
@json_option
def delete(*, webhook_id: str, tenant: str | None, yes: bool, who: Act, as_json: bool) -> None:
    """Delete the webhook ID: its address is refused, and what was received there stays."""
    from crmsync.subscriptions import delete as deleted
    from crmsync.subscriptions import show

    using = open_services(check_accounts=False)
    with using.store.read() as uow:
        show(uow, tenant, webhook_id)
    confirm(f"Delete {webhook_id}? Its system gets 404 for what it sends there.", yes=yes)
    with using.store.begin() as uow:
        gone = deleted(uow, who, tenant, webhook_id)
    _print(gone, using.settings, as_json=as_json, done=f"✓ {gone.id} has been deleted.")


# -- parts


def _set_status(webhook_id: str, tenant: str | None, who: Act, *, status: str, as_json: bool) -> None:
    from crmsync.subscriptions import change

    using = open_services(check_accounts=False)
    with using.store.begin() as uow:
        changed = change(using, uow, who, tenant, webhook_id, status=status)
    _print(changed, using.settings, as_json=as_json, done=f"✓ {changed.id} is {changed.status}.")


def _print(webhook: Subscription, settings: Settings, *, as_json: bool, done: str) -> None:
    if as_json:
        screen.print_json(_row(webhook, settings))
    else:
        screen.console().print(done)


def _secret(from_stdin: bool) -> str:
    """ "" where one is to be generated. The words of a command can be seen by everybody on the machine."""
    if not from_stdin:
        return ""
    if can_ask():
        return str(click.prompt("Secret", hide_input=True, err=True))
    found = sys.stdin.readline().rstrip("\r\n")
    if not found:
        raise click.BadParameter("it is empty", param_hint="--secret-stdin")
    return found


def _print_once(of: Subscription, token: str, settings: Settings, *, as_json: bool, done: str) -> None:
    row = _row(of, settings)
    if as_json:
        screen.print_json({**row, "verification_token": token})
        return
    screen.console(stderr=True).print(f"{done} Its secret is shown only once:")
    out = screen.console()
    out.print(f"receive_url {row['receive_url']}", soft_wrap=True)
    out.print(f"verification_token {token}", soft_wrap=True)


def _row(of: Subscription, settings: Settings) -> dict[str, Any]:
    """As the API shows it. The address begins with the receiver's of this environment."""
    from crmsync.subscriptions import address_of

    return asdict(of) | {"receive_url": address_of(of, settings.receiver_url or local_url(settings))}
