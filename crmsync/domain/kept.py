"""Reads and writes what is stored as JSON: it may come from an older release, or from a newer one.

What a release does not know is dropped, and what is missing has its default: a field that is added needs one therefore.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from types import UnionType
from typing import Any, ClassVar, Self, Union, get_args, get_origin, get_type_hints

from crmsync.errors import NewerReleaseError

VERSION = "v"  # the key of a result's version; what was written before there was one is of the first

Convert = Callable[[Any], Any]


class Kept:
    """A dataclass that has a form as JSON; a field with `metadata=UNKEPT` is not in it."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        return {
            name: getattr(self, name) if convert is None else convert(getattr(self, name))
            for name, convert in _writers(type(self))  # type: ignore[arg-type]  # a class can be hashed
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Raises: TypeError where a field is missing that every release has written."""
        found = {
            name: value[name] if convert is None else convert(value[name])
            for name, convert in _readers(cls)  # type: ignore[arg-type]
            if name in value
        }
        return cls(**found)


UNKEPT: Mapping[str, bool] = {"is_kept": False}


class Learned(Kept):
    """What a step learned. *version* is raised only where an older release must not read what is written now.

    A class says itself how people read it; where it says nothing, nothing is shown, for it may hold persons.
    """

    __slots__ = ()
    version: ClassVar[int] = 1

    def in_short(self) -> str:
        """What stands beside the step, in a few words and without persons; also of what it has learned so far."""
        return ""

    def in_detail(self) -> Sequence[tuple[str, str]]:
        """What stands on the run's page, by name and without persons; what is "" is left out."""
        return ()

    def to_json(self) -> dict[str, Any]:
        return {VERSION: self.version, **super().to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Raises: NewerReleaseError; TypeError where a field is missing that every release has written."""
        if not cls.can_read(value):
            raise NewerReleaseError(f"What a newer release of crmsync has learned ({cls.__name__}) can't be read here.")
        return super().from_json(value)

    @classmethod
    def can_read(cls, value: Mapping[str, Any]) -> bool:
        version = value.get(VERSION, 1)
        return isinstance(version, int) and version <= cls.version

    @classmethod
    def peek(cls, value: Any) -> Self | None:
        """For readers that change nothing: None where there is nothing, or nothing that this release can read."""
        if not isinstance(value, Mapping):
            return None
        try:
            return cls.from_json(value)
        except (NewerReleaseError, TypeError, ValueError, ArithmeticError):
            return None


# How a value of each type is read and written; None: as it is.
_LEAVES: Mapping[Any, tuple[Convert | None, Convert | None]] = {
    **dict.fromkeys((str, int, bool, Any), (None, None)),
    Decimal: (Decimal, str),
    datetime: (datetime.fromisoformat, datetime.isoformat),
    date: (date.fromisoformat, date.isoformat),
}


@cache
def _readers(kind: type[Kept]) -> tuple[tuple[str, Convert | None], ...]:
    return tuple((name, reader) for name, (reader, _) in _forms(kind))


@cache
def _writers(kind: type[Kept]) -> tuple[tuple[str, Convert | None], ...]:
    return tuple((name, writer) for name, (_, writer) in _forms(kind))


def _forms(kind: type[Kept]) -> list[tuple[str, tuple[Convert | None, Convert | None]]]:
    types = get_type_hints(kind)
    return [(each.name, _form(types[each.name])) for each in fields(kind) if each.metadata.get("is_kept", True)]  # type: ignore[arg-type]


def _form(kind: Any) -> tuple[Convert | None, Convert | None]:
    """How a value of the type *kind* is read and written. Raises: TypeError for one that can't be kept."""
    if kind in _LEAVES:
        return _LEAVES[kind]
    if is_dataclass(kind) and isinstance(kind, type) and issubclass(kind, Kept):
        return kind.from_json, kind.to_json
    inner = get_args(kind)
    if get_origin(kind) in (UnionType, Union) and inner[1:] == (type(None),):
        reader, writer = _form(inner[0])
        return reader and _unless_none(reader), writer and _unless_none(writer)
    if get_origin(kind) is tuple and inner[1:] == (...,):
        reader, writer = _form(inner[0])
        return _each(tuple, reader), _each(list, writer)
    if get_origin(kind) is Mapping and _form(inner[1]) == (None, None):
        return dict, dict
    raise TypeError(f"{kind} has no form in which it is kept")


def _unless_none(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


def _each(gather: Convert, convert: Convert | None) -> Convert:
    return gather if convert is None else lambda values: gather(map(convert, values))
