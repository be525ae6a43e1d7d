"""Options that many commands share: --json, --yes, and the confirmation that --yes replaces."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from crmsync.domain.audit import Act

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
owner_option = click.option("--tenant", default="default", show_default=True, help="The company it belongs to.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


def can_ask() -> bool:
    """True if a person sits at the other end of stdin."""
    return sys.stdin.isatty()


def confirm(question: str, *, yes: bool) -> None:
    """Ask, unless *yes*. Raises: click.UsageError where nobody can be asked; click.Abort for a no."""
    if yes:
        return
    if not can_ask():
        raise click.UsageError(
            "Cannot ask for confirmation: stdin is not a terminal. Add --yes to continue without it."
        )
    click.confirm(question, abort=True, err=True)


def by_and_reason(command: Callable[..., Any]) -> Callable[..., Any]:
    """--by and --reason, for act()."""
    by = click.option("--by", metavar="NAME", help="Who decides this (default: the user of this shell).")
    reason = click.option("--reason", metavar="TEXT", help="The reason, for the audit.")
    return by(reason(command))


def accounted(command: Callable[..., Any]) -> Callable[..., Any]:
    """--by and --reason, as the Act *who* that the command takes: who does it, and why, for the audit."""

    @wraps(command)
    def with_act(*arguments: Any, by: str | None, reason: str | None, **options: Any) -> Any:
        return command(*arguments, who=act(by, reason), **options)

    return by_and_reason(with_act)


def act(by: str | None, reason: str | None, *, needed_for: str = "", yes: bool = False) -> Act:
    """Who does something here, and why. A person is asked for a reason that is *needed_for* something.

    Raises: click.UsageError where there is none, and nobody can be asked.
    """
    from crmsync.cli.process import user
    from crmsync.domain.audit import REASON_LENGTH, Act, Origin

    reason = (reason or "").strip()
    if needed_for and not reason and (yes or not can_ask()):
        raise click.UsageError(f'{needed_for} needs a reason, for the audit: add --reason "…" (and --by NAME).')
    if needed_for and not reason:
        reason = click.prompt(f"{needed_for} needs a reason. Why", err=True).strip()
    if len(reason) > REASON_LENGTH:
        raise click.BadParameter(f"at most {REASON_LENGTH} characters", param_hint="--reason")
    return Act((by or "").strip() or user(), Origin.CLI, reason)
