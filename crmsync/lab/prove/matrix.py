"""Verdicts put side by side: what a terminal and a page show of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from crmsync.lab.failpoints import BOUNDARIES
from crmsync.lab.prove.plan import ANSWERS, FAULTS, boundaries_of
from crmsync.lab.prove.verdict import Verdict
from crmsync.phrases import plural

NOT_THERE = "–"  # the step has no such boundary
NOT_RUN = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """All verdicts of one place, added up; *seconds* is the longest recovery."""

    cases: int
    runs: int
    strikes: int
    lost: int
    doubled: int
    stuck: int
    seconds: float | None

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.doubled or self.stuck)

    def __str__(self) -> str:
        """
        >>> str(Cell(2, 2, 2, 0, 0, 0, 4.14)), str(Cell(1, 1, 1, 1, 2, 0, None))
        ('✓ 4.1 s', '✗ 1 lost, 2 twice')
        """
        if self.is_good:
            return f"✓ {seconds_of(self)}".rstrip()
        counts = ((self.lost, "lost"), (self.doubled, "twice"), (self.stuck, "stuck"))
        return "✗ " + ", ".join(f"{count} {what}" for count, what in counts if count)


@dataclass(frozen=True, slots=True)
class Matrix:
    """A table with a head; a cell is a Cell, or a text where nothing was run."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell | str, ...], ...]


def seconds_of(cell: Cell) -> str:
    return "" if cell.seconds is None else f"{cell.seconds:.1f} s"


def add_up(verdicts: Iterable[Verdict]) -> Cell | None:
    """None: no verdict, or none of a case that applies here."""
    counted = [verdict for verdict in verdicts if not verdict.skipped]
    if not counted:
        return None
    seconds = [verdict.seconds for verdict in counted if verdict.seconds is not None]
    return Cell(
        cases=len(counted),
        runs=sum(verdict.runs for verdict in counted),
        strikes=sum(verdict.strikes for verdict in counted),
        lost=sum(len(verdict.lost) for verdict in counted),
        doubled=sum(len(verdict.doubled) for verdict in counted),
        stuck=sum(len(verdict.stuck) for verdict in counted),
        seconds=max(seconds, default=None),
    )


def matrices(verdicts: Sequence[Verdict]) -> list[Matrix]:
    """Step by boundary for kills and stops, step by fault for answers, and a line for each fault of the whole."""
    by_step = [_of_boundaries(fault, verdicts) for fault in ("kill", "worker-stopped")]
    made = [*by_step, _of_answers(verdicts), _of_whole(verdicts)]
    return [matrix for matrix in made if matrix.rows]


def _of_boundaries(fault: str, verdicts: Sequence[Verdict]) -> Matrix:
    mine = [verdict for verdict in verdicts if verdict.case.fault == fault and verdict.case.step]
    rows = tuple(
        (step, *(_at_boundary([each for each in mine if each.case.step == step], boundary) for boundary in BOUNDARIES))
        for step in _steps(mine)
    )
    return Matrix(f"{fault}: {FAULTS[fault]}", ("step", *BOUNDARIES), rows)


def _at_boundary(of_step: Sequence[Verdict], boundary: str) -> Cell | str:
    case = of_step[0].case
    is_there = boundary in boundaries_of(case.fault, case.step, runs_ahead=True)
    return add_up(each for each in of_step if each.case.boundary == boundary) or (NOT_RUN if is_there else NOT_THERE)


def _of_answers(verdicts: Sequence[Verdict]) -> Matrix:
    faults = tuple(ANSWERS)
    mine = [verdict for verdict in verdicts if verdict.case.fault in faults and verdict.case.step]
    rows = tuple((step, *(add_up(_where(mine, step, fault)) or NOT_RUN for fault in faults)) for step in _steps(mine))
    return Matrix("answers: the call for which a step exists", ("step", *faults), rows)


def _of_whole(verdicts: Sequence[Verdict]) -> Matrix:
    columns = ("fault", "struck", "runs", "lost", "twice", "stuck", "recovered")
    faults = list(dict.fromkeys(verdict.case.fault for verdict in verdicts))
    rows = tuple(_whole_row(fault, [each for each in verdicts if each.case.fault == fault]) for fault in faults)
    return Matrix("all faults", columns, rows)


def _whole_row(fault: str, verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    cell = add_up(verdicts)
    if cell is None:
        return (fault, "–", "–", "–", "–", "–", verdicts[0].skipped)
    numbers = (cell.strikes, cell.runs, cell.lost, cell.doubled, cell.stuck)
    return (fault, *(f"{number:,}" for number in numbers), seconds_of(cell))


def _where(verdicts: Iterable[Verdict], step: str, fault: str) -> list[Verdict]:
    return [verdict for verdict in verdicts if (verdict.case.step, verdict.case.fault) == (step, fault)]


def _steps(verdicts: Iterable[Verdict]) -> list[str]:
    return list(dict.fromkeys(verdict.case.step for verdict in verdicts))


def summary(verdicts: Sequence[Verdict]) -> str:
    """One sentence."""
    total = add_up(verdicts)
    broken = [verdict for verdict in verdicts if verdict.case.fault in FAULTS and not verdict.skipped]
    if total is None:
        return "Nothing was tried."
    cases = plural(len(broken), "case")
    faults = plural(len({verdict.case.fault for verdict in broken}), "fault")
    struck = plural(total.strikes, "strike")
    runs = plural(sum(verdict.runs for verdict in broken), "run")  # the audit counts the same ones again
    counts = f"{total.lost} lost, {total.doubled} twice, {total.stuck} stuck"
    return f"{cases} of {faults}, {struck}, {runs}: {counts}."
