"""Which company a command is about: --tenant, and --connection where the company has several."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from crmsync.cli.users import tenant_of

if TYPE_CHECKING:
    from crmsync.company import Company
    from crmsync.services import Services

ADVICE = "Name it: --tenant NAME, and --connection ID where it has several."


def company_options(command: Callable[..., Any]) -> Callable[..., Any]:
    tenant = click.option("--tenant", callback=tenant_of, metavar="NAME", help="Which company (default: the only one).")
    source = click.option(
        "--connection", default="", metavar="ID", help="Its connection that this is about, where it has several."
    )
    return tenant(source(command))


def company_of(using: Services, flow: str, role: str, *, tenant: str | None, connection: str) -> Company:
    """The company that *flow* is bound for and whose *connection* fills *role*, as both were given.

    Raises: click.UsageError that lists those that there are, where several are meant, or none.
    """
    from crmsync.domain.bindings import UnclearCompanyError

    try:
        return using.companies.one(flow, role, tenant=tenant, source=connection)
    except UnclearCompanyError as error:
        raise click.UsageError(f"{error} {ADVICE}") from None


def company_of_deals(using: Services, *, tenant: str | None, connection: str) -> Company:
    """The one whose deals become orders and invoices. Raises: click.UsageError, as company_of()."""
    return company_of(using, "order_to_invoice", "deals", tenant=tenant, connection=connection)
