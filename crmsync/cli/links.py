"""`crmsync links`: which customer here is which there; those that existed before crmsync come from a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import click

from crmsync.cli import screen
from crmsync.cli.failures import FAILED, ListingGroup
from crmsync.cli.options import json_option
from crmsync.cli.process import open_services

if TYPE_CHECKING:
    from rich.table import Table

    from crmsync.cli.link_file import Problem
    from crmsync.cli.link_plan import Change

_MANY = 50  # a dry run of 20,000 customers shows the first ones


@click.group(cls=ListingGroup)
def links() -> None:
    """Link customers that exist on both sides, or see which are linked."""


@links.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List every link, oldest first."""
    columns = ["crm_key", "connection", "key", "origin", "created_at"]
    with open_services().store.read() as uow:
        found = [{name: getattr(row, name) for name in ("record_type", *columns)} for row in uow.links.all()]
    if as_json:
        screen.print_json(found)
    elif found:
        rows = [[*(row[name] for name in columns[:-1]), f"{row['created_at']:%Y-%m-%d %H:%M}"] for row in found]
        screen.console().print(screen.table(["CRM", "system", "there", "found by", "since (UTC)"], rows))
    else:
        screen.console().print(
            "Nothing is linked yet. Deals link their customers; `crmsync links import` does it before."
        )


@links.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--replace", is_flag=True, help="Overwrite links that say something else.")
@json_option
def import_(file: BinaryIO, *, dry_run: bool, replace: bool, as_json: bool) -> None:
    """Link the customers of a CSV file with the columns crm_id, erp_customer, books_customer.

    Either target may be empty. Everything is checked before anything is written; then all is written, or nothing.
    """
    from crmsync.cli.link_file import read
    from crmsync.cli.link_plan import apply, conflicts, plan

    pairs, problems = read(file.read())
    with open_services(creates=not dry_run).store.begin() as uow:
        changes = plan(pairs, uow.links.all())
        problems += [] if replace else conflicts(changes)
        if not problems and not dry_run:
            apply(uow.links, changes)
    show = _print_json if as_json else _print
    show(changes, problems, dry_run=dry_run)
    if problems:
        raise SystemExit(FAILED)


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
        out.print(f"✗ {screen.plural(len(problems), 'problem')}, so nothing was linked.", style="bold red")
        rows = [(problem.line, problem.field, problem.text) for problem in problems]
        out.print(screen.table(["line", "field", "problem"], rows, right=["line"]))
        return
    if dry_run:
        _print_changes(out, [change for change in changes if change.action != "keep"])
    words = _WORDS | _FUTURE if dry_run else _WORDS
    said = ", ".join(f"{count} {words[action]}" for action, count in _counts(changes).items() if count)
    out.print(f"{'Dry run, nothing was written: ' if dry_run else '✓ '}{said or 'there is nothing to link'}.")


_WORDS = {"add": "linked", "replace": "replaced", "keep": "linked already"}
_FUTURE = {"add": "to be linked", "replace": "to be replaced"}


def _print_changes(out: Any, changes: list[Change]) -> None:
    if changes:
        out.print(_changes_table(changes[:_MANY]))
    if len(changes) > _MANY:
        out.print(f"… and {len(changes) - _MANY} more")


def _changes_table(changes: list[Change]) -> Table:
    rows = [(change.action, change.crm_key, change.connection, change.key, change.before or "") for change in changes]
    return screen.table(["", "CRM", "system", "there", "instead of"], rows)


def _counts(changes: list[Change]) -> dict[str, int]:
    return {action: sum(change.action == action for change in changes) for action in _WORDS}
