"""`crmsync links`: shows which customers are linked and how that was found, imports links, and removes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from crmsync.cli import screen
from crmsync.cli.company import company_of_deals, company_options
from crmsync.cli.failures import FAILED, ListingGroup
from crmsync.cli.options import accounted, confirm, json_option, yes_option
from crmsync.cli.process import open_services
from crmsync.cli.users import tenant_option
from crmsync.phrases import plural

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from crmsync.cli.link_file import Problem
    from crmsync.cli.link_plan import Change
    from crmsync.domain.audit import Act
    from crmsync.reading.links import LinkRow

_MANY = 50  # a dry run of 20,000 customers shows the first ones


@click.group(cls=ListingGroup)
def links() -> None:
    """Link customers that exist on both sides, see which are linked, or remove a link."""


@links.command("list")
@tenant_option
@click.option("--shared", is_flag=True, help="Only customers that several accounts are linked to: check these.")
@json_option
def list_(*, tenant: str | None, shared: bool, as_json: bool) -> None:
    """List every link, oldest first: how it was found, by whom, and how many accounts share its customer."""
    from crmsync.reading.links import customer_links

    with open_services().store.read() as uow:
        found = customer_links(uow, tenant)
    chosen = [each for each in found if each.is_shared or not shared]
    if shared:
        chosen.sort(key=lambda each: (each.link.connection, each.link.key))
    rows = [each.link.to_json() | {"accounts": each.accounts} for each in chosen]
    if as_json:
        screen.print_json(rows)
    elif rows:
        screen.console().print(_links_table(rows))
        _tell_shared([] if shared else found)
    elif shared:
        screen.console().print("No customer is shared by several accounts.")
    else:
        screen.console().print(
            "Nothing is linked yet. Deals link their customers; `crmsync links import` links them in advance."
        )


def _tell_shared(found: Sequence[LinkRow]) -> None:
    several = len({(each.link.connection, each.link.key) for each in found if each.is_shared})
    if several:
        many = plural(several, "customer")
        screen.console().print(f"\n{many} shared by several accounts: `crmsync links list --shared` shows which.")


def _links_table(rows: Sequence[dict[str, Any]]) -> Table:
    cells = [
        (
            row["crm_key"],
            row["connection"],
            row["key"],
            ", ".join(filter(None, (row["name"], row["city"]))),
            row["currency"],
            " by ".join(filter(None, (row["origin"], row["linked_by"]))),
            row["accounts"] if row["accounts"] > 1 else "",
            f"{row['created_at']:%Y-%m-%d %H:%M}",
        )
        for row in rows
    ]
    columns = ["CRM", "system", "there", "name", "currency", "found by", "accounts", "since (UTC)"]
    return screen.table(columns, cells, right=["accounts"])


@links.command("remove")
@click.argument("account")
@company_options
@click.option("--system", metavar="ERP|BOOKS", help="Only the link to this system.")
@yes_option
@accounted
@json_option
def remove(
    account: str,
    *,
    tenant: str | None,
    connection: str,
    system: str | None,
    yes: bool,
    who: Act,
    as_json: bool,
) -> None:
    """Remove the links of ACCOUNT, its id in the CRM; documents that were made for its customer stay.

    The next deal of the account searches for its customer again. It finds the same one if crmsync made it or if it
    carries crmsync's reference: name another then, with `replay --link` or `links import`.
    """
    from crmsync.cli.link_removal import accounts_of, documents_of, of_system, show
    from crmsync.worker import customer_links
    from crmsync.worker.dead_letters import linkable

    services = open_services()
    company = company_of_deals(services, tenant=tenant, connection=connection)
    with services.store.read() as uow:
        source, key = company.deals.connection, str(uow.retention.full_key(account))
        found = of_system(uow.links.of_account(source, key), system, linkable(company))
        accounts = [] if found else accounts_of(uow, source, account, linkable(company).values())
        documents = documents_of(uow, source, key, {link.connection for link in found})
    if not found:
        meant = (
            f" A customer with that number is linked to {', '.join(accounts)}: name the account." if accounts else ""
        )
        raise click.UsageError(f"{key} is linked to no customer{f' in {system}' if system else ''}.{meant}")
    if not as_json:
        show(found, documents)
    confirm(f"Remove {plural(len(found), 'link')}?", yes=yes)
    with services.store.begin() as uow:
        removed = [link for link in found if uow.links.remove(link)]
        customer_links.audit(uow, who, "link.remove", tenant=company.tenant, before=removed)
    if as_json:
        screen.print_json({"removed": [link.to_json() for link in removed], "documents": documents})
    else:
        screen.console().print(f"✓ {plural(len(removed), 'link')} removed.")


@links.command("import")
@click.argument("file", type=click.File("rb"))
@company_options
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@click.option("--replace", is_flag=True, help="Overwrite links to other customers.")
@accounted
@json_option
def import_(
    file: BinaryIO,
    *,
    tenant: str | None,
    connection: str,
    dry_run: bool,
    replace: bool,
    who: Act,
    as_json: bool,
) -> None:
    """Link the customers of a CSV file with the columns crm_id, erp_customer, books_customer.

    Either target may be empty. Every account and customer is looked up first; then all links are written, or none.
    """
    from crmsync.cli.link_file import read
    from crmsync.cli.link_look import Seen, look
    from crmsync.cli.link_plan import apply, conflicts, plan, repeated

    services = open_services(creates=not dry_run)
    company = company_of_deals(services, tenant=tenant, connection=connection)
    pairs, problems = read(file.read(), company)
    with _progress(len(pairs)) as tell:
        seen = Seen() if problems else look(services, company, pairs, tell)
    problems += seen.problems
    changes: list[Change] = []
    if not problems:
        with services.store.begin() as uow:
            linked = uow.links.customers(company.tenant, source=company.deals.connection)
            changes = plan(pairs, linked, seen.accounts, seen.customers)
            problems += repeated(changes)
            problems += [] if replace else conflicts(changes)
            if not problems and not dry_run:
                apply(uow, company, changes, who)
    show = _print_json if as_json else _print
    show(changes, problems, dry_run=dry_run)
    if problems:
        raise SystemExit(FAILED)


@contextmanager
def _progress(lines: int) -> Iterator[Callable[[], None]]:
    """What is called before each look-up; in a terminal it shows that something happens."""
    out = screen.console(stderr=True)
    if not out.is_terminal:
        yield lambda: None
        return
    asked = 0
    with out.status(f"Looking up the customers of {lines} lines …") as status:

        def tell() -> None:
            nonlocal asked
            asked += 1
            status.update(f"Looking up the customers of {lines} lines … {asked} calls")

        yield tell


def _print_json(changes: list[Change], problems: list[Problem], *, dry_run: bool) -> None:
    screen.print_json(
        {
            "written": not problems and not dry_run,
            "counts": _counts(changes),
            "problems": [problem.to_json() for problem in problems],
            "changes": [change.to_json() for change in changes if change.action != "keep"],
        }
    )


def _print(changes: list[Change], problems: list[Problem], *, dry_run: bool) -> None:
    out = screen.console()
    if problems:
        out.print(f"✗ {plural(len(problems), 'problem')}, so nothing was linked.", style="bold red")
        rows = [(problem.line, problem.field, problem.text) for problem in problems]
        out.print(screen.table(["line", "field", "problem"], rows, right=["line"]))
        return
    if dry_run:
        _print_changes(out, [change for change in changes if change.action != "keep"])
    words = _WORDS | _FUTURE if dry_run else _WORDS
    said = ", ".join(f"{count} {words[action]}" for action, count in _counts(changes).items() if count)
    out.print(f"{'Dry run, nothing was written: ' if dry_run else '✓ '}{said or 'there is nothing to link'}.")


_WORDS = {"add": "linked", "replace": "replaced", "keep": "already linked"}
_FUTURE = {"add": "to be linked", "replace": "to be replaced"}


def _print_changes(out: Any, changes: list[Change]) -> None:
    if changes:
        out.print(_changes_table(changes[:_MANY]))
    if len(changes) > _MANY:
        out.print(f"… and {len(changes) - _MANY} more")


def _changes_table(changes: list[Change]) -> Table:
    rows = [
        (
            change.action,
            change.pair.crm_key,
            ", ".join(filter(None, (change.account.name, change.account.address.city))),
            change.pair.connection,
            change.found.label,
            change.before or "",
        )
        for change in changes
    ]
    return screen.table(["", "CRM", "account", "system", "there", "instead of"], rows)


def _counts(changes: list[Change]) -> dict[str, int]:
    return {action: sum(change.action == action for change in changes) for action in _WORDS}
