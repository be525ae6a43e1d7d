"""Prints results: tables and colours in a terminal, plain lines elsewhere, JSON on request."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from crmsync.plain import json_text, json_value, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WIDTH_WITHOUT_TERMINAL = 180  # a file or a pipe has no edge: nothing is cut or folded

STYLES = {"done": "green", "stopped": "red", "waiting": "yellow", "retry": "yellow", "replayed": "cyan"}


def survive_any_encoding() -> None:
    """Where a locale has no ✓ or …, another sign stands for it; the command goes on."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def give_up_unwritten() -> None:
    """Where the output can't be written, neither can what is left of it; Python would complain when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        with open(os.devnull, "wb") as nowhere, suppress(OSError):
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def console(*, stderr: bool = False) -> Console:
    """Data is never read as markup; NO_COLOR and COLUMNS are honoured."""
    from rich.console import Console

    class SafeConsole(Console):
        """Whatever is printed may hold what strangers wrote."""

        def print(self, *objects: Any, **options: Any) -> None:
            super().print(*(_safe(each) if isinstance(each, str) else each for each in objects), **options)

    made = SafeConsole(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = WIDTH_WITHOUT_TERMINAL
    return made


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> Table:
    """A table of *rows*; the columns in *right* are aligned to the right, like numbers."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", show_edge=False, pad_edge=False)
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        cells = ["" if cell is None else _safe(str(cell)) for cell in row]
        made.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in cells))
    return made


def records(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> Table:
    """A table of those *columns* of each row that bear its keys' names."""
    return table(columns, ([row[name] for name in columns] for row in rows))


def _safe(text: str) -> str:
    return visible(text, keep="\n\t")


def pairs(values: Mapping[str, object]) -> Table:
    """Names and values, one a line, aligned."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, show_header=False, padding=(0, 2, 0, 2), pad_edge=True)
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in values.items():
        made.add_row(Text(name, style="cyan"), Text(_safe(str(value))))
    return made


def print_json(value: Any) -> None:
    click.echo(json_text(value, indent=2, default=json_value))
