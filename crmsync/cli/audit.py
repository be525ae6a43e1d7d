"""`crmsync audit`: lists who did what, and checks that nobody has changed the audit log."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from crmsync.cli import screen
from crmsync.cli.failures import FAILED, NUMBER, ListingGroup
from crmsync.cli.options import json_option
from crmsync.cli.process import open_services
from crmsync.domain.audit import verify as verified

if TYPE_CHECKING:
    from crmsync.domain.audit import AuditEntry, Verdict


@click.group(cls=ListingGroup)
def audit() -> None:
    """The audit: an append-only log in which each entry is chained to the previous one by a hash."""


@audit.command("list")
@click.option("--tenant", help="Only entries that concern this company.")
@click.option(
    "--object", "object_", metavar="TYPE[:KEY]", default="", help="For example dead_letter:7, token or user:ada."
)
@click.option("--limit", type=NUMBER, default=50, show_default=True)
@json_option
def list_(*, tenant: str | None, object_: str, limit: int, as_json: bool) -> None:
    """List the newest entries first."""
    object_type, _, object_key = object_.partition(":")
    with open_services().store.read() as uow:
        found = uow.audit.newest(tenant=tenant, object_type=object_type, object_key=object_key, limit=limit)
    if as_json:
        screen.print_json([asdict(entry) for entry in found])
    elif found:
        columns = ["id", "at (UTC)", "who", "from", "what", "object", "changed", "reason"]
        screen.console().print(screen.table(columns, [_row(entry) for entry in found], right=["id"]))
    else:
        screen.console().print("There are no entries yet.")


@audit.command
@click.option(
    "--holds", metavar="HASH", default="", help="Also check that this hash, noted earlier, is still in the chain."
)
@json_option
def verify(*, holds: str, as_json: bool) -> None:
    """Check that no entry was changed, removed or inserted. Exit status 1 if one was.

    Entries that are missing at the end can't be told from entries that never were: note the hash that this prints
    where nobody who can write to the database can write, and give it with --holds next time.
    """
    with open_services().store.read() as uow:
        verdict = verified(uow.audit.in_order(), noted=holds)
    if as_json:
        screen.print_json(asdict(verdict) | {"is_whole": verdict.is_whole})
    else:
        _print(verdict)
    if not verdict.is_whole:
        raise SystemExit(FAILED)


def _print(verdict: Verdict) -> None:
    out = screen.console()
    if verdict.broken_at is not None:
        out.print(
            f"✗ Entry {verdict.broken_at} does not match the one before it: one of the two was changed, or an "
            "entry between them was removed.",
            style="bold red",
        )
    elif not verdict.found:
        out.print("✗ The hash is not in the chain: entries at its end are missing, or it was rewritten.", style="red")
    else:
        out.print(f"✓ The chain is intact. Entries: {verdict.count}. Last hash:", style="green")
        out.print(f"  {verdict.head}", soft_wrap=True)


def _row(entry: AuditEntry) -> tuple[object, ...]:
    changed = " → ".join(_facts(facts) for facts in (entry.before, entry.after) if facts)
    at = f"{entry.at:%Y-%m-%d %H:%M:%S}"
    named = f"{entry.object_type} {entry.object_key}"
    return entry.id, at, entry.name, entry.origin, entry.verb, named, changed, entry.reason


def _facts(facts: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items() if value is not None)
