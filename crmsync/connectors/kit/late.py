"""Functions that are imported when they are called, so that describing a system costs no memory."""

from __future__ import annotations

from collections.abc import Callable
from pkgutil import resolve_name
from typing import Any


def late(name: str) -> Callable[..., Any]:
    """The function `package.module:function`. Raises, when called: ImportError, AttributeError, and what it raises.

    >>> late("json:loads")("[1]")
    [1]
    """

    def call(*arguments: Any, **named: Any) -> Any:
        return resolve_name(name)(*arguments, **named)

    return call
