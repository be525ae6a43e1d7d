"""The REST API as paths, JSON and CSV; and lists read to their last page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

from crmsync.connectors.kit.calls import ReadLines
from crmsync.connectors.kit.pages import Page, pages_from
from crmsync.connectors.salesforce import schemas
from crmsync.connectors.salesforce.errors import SYSTEM, speaks_csv, speaks_done, speaks_versions, speaks_with
from crmsync.connectors.salesforce.organization import Organization
from crmsync.connectors.way_out.answers import Reply, Speaks
from crmsync.errors import UnexpectedAnswerError

_CSV = "text/csv"
_SPEAKS_ROWS = speaks_with("records")
_SPEAKS_PARTS = speaks_with("compositeResponse")
_VERSION = re.compile(r"\d{1,3}\.\d")
_NEXT_PAGE = re.compile(r"/services/data/v\d{1,3}\.\d/query/[A-Za-z0-9_~%.-]{1,500}")


class SalesforceApi:
    """What *organization* offers below /services/data."""

    def __init__(self, organization: Organization, *, api_version: str) -> None:
        self.organization = organization
        self._data = f"/services/data/v{api_version.removeprefix('v')}"

    def versions(self) -> list[str]:
        """The versions of the API that the organization offers. Raises: UnexpectedAnswerError."""
        operation = "list versions"
        body = self.organization.send(operation, "GET", "/services/data", speaks=speaks_versions).body
        return [each["version"] for each in body if _VERSION.fullmatch(str(each.get("version")))]

    def call(self, operation: str, method: str, path: str, *, speaks: Speaks, json: Any = None) -> Any:
        """The parsed body of a success; *path* is below /services/data/v…"""
        return self.organization.send(operation, method, f"{self._data}{path}", speaks=speaks, json=json).body

    def write(self, operation: str, path: str, values: Mapping[str, Any]) -> None:
        """Set fields of the record at *path*."""
        self.organization.send(operation, "PATCH", f"{self._data}{path}", speaks=speaks_done, json=values)

    def composite(self, operation: str, requests: Sequence[tuple[str, str, Mapping[str, Any] | None]]) -> list[Reply]:
        """Several requests (method, path, body) in one call, one after the other; what became of each of them."""
        parts = [
            {"method": method, "url": f"{self._data}{path}", "referenceId": f"part{number}"}
            | ({} if body is None else {"body": body})
            for number, (method, path, body) in enumerate(requests)
        ]
        body = {"allOrNone": False, "compositeRequest": parts}
        answer = self.call(operation, "POST", "/composite", speaks=_SPEAKS_PARTS, json=body)
        found = schemas.load(schemas.COMPOSITE, answer, operation=operation)["answers"]
        if len(found) != len(parts):
            raise unexpected(operation, "compositeResponse", f"has {len(found)} answers to {len(parts)} requests")
        return [Reply(each["status"], {}, each["body"]) for each in found]

    def upload_csv(self, operation: str, path: str, text: str) -> None:
        headers = {"Content-Type": f"{_CSV}; charset=UTF-8"}
        self.organization.send(
            operation, "PUT", f"{self._data}{path}", speaks=speaks_done, data=text.encode(), headers=headers
        )

    def read_csv(self, operation: str, path: str, read: ReadLines) -> Any:
        """What *read* makes of the lines; whether they have the right columns is for it to say."""
        headers = {"Accept": _CSV}
        reply = self.organization.send(
            operation, "GET", f"{self._data}{path}", headers=headers, speaks=speaks_csv, read=read
        )
        return reply.body

    def query(self, operation: str, soql: str) -> Iterator[Any]:
        """Every row that *soql* finds."""
        return chain.from_iterable(self.pages(operation, soql))

    def pages(self, operation: str, soql: str) -> Iterator[list[Any]]:
        """Every row that *soql* finds, page by page."""
        return self._pages(operation, self.page(operation, soql))

    def page(self, operation: str, soql: str) -> Page[str]:
        """The rows that *soql* finds, as many as Salesforce gives at once."""
        return self._page(operation, f"{self._data}/query", params={"q": soql})

    def rows(self, operation: str, part: Any) -> Iterator[Any]:
        """Every row of *part*, a list that an answer holds, and of the pages after it.

        Raises: UnexpectedAnswerError for a list that does not say where it continues, or that leads back to itself.
        """
        return chain.from_iterable(self._pages(operation, _page(operation, part)))

    def _pages(self, operation: str, first: Page[str]) -> Iterator[list[Any]]:
        circle = unexpected(operation, "nextRecordsUrl", "the same page came twice")
        return (page.rows for page in pages_from(first, partial(self._page, operation), circle=circle))

    def _page(self, operation: str, path: str, **options: Any) -> Page[str]:
        return _page(operation, self.organization.send(operation, "GET", path, speaks=_SPEAKS_ROWS, **options).body)


def unexpected(operation: str, field: str, problem: str) -> UnexpectedAnswerError:
    return UnexpectedAnswerError(system=SYSTEM, operation=operation, field_errors={field: problem})


def _page(operation: str, body: Any) -> Page[str]:
    records = body.get("records") if isinstance(body, dict) else None
    if not isinstance(records, list):
        raise unexpected(operation, "records", "is missing")
    return Page(records, _next_path(operation, body))


def _next_path(operation: str, page: Mapping[str, Any]) -> str | None:
    """The path of the page after *page*, None after the last.

    A path and nothing else: what is joined to the instance's address decides where the token goes.
    """
    path = page.get("nextRecordsUrl")
    if path is None and page.get("done") is True:
        return None
    if not isinstance(path, str) or not _NEXT_PAGE.fullmatch(path):
        raise unexpected(operation, "nextRecordsUrl", "is missing or is not the path of a query")
    return path
