"""`crmsync accounts`: lists the account of each connection, and confirms that an account has a new address."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, cast

import click

from crmsync.cli import screen
from crmsync.cli.failures import ListingGroup
from crmsync.cli.options import accounted, json_option, yes_option
from crmsync.cli.process import open_services
from crmsync.errors import ConfigurationError

if TYPE_CHECKING:
    from crmsync.connectors.signing_in.auth import Fetch
    from crmsync.domain.accounts import Account, Claim
    from crmsync.domain.audit import Act
    from crmsync.domain.tokens import AccessToken, RenewalLimit
    from crmsync.services import Services
    from crmsync.store import UnitOfWork


@click.group(cls=ListingGroup)
def accounts() -> None:
    """See which account each connection belongs to; all stored links and documents belong to that account."""


@accounts.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List the account of each connection that crmsync has worked with."""
    with open_services(check_accounts=False).store.read() as uow:
        known = list(uow.accounts.all(None).values())
    if as_json:
        screen.print_json([_to_json(account) for account in known])
    elif known:
        rows = [[each.connection, each.identity, f"{each.met_at:%Y-%m-%d %H:%M}"] for each in known]
        screen.console().print(screen.table(["connection", "account", "since (UTC)"], rows))
    else:
        screen.console().print("crmsync has not signed in to any system yet.")


def _to_json(account: Account) -> dict[str, object]:
    return {name: value for name, value in asdict(account).items() if name != "credentials"}


@accounts.command
@click.argument("connection")
@yes_option
@accounted
def adopt(connection: str, *, yes: bool, who: Act) -> None:
    """Confirm that the credentials of CONNECTION belong to the same company's account as before, under another address.

    Links, orders, invoices and checkpoints stay, and apply to the account of the present credentials. If it is
    really another account, they would be wrong: give that one its own store instead (CRMSYNC_HOME or DATABASE_URL).
    """
    using = open_services(check_accounts=False, creates=True)
    claim = _claim(using, connection)
    identity = _told(using, connection) if claim.is_told else claim.identity
    with using.store.read() as uow:
        known = uow.accounts.get(connection)
    if known is None or known.identity == identity:
        screen.console().print(f"{claim.system} is {identity}, as before. Nothing was changed.")
        return
    _confirm(claim, known.identity, identity, yes=yes)
    tenant = using.book.get(connection).connection.tenant
    with using.store.begin() as uow:
        _adopt(uow, using, connection, identity)
        told = {"before": {"identity": known.identity}, "after": {"identity": identity}}
        uow.audit.add(who, "account.adopt", "connection", connection, tenant=tenant, **told)
    screen.console().print(f"{claim.system} is {identity} from now on. Restart every process of crmsync.")


def _claim(using: Services, connection: str) -> Claim:
    if not using.book.is_known(connection):
        known = ", ".join(using.book.of_environment()) or "the configured connections: there are none"
        raise click.BadParameter(
            f"expected one of {known}, or the id of a stored connection (`crmsync connections` lists them)"
        )
    return using.book.of(connection)


def _told(using: Services, connection: str) -> str:
    """Sign in, and keep nothing of it. Raises: ConfigurationError where the answer does not say whose account it is."""
    from crmsync.connectors.base import TellsAccount

    connector = cast(TellsAccount, using.apart(connection, _Unkept()))
    identity = connector.sign_in()
    if not identity:
        raise ConfigurationError(f"The sign-in to {connector.system} does not say whose account it is.")
    return identity


class _Unkept:
    """A store of tokens that keeps none."""

    def read(self, connection: str) -> AccessToken | None:
        return None

    def renew(self, connection: str, *, stale: str | None, fetch: Fetch, limit: RenewalLimit | None) -> AccessToken:
        return fetch()


def _confirm(claim: Claim, known: str, identity: str, *, yes: bool) -> None:
    out = screen.console()
    out.print(f"{claim.system} was {known}. The credentials are those of {identity}.")
    if not yes:
        click.confirm(
            "Is that the same company's account, so that all earlier links and documents remain valid", abort=True
        )


def _adopt(uow: UnitOfWork, using: Services, connection: str, identity: str) -> None:
    from crmsync.store.account_watch import alert_cause

    uow.accounts.adopt(connection, identity=identity, credentials=using.accounts.mark(connection))
    uow.tokens.forget(connection)
    uow.alerts.close(alert_cause(connection))
