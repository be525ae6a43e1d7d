"""A resource of the API: routes with schemas, and what their documentation shares."""

from __future__ import annotations

import json
from typing import Any

from flask import Request
from flask_smorest import Blueprint
from webargs.flaskparser import FlaskParser

from crmsync.web.api.endpoints import PREFIX
from crmsync.web.api.problems import Problem


class _Parser(FlaskParser):
    """What a schema does not know is refused, also in the address."""

    DEFAULT_UNKNOWN_BY_LOCATION = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": None}  # noqa: RUF012

    def _raw_load_json(self, req: Request) -> Any:
        """Refuses what readers of JSON read differently, or some not at all: a name twice, NaN, thousands of digits."""
        body = req.get_data(cache=True)
        if not body or not req.is_json:
            return super()._raw_load_json(req)
        try:
            return json.loads(body.decode(), object_pairs_hook=_each_once, parse_constant=_refuse)
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise  # webargs says where
        except ValueError as error:
            raise Problem(
                400, "malformed", "The body contains a name twice, or a number that can't be read."
            ) from error


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _refuse()


def _refuse(*_: Any) -> Any:
    """Raises: ValueError."""
    raise ValueError


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
