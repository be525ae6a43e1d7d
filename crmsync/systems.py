"""Finds the installed systems by the entry-point group `crmsync.systems`, ours like everybody else's."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Protocol

from crmsync.errors import ConfigurationError

logger = logging.getLogger(__name__)

GROUP = "crmsync.systems"
ROLES = ("deals", "catalogue", "orders", "stock", "invoices", "payments")
"""What a system can do for a company, in the order in which a deal meets it."""


class Declared(Protocol):
    """What is asked of a system before anything of it is used; all of it: connectors/system.py."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    def problems(self) -> list[str]:
        """What is wrong with it, in words."""

    @property
    def door_paths(self) -> tuple[str, ...]: ...

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
    """By name, in the order in which a deal meets them; those that are refused are left out.

    Raises: ConfigurationError where none is left: crmsync itself brings some.
    """
    found, _ = _loaded()
    if not found:
        raise ConfigurationError("No system is installed.", advice="Install crmsync again: `pip install -e .`")
    return {each.name: each for each in sorted(found, key=_place)}


def refused() -> Mapping[str, str]:
    """Why a system that is installed is not used, by the name of its entry point."""
    _, problems = _loaded()
    return problems


@cache
def _loaded() -> tuple[list[Declared], Mapping[str, str]]:
    """What the entry points lead to, ours first, and what is wrong with others: one must not take the rest down."""
    found, problems = list[Declared](), dict[str, str]()
    for each in sorted(entry_points(group=GROUP), key=lambda point: not point.value.startswith("crmsync.")):
        try:
            system = each.load()
            problem = "; ".join(_problems(system, found))
        except Exception as error:  # of a package that somebody else has made
            problem = f"can't be loaded: {type(error).__name__}: {str(error)[:200]}"
        if problem:
            problems[each.name] = f"the system {each.name} ({each.value}) is not used: {problem}"
            logger.error("%s", problems[each.name], extra={"action": "bad_system"})
        else:
            found.append(system)
    return found, problems


def _problems(system: Any, before: Sequence[Declared]) -> list[str]:
    """What is wrong with a system by itself, and beside those that were found *before* it."""
    if not callable(getattr(system, "problems", None)):
        return [f"expected a crmsync.connectors.system.System, and not a {type(system).__name__}"]
    if own := system.problems():
        return list(own)
    found = [f"there is another system of the name {each.name}" for each in before if each.name == system.name]
    theirs = {path for each in before for path in each.door_paths}
    return found + [f"its door {path} is another system's" for path in system.door_paths if path in theirs]


def _place(system: Declared) -> tuple[int, str]:
    return min((ROLES.index(role) for role in system.roles), default=len(ROLES)), system.name
