"""What many commands have in common: --json, --yes, and the question that --yes answers."""

from __future__ import annotations

import sys

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def can_ask() -> bool:
    """True if a person sits at the other end of stdin."""
    return sys.stdin.isatty()


def confirm(question: str, *, yes: bool) -> None:
    """Raises: click.UsageError where nobody can be asked; click.Abort for a no."""
    if yes:
        return
    if not can_ask():
        raise click.UsageError("Nobody can be asked here: stdin is no terminal. Add --yes to go on without asking.")
    click.confirm(question, abort=True, err=True)
