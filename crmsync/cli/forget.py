"""`crmsync forget`: removes what is known about one customer, and says what stays and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from crmsync.cli import screen
from crmsync.cli.company import company_of_deals, company_options
from crmsync.cli.failures import FAILED
from crmsync.cli.options import accounted, json_option, yes_option
from crmsync.cli.process import open_services
from crmsync.phrases import plural

if TYPE_CHECKING:
    from crmsync.company import Company
    from crmsync.domain.audit import Act
    from crmsync.services import Services

WHY = {
    "links": "which customer this is in the other systems, by numbers only: otherwise a second one would be created",
    "ledger rows": "the numbers and amounts of documents: otherwise they could be created twice",
}


@click.command
@click.argument("account")
@company_options
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@yes_option
@accounted
@json_option
def forget(
    account: str,
    *,
    tenant: str | None,
    connection: str,
    dry_run: bool,
    yes: bool,
    who: Act,
    as_json: bool,
) -> None:
    """Remove what crmsync knows about the customer ACCOUNT: its id in the CRM, or ERP=number or BOOKS=number.

    Names, e-mail and postal addresses, tax numbers, histories, dead letters and alerts of finished deals are removed.
    Document numbers and amounts stay. A deal that is under way, or waits for a person, keeps what it needs: settle it
    first. The CRM, the ERP and the books keep their own records.
    """
    services = open_services()
    company = company_of_deals(services, tenant=tenant, connection=connection)
    if not (yes or dry_run):
        click.confirm(f"Remove what is known about {account}?", abort=True, err=True)
    found = _forgotten(services, company, account, who, dry_run=dry_run)
    if as_json:
        screen.print_json(found)
    else:
        _print(found, dry_run=dry_run)
    if found["under_way"]:
        raise SystemExit(FAILED)


class _DryRunError(Exception):
    """Ends the transaction without its writes."""


def _forgotten(services: Services, company: Company, account: str, who: Act, *, dry_run: bool) -> dict[str, Any]:
    from crmsync.worker.dead_letters import linkable

    found = dict[str, Any]()
    source, connections = company.deals.connection, linkable(company)
    prefix = company.options.customer_prefix
    try:
        with services.store.begin() as uow:
            key = _key_of(uow, source, account, connections)
            found = {"account": key, "removed": uow.retention.forget(source, key, prefix=prefix) if key else {}}
            found |= {"stays": uow.retention.kept(source, key, prefix=prefix)}
            found |= {"under_way": uow.retention.under_way(source, key)}
            if dry_run:
                raise _DryRunError
            counts = {name: count for name, count in found["removed"].items() if count}
            uow.audit.add(who, "customer.forget", "customer", key, tenant=company.tenant, after=counts)
    except _DryRunError:
        return found
    services.store.wipe()
    return found


def _key_of(uow: Any, source: str, account: str, linkable: Mapping[str, str]) -> str:
    """Raises: click.UsageError for a link that nobody has."""
    name, is_link, number = account.partition("=")
    if not is_link:
        return str(uow.retention.full_key(account))
    if name.upper() not in linkable:
        raise click.UsageError(f"ACCOUNT is the CRM's id, or one of {', '.join(f'{each}=…' for each in linkable)}.")
    accounts = uow.retention.accounts_of(source, linkable[name.upper()], number)
    if not accounts:
        raise click.UsageError(f"No customer is linked to {number} there.")
    if len(accounts) > 1:
        raise click.UsageError(f"Several accounts are linked to {number} there, so name one: {', '.join(accounts)}.")
    return str(accounts[0])


def _print(found: dict[str, Any], *, dry_run: bool) -> None:
    out = screen.console()
    counts = {name: str(count) for name, count in found["removed"].items() if count}
    if not (counts or found["under_way"] or any(found["stays"].values())):
        out.print(f"Nothing is known about {found['account']}. A customer's number is written ERP=… or BOOKS=….")
        return
    verb = "Would be removed or reduced" if dry_run else "Removed or reduced"
    out.print(f"{verb} of {found['account']}:" if counts else f"Nothing of {found['account']} is left to remove.")
    if counts:
        out.print(screen.pairs(counts))
    for name, count in found["stays"].items():
        if count:
            out.print(f"{count} {name} stay: {WHY[name]}.")
    if found["under_way"]:
        out.print(f"{plural(len(found['under_way']), 'run')} not over: settle and repeat.", style="bold red")
        out.print(", ".join(found["under_way"]))
