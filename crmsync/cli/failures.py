"""How an error reaches the person at the terminal: a sentence, the fields at fault, what to do; never a traceback."""

from __future__ import annotations

from typing import Any

import click

from crmsync.cli import screen
from crmsync.errors import ConfigurationError, CrmsyncError
from crmsync.plain import visible

FAILED = 1
MISCONFIGURED = 2


class FriendlyGroup(click.Group):
    """A group whose commands may raise any CrmsyncError."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CrmsyncError as error:
            report(error)
            ctx.exit(status_of(error))


def status_of(error: CrmsyncError) -> int:
    """The exit status of a command that ended with *error*.

    >>> status_of(ConfigurationError()), status_of(CrmsyncError())
    (2, 1)
    """
    return MISCONFIGURED if isinstance(error, ConfigurationError) else FAILED


def report(error: CrmsyncError) -> None:
    """Print *error* to stderr."""
    out = screen.console(stderr=True)
    out.print(f"✗ {sentence_of(error)}", style="bold red")
    if error.field_errors:
        out.print(screen.pairs(error.field_errors))
    if error.advice:
        out.print(error.advice)


def sentence_of(error: CrmsyncError) -> str:
    """What went wrong, without the fields: those have lines of their own.

    >>> sentence_of(ConfigurationError(field_errors={"PORT": "is missing"}))
    'The configuration is incomplete or wrong.'
    """
    sentence = visible(str(error.args[0]))
    return f"{sentence} [{error.code}]" if error.code else sentence
