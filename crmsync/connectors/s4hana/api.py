"""Calls of OData services: collections to their last page, single entities, and creates with their CSRF token."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from crmsync import errors
from crmsync.connectors.kit.calls import Call
from crmsync.connectors.kit.http import VendorClient
from crmsync.connectors.kit.pages import Page, pages_from
from crmsync.connectors.s4hana import odata
from crmsync.connectors.s4hana.csrf import Tokens
from crmsync.connectors.s4hana.errors import SYSTEM, StaleTokenError, remarks, unexpected
from crmsync.connectors.s4hana.odata import Address, Row
from crmsync.connectors.s4hana.services import Resource
from crmsync.connectors.way_out.answers import Reply

PAGE_ROWS = 50
PAGES_MAX = 200  # what we search for is unique: more pages than this mean that the filter was ignored

log = logging.getLogger(__name__)


class SapApi:
    """Speaks OData V2 with the services of one system."""

    def __init__(self, client: VendorClient, tokens: Tokens, address: Address) -> None:
        self._client = client
        self._tokens = tokens
        self._address = address

    def rows(self, operation: str, at: Resource, options: Mapping[str, str]) -> Iterator[Row]:
        """Every row of a collection that is small: what a search finds.

        Raises: UnexpectedAnswerError for a page that comes again, or for more than 200 of them.
        """
        for rows in self.pages(operation, at, options):
            yield from rows

    def pages(
        self,
        operation: str,
        at: Resource,
        options: Mapping[str, str],
        *,
        page_rows: int = PAGE_ROWS,
        pages_max: int = PAGES_MAX,
    ) -> Iterator[list[Row]]:
        """The pages of a collection. Some services page by themselves, some return what $top and $skip say.

        Raises: UnexpectedAnswerError for a page that comes again, or for more than *pages_max* of them.
        """
        taken, slice_end = 0, page_rows

        def read(url: str) -> Page[str]:
            nonlocal taken, slice_end
            part = self._part(operation, url)
            taken += len(part.rows)
            if part.next_link:
                return Page(part.rows, self._address.next_url(at.service, part.next_link))
            if taken != slice_end and taken >= (part.count or 0):
                return Page(part.rows)
            # Cut by our $top, or by a limit of SAP's own. Else fewer: the end. More: $top was ignored.
            slice_end = taken + page_rows
            return Page(part.rows, self._slice(at, options, taken, page_rows))

        start = self._slice(at, options, taken, page_rows)
        for page in self._to_the_last(operation, read(start), read, start=start, at_most=pages_max):
            yield page.rows

    def read(self, operation: str, at: Resource, number: str, options: Mapping[str, str]) -> Row:
        """The entity of this *number*, with or without the zeros before it. Raises: RecordNotFoundError."""
        try:
            return self._read(operation, at.entity(number), options)
        except errors.RecordNotFoundError:
            if odata.padded(number) == number:
                raise
            return self._read(operation, at.entity(odata.padded(number)), options)

    def _read(self, operation: str, at: Resource, options: Mapping[str, str]) -> Row:
        return self._single(operation, self._get(operation, self._address.url(at.service, at.path, options)))

    def expanded(self, operation: str, service: str, row: Row, *path: str) -> list[Row]:
        """Every row at the end of an expanded *path*: SAP pages inside an answer as well.

        Raises: UnexpectedAnswerError for a page that comes again.
        """

        def read(link: str) -> Page[str]:
            return _followed(self._part(operation, self._address.next_url(service, link)))

        pages = self._to_the_last(operation, _followed(odata.expansion(row, *path)), read)
        return [each for page in pages for each in page.rows]

    def create(self, operation: str, at: Resource, body: Mapping[str, Any]) -> Row:
        """Create one entity with all that is nested in it; SAP's answer may lack what it computes.

        Raises: UnexpectedAnswerError, not definite, for a success that can't be read.
        """
        return self.create_with_remarks(operation, at, body)[0]

    def create_with_remarks(self, operation: str, at: Resource, body: Mapping[str, Any]) -> tuple[Row, list[str]]:
        """Create a record, as create(); returns it, and the codes of the warnings that came with the success."""
        row, found = self.posted(operation, at, body)
        for code in found:
            extra = {"action": "vendor_remark", "system": SYSTEM, "operation": operation, "code": code}
            log.warning("SAP made it, with a remark", extra=extra)
        return row, found

    def posted(self, operation: str, at: Resource, body: Mapping[str, Any]) -> tuple[Row, list[str]]:
        """Post a trial; returns its answer and the codes of its warnings, and logs nothing."""
        reply = self._post(operation, at, body)
        return self._single(operation, reply), remarks(reply.headers)

    def first(self, operation: str, at: Resource, options: Mapping[str, str]) -> Row | None:
        """The first row of a collection; None where there is none."""
        page = next(self.pages(operation, at, options, page_rows=1), [])
        return page[0] if page else None

    def peek(self, operation: str, at: Resource, field: str) -> None:
        """Read one row, to see whether it may be read."""
        options = {"$select": field, "$orderby": field, "$top": "1"}
        self._part(operation, self._address.url(at.service, at.path, options))

    def may_write(self, service: str) -> None:
        """Fetch a CSRF token: as near to a write as a check can come."""
        self._tokens.of(service)

    def _slice(self, at: Resource, options: Mapping[str, str], skip: int, rows: int) -> str:
        return self._address.url(at.service, at.path, {**options, "$top": str(rows), "$skip": str(skip)})

    def _to_the_last(
        self, operation: str, first: Page[str], read: Callable[[str], Page[str]], **limits: Any
    ) -> Iterator[Page[str]]:
        return pages_from(first, read, circle=unexpected(operation, "does not reach the last page"), **limits)

    def _part(self, operation: str, url: str) -> odata.Part:
        part = odata.part(self._get(operation, url).body)
        if part is None:
            raise unexpected(operation, "did not answer with a collection")
        return part

    def _get(self, operation: str, url: str) -> Reply:
        call = Call(operation, "GET", url, headers=self._tokens.cookie_headers)
        with self._tokens.in_session():
            try:
                return self._client.send(call)
            except errors.AuthenticationError as error:
                if isinstance(error, errors.AccountRefusedError) or not self._tokens.leave_if_old():
                    raise
                return self._client.send(call)

    def _post(self, operation: str, at: Resource, body: Mapping[str, Any]) -> Reply:
        """One write; a token that is stale, or may be, is renewed once, for the vendor has done nothing then."""
        token = self._tokens.of(at.service)

        def headers() -> Mapping[str, str]:
            nonlocal token
            token = self._tokens.of(at.service)
            return token.headers

        call = Call(operation, "POST", self._address.url(at.service, at.path), json=body, headers=headers)
        with self._tokens.in_session():
            try:
                return self._client.send(call)
            except errors.AuthenticationError as error:
                is_about_token = isinstance(error, StaleTokenError) or token.may_be_stale
                if isinstance(error, errors.AccountRefusedError) or not is_about_token:
                    raise
                self._tokens.leave_if_old()
                self._tokens.renewed(at.service, stale=token)
                return self._client.send(call)

    def _single(self, operation: str, reply: Reply) -> Row:
        row = odata.single(reply.body)
        if row is None:
            raise unexpected(operation, "did not answer with a record")
        return row


def _followed(part: odata.Part) -> Page[str]:
    return Page(part.rows, part.next_link or None)
