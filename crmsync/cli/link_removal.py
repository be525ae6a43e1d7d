"""Shows what depends on a link that is to be removed: the documents that were made for its customer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from crmsync.cli import screen

if TYPE_CHECKING:
    from crmsync.domain.links import Link
    from crmsync.store import UnitOfWork

_DOCUMENTS = ("order", "invoice")


def of_system(links: Sequence[Link], system: str | None, linkable: Mapping[str, str]) -> list[Link]:
    """The links to *system*, as people call its role in *linkable*, by connection. Raises: click.BadParameter."""
    if system is None:
        return list(links)
    if system.upper() not in linkable:
        raise click.BadParameter(f"expected {' or '.join(linkable)}, found {system!r}.", param_hint="--system")
    return [link for link in links if link.connection == linkable[system.upper()]]


def accounts_of(uow: UnitOfWork, source: str, number: str, connections: Iterable[str]) -> list[str]:
    """The accounts of the CRM that are linked to a customer of that number in any of *connections*."""
    return sorted({key for each in connections for key in uow.retention.accounts_of(source, each, number)})


def documents_of(uow: UnitOfWork, source: str, account: str, connections: Collection[str]) -> list[dict[str, Any]]:
    """The orders and invoices of the account's deals, with numbers and amounts."""
    from crmsync.reading.run import documents_of as documents_of_run

    documents = (
        document for run_id in uow.runs.of_account(source, account) for document in documents_of_run(uow, run_id)
    )
    return [
        {"system": each.connection, "kind": each.kind, "number": each.number, "amount": str(each.net or "")}
        for each in documents
        if each.kind in _DOCUMENTS and each.connection in connections and each.is_known
    ]


def show(links: Sequence[Link], documents: Sequence[Mapping[str, Any]]) -> None:
    out = screen.console()
    for link in links:
        name = ", ".join(filter(None, (link.name, link.city)))
        words = " ".join(filter(None, (link.connection, link.key, name, link.currency)))
        how = "made by crmsync" if link.origin == "created" else f"found by {link.origin}"
        out.print(f"{link.crm_key} is {words}, {how}.")
    if documents:
        were = "1 document was made for it, and stays as it is"
        many = f"{len(documents)} documents were made for it, and stay as they are"
        out.print(f"{were if len(documents) == 1 else many}:")
        out.print(screen.records(["system", "kind", "number", "amount"], documents))
    else:
        out.print("No document was made for it.")
