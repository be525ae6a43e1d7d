"""The CSV of bulk jobs: rows that are uploaded, and results that come back."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any


def written(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    r"""*rows* below their *columns*, with LF; numbers without exponent, truth as true and false.

    >>> written(["Id", "Stock__c", "Low__c"], [["01t1", Decimal("1E+2"), False]])
    'Id,Stock__c,Low__c\n01t1,100,false\n'
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue()


def read(text: str, columns: Iterable[str]) -> Iterator[Mapping[str, str]]:
    """The rows of *text*, as rows() does."""
    return rows(io.StringIO(text, newline=""), columns)


def rows(lines: Iterable[str], columns: Iterable[str]) -> Iterator[Mapping[str, str]]:
    """The rows of *lines* by the name of their column, one after the other.

    Raises: ValueError for lines that have not got all of *columns*, or rows that are longer or shorter than the header.
    """
    reader = csv.DictReader(lines, strict=True)
    try:
        if not set(columns) <= set(reader.fieldnames or ()):
            raise ValueError("a column is missing")
        for row in reader:
            if None in row or None in row.values():
                raise ValueError("a row does not match the header")
            yield row
    except csv.Error as error:
        raise ValueError("is not valid CSV") from error


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:f}" if isinstance(value, Decimal) else str(value)
