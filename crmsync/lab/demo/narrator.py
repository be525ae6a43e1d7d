"""Tells the story: chapters, steps with the time they took, what was typed and what came of it."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from crmsync.cli import screen

WIDTH = 118
INDENT = 3
LABEL_WIDTH = 22


class Narrator:
    """Plain lines where the output is no terminal; nothing depends on colour."""

    def __init__(self, console: Console | None = None) -> None:
        self._out = console or _console()
        self._chapters = 0

    @property
    def room(self) -> int:
        """How wide the lines of a command may be."""
        return self._out.width - INDENT - 2

    def title(self, text: str) -> None:
        self._out.print(text, style="bold")

    def chapter(self, title: str) -> None:
        self._chapters += 1
        self._out.print(f"\n{self._chapters}. {title}", style="bold cyan")

    def say(self, text: str) -> None:
        """A sentence of the story."""
        indent = " " * INDENT
        self._out.print(textwrap.fill(text, self._out.width, initial_indent=indent, subsequent_indent=indent))

    def note(self, text: str) -> None:
        self._out.print(text, style="dim")

    def facts(self, facts: Mapping[str, str]) -> None:
        for name, value in facts.items():
            self._labelled(f"{' ' * INDENT}{name:<{LABEL_WIDTH}}", "cyan", value)

    def step(self, system: str, text: str, *, seconds: float | None = None, is_good: bool = True) -> None:
        """Something has happened, *seconds* after what the chapter waits from."""
        mark, style = ("✓", "green") if is_good else ("✗", "red")
        took = f"{seconds:>6.2f} s" if seconds is not None else " " * 8
        self._labelled(f"{' ' * INDENT}{took} {mark} {system:<10}", style, text)

    def failed(self, text: str) -> None:
        self._out.print(f"\n✗ {text}", style="bold red")

    def typed(self, command: str, lines: Sequence[str], *, seconds: float | None = None) -> None:
        """A command, and what it printed where it was really run."""
        self._out.print(Text(f"{' ' * INDENT}$ {command}", style="bold"), soft_wrap=True)
        for line in lines:
            self._out.print(Text(f"{' ' * INDENT}  {line}".rstrip()), soft_wrap=True)
        if seconds is not None:
            self.step("crmsync", "the command has ended", seconds=seconds)

    def quote(self, title: str, lines: Sequence[str]) -> None:
        self._out.print(f"{' ' * INDENT}┌ {title}", style="bold")
        for line in lines:
            self._out.print(Text(f"{' ' * INDENT}│ {line}"), soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str]) -> None:
        self._out.print(Padding(screen.table(columns, rows, right=right), (0, 0, 0, INDENT), expand=False))

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """A sign of life while nothing happens; only in a terminal."""
        if not self._out.is_terminal:
            yield
            return
        with self._out.status(f"{text} …"):
            yield

    def _labelled(self, label: str, style: str, text: str) -> None:
        line = Text(label, style=style)
        line.append(f" {text}", style="default")
        self._out.print(line, soft_wrap=True)


def _console() -> Console:
    console = screen.console()
    if sys.stdout.isatty():
        console.width = min(shutil.get_terminal_size().columns, WIDTH)
    else:
        console.width = WIDTH
    return console


def lines_of(message: dict[str, Any]) -> list[str]:
    """A message as Slack would show it, without its markup."""
    return [line for block in message["blocks"] for line in _block(block)]


def _block(block: dict[str, Any]) -> list[str]:
    if "fields" in block:
        pairs = [_plain(field["text"]).split("\n", 1) for field in block["fields"]]
        width = max(len(name) for name, _ in pairs)
        return [f"{name:<{width}}  {value}" for name, value in pairs]
    return _plain(block["text"]["text"]).splitlines()


def _plain(text: str) -> str:
    """
    >>> _plain("*Cause*\\nA &amp; B")
    'Cause\\nA & B'
    """
    text = text.replace("```", "").replace("*", "")
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(entity, character)
    return text
