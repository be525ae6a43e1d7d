"""Finds the installed systems by the entry-point group `crmsync.systems`, ours like everybody else's."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Protocol

from crmsync.errors import ConfigurationError

GROUP = "crmsync.systems"
ROLES = ("deals", "catalogue", "orders", "stock", "invoices", "payments")
"""What a system can do for a company, in the order in which a deal meets it."""


class Declared(Protocol):
    """What is asked of a system before anything of it is used; all of it: connectors/system.py."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def roles(self) -> tuple[str, ...]: ...

    @property
    def prefixes(self) -> tuple[str, ...]:
        """With which its variables begin."""

    @property
    def other_prefixes(self) -> tuple[str, ...]:
        """With which people begin them by mistake."""

    @property
    def settings(self) -> type[Any]: ...

    def read(self, reader: Any) -> Any | None:
        """Its settings, of a reader of variables; None where they say nothing of it."""

    @property
    def sign_in_secrets(self) -> frozenset[str]:
        """The variables whose values sign in."""

    @property
    def door_secrets(self) -> frozenset[str]:
        """The variables whose values prove that a webhook is authentic."""


@cache
def installed() -> Mapping[str, Declared]:
    """By name, in the order in which a deal meets them.

    Raises: ConfigurationError where none is: crmsync itself brings some.
    """
    found: list[Declared] = [each.load() for each in entry_points(group=GROUP)]
    if not found:
        raise ConfigurationError("No system is installed.", advice="Install crmsync again: `pip install -e .`")
    return {each.name: each for each in sorted(found, key=_place)}


def _place(system: Declared) -> tuple[int, str]:
    return min((ROLES.index(role) for role in system.roles), default=len(ROLES)), system.name
