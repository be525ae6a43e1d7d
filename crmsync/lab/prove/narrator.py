"""Tells a campaign on the terminal: a line for each case, the matrix, and how to repeat what went wrong."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from rich.text import Text

from crmsync.cli import screen
from crmsync.lab.prove.matrix import Cell, Matrix, matrices, summary
from crmsync.lab.prove.verdict import Verdict
from crmsync.phrases import plural

FINDINGS = 5  # of a case; the JSON file has all


class Narrator:
    """Plain lines where the output is no terminal."""

    def __init__(self) -> None:
        self._out = screen.console()
        self._started_at = time.monotonic()

    def facts(self, facts: Mapping[str, str]) -> None:
        self._out.print(screen.pairs(facts))

    def note(self, text: str) -> None:
        self._out.print(text, style="dim", soft_wrap=True)

    def begin(self, seed: int, number: int) -> None:
        self._out.print(f"\nSeed {seed}: {plural(number, 'case')}", style="bold")

    def judged(self, verdict: Verdict, position: int, number: int) -> None:
        elapsed = time.monotonic() - self._started_at
        line = Text(f"{elapsed:>6.0f} s {position:>3}/{number} ", style="dim")
        line.append(*_mark(verdict))
        line.append(f" {verdict.case.fault:<18} {verdict.case.name if verdict.case.step else '':<54} ")
        line.append(_outcome(verdict))
        self._out.print(line, soft_wrap=True)
        if not verdict.is_good:
            self._explain(verdict)

    def _explain(self, verdict: Verdict) -> None:
        for finding in verdict.findings[:FINDINGS]:
            self._out.print(Text(f"{'':>15}{finding}", style="red"), soft_wrap=True)
        more = len(verdict.findings) - FINDINGS
        if more > 0:
            self._out.print(Text(f"{'':>15}and {more} more", style="red"))
        self._out.print(Text(f"{'':>15}again: {verdict.repeat}", style="bold"), soft_wrap=True)

    def show(self, verdicts: Sequence[Verdict]) -> None:
        """The matrix and the sum of it."""
        for matrix in matrices(verdicts):
            self._out.print(f"\n{matrix.title}", style="bold cyan")
            self._out.print(_table(matrix))
        is_good = all(verdict.is_good for verdict in verdicts)
        self._out.print(
            f"\n{'✓' if is_good else '✗'} {summary(verdicts)}", style="bold green" if is_good else "bold red"
        )


def _mark(verdict: Verdict) -> tuple[str, str]:
    if verdict.skipped:
        return "–", "dim"
    return ("✓", "green") if verdict.is_good else ("✗", "bold red")


def _outcome(verdict: Verdict) -> str:
    """
    >>> from crmsync.lab.prove.plan import Case
    >>> _outcome(Verdict(Case("kill"), 1, runs=1, seconds=4.14))
    '1 run, 0 lost, 0 twice, 0 stuck, 4.1 s'
    """
    if verdict.skipped:
        return verdict.skipped
    counts = f"{len(verdict.lost)} lost, {len(verdict.doubled)} twice, {len(verdict.stuck)} stuck"
    seconds = "" if verdict.seconds is None else f", {verdict.seconds:.1f} s"
    return f"{plural(verdict.runs, 'run')}, {counts}{seconds}"


def _table(matrix: Matrix) -> object:
    from rich.table import Table

    made = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", show_edge=False, pad_edge=False)
    for column in matrix.columns:
        made.add_column(column, overflow="fold")
    for row in matrix.rows:
        made.add_row(*(Text(str(cell), style=_style(cell)) for cell in row))
    return made


def _style(cell: Cell | str) -> str:
    if isinstance(cell, str):
        return ""
    return "green" if cell.is_good else "bold red"
