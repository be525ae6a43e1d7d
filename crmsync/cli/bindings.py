"""`crmsync bindings`: which connection fills which role in which flow, for each company."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from crmsync.cli import screen
from crmsync.cli.connection_input import pairs_of
from crmsync.cli.failures import ListingGroup
from crmsync.cli.options import accounted, json_option, owner_option
from crmsync.cli.process import open_services
from crmsync.cli.users import tenant_option

if TYPE_CHECKING:
    from crmsync.domain.audit import Act
    from crmsync.domain.bindings import Binding


@click.group(cls=ListingGroup)
def bindings() -> None:
    """Bindings: the connections that a company's flows work with. Those from the environment are read-only."""


@bindings.command("list")
@tenant_option
@json_option
def list_(*, tenant: str | None, as_json: bool) -> None:
    """List the bound flows and their connections."""
    from crmsync.bindings import all_of

    _print(all_of(open_services(check_accounts=False), tenant), as_json=as_json)


@bindings.command()
@click.argument("flow")
@owner_option
@json_option
def show(*, flow: str, tenant: str, as_json: bool) -> None:
    """Show how FLOW is bound: order_to_invoice, payments or inventory."""
    from crmsync.bindings import show as shown

    _print(shown(open_services(check_accounts=False), tenant, flow), as_json=as_json)


@bindings.command("set")
@click.argument("flow")
@owner_option
@click.option("--role", "pairs", multiple=True, metavar="ROLE=ID", help="A role and its connection; may be repeated.")
@click.option(
    "--option", "options", multiple=True, metavar="NAME=VALUE", help="An option of the company; may be repeated."
)
@accounted
@json_option
def set_(
    *, flow: str, tenant: str, pairs: tuple[str, ...], options: tuple[str, ...], who: Act,
    as_json: bool,
) -> None:  # fmt: skip
    """Bind FLOW, or change its binding for the connection that its subjects come from.

    An --option has the name of a setting without CRMSYNC_, in small letters: payment_terms_days=14. If any are given,
    they replace all options of the binding; if none is, the options stay as they are.
    """
    from crmsync.bindings import put

    using = open_services(check_accounts=False)
    with using.store.begin() as uow:
        given = pairs_of(options, "--option") if options else None
        made = put(using, uow, who, tenant, flow, pairs_of(pairs, "--role"), options=given)
    if as_json:
        screen.print_json(_to_json(made))
    else:
        screen.console().print(f"✓ {made.flow} is bound for {made.tenant}; processes use it within ten seconds.")


@bindings.command()
@click.argument("flow")
@click.argument("source")
@owner_option
@accounted
@json_option
def remove(*, flow: str, source: str, tenant: str, who: Act, as_json: bool) -> None:
    """Remove a binding: the connection SOURCE no longer starts FLOW."""
    from crmsync.bindings import remove as removed

    using = open_services(check_accounts=False)
    with using.store.begin() as uow:
        gone = removed(using, uow, who, tenant, flow, source)
    if as_json:
        screen.print_json(_to_json(gone))
    else:
        screen.console().print(f"✓ {gone.flow} is no longer bound to {gone.source}.")


def _print(found: list[Binding], *, as_json: bool) -> None:
    if as_json:
        screen.print_json([_to_json(each) for each in found])
        return
    rows = [
        [each.tenant, each.flow, each.source, role, connection, "environment" if each.is_implied else each.version]
        for each in found
        for role, connection in each.roles.items()
    ]
    screen.console().print(screen.table(["tenant", "flow", "source", "role", "connection", "version"], rows))


def _to_json(of: Binding) -> dict[str, Any]:
    return asdict(of) | {"roles": dict(of.roles), "options": dict(of.options), "is_implied": of.is_implied}
