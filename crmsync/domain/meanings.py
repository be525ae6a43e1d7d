"""What a change of each field of a deal and of its customer means: declared per field, so that none is forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import cache


class Concern(StrEnum):
    """What a change touches."""

    MONEY = "money"  # what is ordered and billed
    ACCOUNT = "account"  # for whom
    CUSTOMER = "customer"  # what is known of the customer
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Meaning:
    """*name* is what people call the field. Not *is_compared*: its changes are not shown, or are found elsewhere."""

    concern: Concern = Concern.OTHER
    name: str = ""
    is_personal: bool = False
    is_compared: bool = True


def means(concern: Concern, name: str = "", *, is_personal: bool = False) -> Mapping[str, Meaning]:
    """The metadata of a field; without a *name* it is called as in the code."""
    return {"meaning": Meaning(concern, name, is_personal)}


UNCOMPARED: Mapping[str, Meaning] = {"meaning": Meaning(is_compared=False)}


@cache
def meanings(kind: type) -> Mapping[str, Meaning]:
    """The compared fields of a dataclass; one that says nothing means what the class's `unsaid` is."""
    said = {each.name: each.metadata.get("meaning", kind.unsaid) for each in fields(kind)}  # type: ignore[attr-defined]
    return {name: _named(meaning, name) for name, meaning in said.items() if meaning.is_compared}


def _named(meaning: Meaning, field: str) -> Meaning:
    """
    >>> _named(Meaning(), "is_won").name, _named(Meaning(), "closed_on").name
    ('won', 'closed on')
    """
    return replace(meaning, name=meaning.name or field.removeprefix("is_").replace("_", " "))
