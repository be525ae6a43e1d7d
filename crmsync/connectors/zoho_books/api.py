"""Calls under /books/v3: the organization with each of them, and lists to their last page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crmsync.connectors.kit.calls import Call
from crmsync.connectors.kit.http import VendorClient
from crmsync.connectors.kit.pages import Page, pages_from
from crmsync.connectors.way_out.answers import Reply
from crmsync.connectors.zoho_books.errors import NO_CONTENT, SYSTEM, speaks, speaks_list
from crmsync.errors import UnexpectedAnswerError

PAGE_SIZE_MAX = 200


@dataclass(frozen=True, slots=True)
class SortedPage(Page[int]):
    """*sort_column* is the order that the answer claims, "" if it claims none."""

    sort_column: str = ""


class BooksApi:
    """Zoho Books as paths and JSON."""

    def __init__(self, client: VendorClient, *, api_url: str, organization_id: str) -> None:
        self._client = client
        self._base = f"{api_url}/books/v3"
        self._organization = {"organization_id": organization_id}

    def call(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        is_list: bool = False,
    ) -> Any:
        """The parsed body of a success; None where *is_list* and it is empty."""
        spoken = speaks_list if is_list else speaks
        return self._send(operation, method, path, params or {}, json=json, headers=headers, speaks=spoken).body

    def organizations(self) -> Any:
        """GET /organizations, the one call that takes no organization."""
        return self._client.send(Call("list organizations", "GET", f"{self._base}/organizations")).body

    def rows(self, path: str, **filters: str) -> Iterator[Any]:
        """Every row of the list at *path*. Raises: UnexpectedAnswerError, as pages()."""
        for page in self.pages(path, **filters):
            yield from page.rows

    def pages(self, path: str, *, also: str = "", **filters: str) -> Iterator[SortedPage]:
        """The list at *path*, at least one page; its rows stand under its last part, or under the name *also*.

        Raises: UnexpectedAnswerError for an answer without rows, or a page that comes twice.
        """
        key = path.rpartition("/")[2]
        operation = f"list {key}"

        def read(number: int) -> SortedPage:
            params = {**filters, "page": str(number), "per_page": str(PAGE_SIZE_MAX)}
            reply = self._send(operation, "GET", path, params, speaks=speaks_list)
            if reply.status == NO_CONTENT:
                return SortedPage([])
            rows = next((reply.body[name] for name in (key, also) if name in reply.body), None)
            if not isinstance(rows, list):
                raise _unexpected(operation, key, "is missing")
            return _page_of(rows, reply.body, number)

        circle = _unexpected(operation, "page_context", "the same page came twice")
        yield from pages_from(read(1), read, circle=circle)

    def _send(self, operation: str, method: str, path: str, params: Mapping[str, str], **options: Any) -> Reply:
        address, params = f"{self._base}{path}", {**self._organization, **params}
        return self._client.send(Call(operation, method, address, params=params, scope=_scope(path), **options))


def _scope(path: str) -> str:
    """What a token must be allowed for *path*.

    >>> _scope("/customerpayments/46"), _scope("/invoices")
    ('customerpayments', 'invoices')
    """
    return path.strip("/").partition("/")[0]


def _page_of(rows: list[Any], body: Mapping[str, Any], number: int) -> SortedPage:
    """What page_context says of *rows*; zoho's invoices.yml types it as an array of one."""
    context = body.get("page_context")
    if isinstance(context, list):
        context = context[0] if context else None
    context = context if isinstance(context, dict) else {}
    is_full = len(rows) >= PAGE_SIZE_MAX
    has_more = bool(context.get("has_more_page", is_full))
    return SortedPage(rows, number + 1 if has_more else None, str(context.get("sort_column") or ""))


def _unexpected(operation: str, field: str, problem: str) -> UnexpectedAnswerError:
    return UnexpectedAnswerError(system=SYSTEM, operation=operation, field_errors={field: problem})
