"""The fixtures of the integration tests serve the cases as well."""

from __future__ import annotations

from tests.integration.conftest import clock, messenger, services

__all__ = ["clock", "messenger", "services"]
