"""A resource of the API: routes with schemas, and what their documentation shares."""

from __future__ import annotations

from typing import Any

from flask_smorest import Blueprint
from webargs.flaskparser import FlaskParser

from crmsync.web.api.endpoints import PREFIX


class _Parser(FlaskParser):
    """What a schema does not know is refused, also in the address."""

    DEFAULT_UNKNOWN_BY_LOCATION = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": None}  # noqa: RUF012


class Resource(Blueprint):
    """*path* is below /api/erp."""

    ARGUMENTS_PARSER = _Parser()

    def __init__(self, name: str, description: str) -> None:
        super().__init__(name, "crmsync.web.api", url_prefix=PREFIX, description=description)

    def asks(self, schema: Any) -> Any:
        """What the address says."""
        return self.arguments(schema, location="query")

    def takes(self, schema: Any) -> Any:
        """What the body says."""
        return self.arguments(schema, location="json")
