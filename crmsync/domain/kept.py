"""What a step learned, as it stands in the store: it may have been written by an older release, or by a newer one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any


def known(kind: type[Any], value: Mapping[str, Any]) -> dict[str, Any]:
    """What *kind*, a dataclass, knows of *value*: a newer release may have written more, and an older one less.

    A field that is added needs a default therefore.
    """
    names = {field.name for field in fields(kind)}
    return {name: kept for name, kept in value.items() if name in names}
