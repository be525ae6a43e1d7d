"""The store of the web's tests, with their runs and dead letters."""

from tests.unit.web.conftest import a_letter, a_run, clock, services, settings

__all__ = ["a_letter", "a_run", "clock", "services", "settings"]
