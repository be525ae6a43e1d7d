"""Shows errors at the terminal: a sentence, the fields at fault, what to do; never a traceback."""

from __future__ import annotations

import errno
from difflib import get_close_matches
from typing import Any

import click

from crmsync.cli import screen
from crmsync.errors import ConfigurationError, CrmsyncError
from crmsync.plain import visible

FAILED = 1
MISCONFIGURED = 2

NUMBER = click.IntRange(1, 2_147_483_647)
"""Of a record, or how many: what every database can be asked for."""


# What people type, and what they mean by it.
_UP, _CELERY = "crmsync up", "celery -A crmsync"
_MEANT = {
    **dict.fromkeys(("start", "run", "serve", "server", "web"), _UP),
    **{name: f"{_CELERY} {name}" for name in ("worker", "beat", "flower")},
    **dict.fromkeys(("check", "status", "health", "ping"), "crmsync doctor"),
    **dict.fromkeys(("deadletters", "dead_letters", "dlq", "letters", "failed"), "crmsync dead-letters"),
    **dict.fromkeys(("env", "settings"), "crmsync config"),
    **dict.fromkeys(("upgrade", "db"), "crmsync migrate"),
    "replay": "crmsync dead-letters replay",
    "discard": "crmsync dead-letters discard",
    "stock": "crmsync inventory show",
    "customers": "crmsync links",
    "budget": "crmsync limits",
    "version": "crmsync --version",
    "help": "crmsync --help",
}


class FriendlyGroup(click.Group):
    """A group whose commands may raise any CrmsyncError, or find the disk full that they print to."""

    def make_context(self, *words: Any, **options: Any) -> click.Context:
        screen.survive_any_encoding()  # before --help is printed
        return super().make_context(*words, **options)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CrmsyncError as error:
            report(error)
            ctx.exit(status_of(error))
        except UnicodeEncodeError:
            raise click.UsageError("An argument contains bytes that are not valid UTF-8.", ctx) from None
        except OSError as error:
            if error.errno == errno.EPIPE:  # nobody reads on, as after `| head`: click ends in silence
                raise
            place = f" ({error.filename})" if error.filename else ""
            report(CrmsyncError(f"It can't continue: {error.strerror or error}{place}."))
            screen.give_up_unwritten()
            ctx.exit(FAILED)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command. Raises: UsageError that suggests what was probably meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            meant = _MEANT.get(args[0]) or next(iter(get_close_matches(args[0], self.list_commands(ctx), n=1)), "")
            if not meant or args[0].startswith("-"):
                raise
            command = meant if " " in meant else f"{ctx.command_path} {meant}"
            raise click.UsageError(f"There is no command {args[0]!r} here; try `{command}`.", ctx) from None


class ListingGroup(FriendlyGroup):
    """A group that lists where nothing else is said, and shows what is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        first = args[0] if args else ""
        if first not in ("-h", "--help") and first[:1] in ("", "-"):
            args = ["list", *args]
        elif "show" in self.commands and first not in self.commands and any(map(str.isdigit, first)):
            args = ["show", *args]
        return super().parse_args(ctx, args)


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
