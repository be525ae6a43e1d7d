"""Repeats a request without the fields that an organization, or a version of the API, turns out to lack."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from crmsync.connectors.salesforce import soql
from crmsync.errors import PermanentError

Answer = TypeVar("Answer")


def without_lacking(
    known: set[str], ask: Callable[[set[str]], Answer], *, spared: frozenset[str] = frozenset()
) -> Answer:
    """What *ask* answers, given the fields to do without; those that are found out are added to *known*.

    Those that are *spared* are not asked for, whether they are there or not.
    Raises: PermanentError for a field that can't be done without.
    """
    lacking = known | spared
    while True:
        try:
            answer = ask(lacking)
        except PermanentError as error:
            missing = _missing(error, lacking)
            if not missing:
                raise
            lacking |= missing
        else:
            known |= lacking - spared
            return answer


def _missing(error: PermanentError, lacking: set[str]) -> set[str]:
    """Which fields to do without after *error*: those it names, or one after another where it names none of ours."""
    asked = [field for field in soql.OPTIONAL if field not in lacking]
    if error.code != "INVALID_FIELD":
        return set()
    return {field for field in asked if field in error.field_errors} if error.field_errors else set(asked[:1])
