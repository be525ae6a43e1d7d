"""A measured figure, what it should be, and how it was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Row = Sequence[Any]


@dataclass(frozen=True)
class Figure:
    """*target* is a floor where *is_floor*, else a ceiling. The first row of *table* is its head."""

    name: str
    value: float
    unit: str
    target: float
    how: str
    is_floor: bool = False
    table: Sequence[Row] = field(default_factory=tuple)

    @property
    def is_met(self) -> bool:
        return self.value >= self.target if self.is_floor else self.value <= self.target

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "is_met": self.is_met}

    def __str__(self) -> str:
        relation = "at least" if self.is_floor else "at most"
        verdict = "ok" if self.is_met else "MISSED"
        line = f"{self.name}: {self.value:.2f} {self.unit}, target {relation} {self.target:g}: {verdict}"
        return "\n".join([line, f"  {self.how}", *aligned(self.table)])


def aligned(table: Sequence[Row]) -> list[str]:
    """The rows with their columns under each other; numbers to the right.

    >>> aligned([("process", "MB"), ("web", 80.25)])
    ['  process    MB', '  web      80.2']
    """
    texts = [[f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return ["  " + "  ".join(_cells(row, widths)) for row in texts]


def _cells(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
