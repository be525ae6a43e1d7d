"""A real store with dead letters in it, as the tests of the commands have."""

from __future__ import annotations

from tests.unit.cli.conftest import bury, store

__all__ = ["bury", "store"]
