"""Calls to the organization's own address, which comes with the token; and lists read to their last page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol
from urllib.parse import urlsplit

from crmsync.connectors.http import Authorizer, ReadLines, Reply, VendorClient, speaks_csv
from crmsync.domain.tokens import AccessToken
from crmsync.errors import ConfigurationError, UnexpectedAnswerError

SYSTEM = "Salesforce"

_ADDRESS = re.compile(r"(https?)://([A-Za-z0-9.-]{1,253}|\[::1\])(?::\d{1,5})?")
_THIS_MACHINE = ("localhost", "127.0.0.1", "[::1]")
_CSV = "text/csv"
_NEXT_PAGE = re.compile(r"/services/data/v\d{1,3}\.\d/query/[A-Za-z0-9_~%.-]{1,500}")


class TokenAuthorizer(Authorizer, Protocol):
    """An authorizer that tells its token, which knows where the API lives; auth.SharedToken is one."""

    def token(self) -> AccessToken: ...


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a query, and whether they were the last ones."""

    rows: list[Any]
    is_done: bool


class SalesforceApi:
    """One organization as paths, JSON and CSV."""

    def __init__(self, client: VendorClient, authorizer: TokenAuthorizer, *, api_version: str, login_url: str) -> None:
        self._client = client
        self._authorizer = authorizer
        self._data = f"/services/data/v{api_version.removeprefix('v')}"
        self._login_url = login_url
        self._trusted = ""

    def instance(self) -> str:
        """The organization's address, signing in where no token is at hand.

        Raises: ConfigurationError for an address to which no credentials may be sent.
        """
        address = self._client.signed_in(self._authorizer.token).instance_url
        if address != self._trusted:
            self._trusted = trusted(address, self._login_url)
        return address

    def account(self) -> str:
        """Whose account the token is, as its answer told."""
        return self._authorizer.token().account

    def call(self, operation: str, method: str, path: str, *, json: Any = None) -> Any:
        """The parsed body of a success, or None where there is none; *path* is below /services/data/v…

        Raises: UnexpectedAnswerError for a body that is no JSON, whatever its status.
        """
        return _json(operation, self._client.call(operation, method, self._url(path), json=json))

    def upload_csv(self, operation: str, path: str, text: str) -> None:
        headers = {"Content-Type": f"{_CSV}; charset=UTF-8"}
        _json(operation, self._client.call(operation, "PUT", self._url(path), data=text.encode(), headers=headers))

    def read_csv(self, operation: str, path: str, read: ReadLines) -> Any:
        """What *read* makes of the lines; whether they have the right columns is for it to say."""
        url, headers = self._url(path), {"Accept": _CSV}
        return self._client.call(operation, "GET", url, headers=headers, speaks=speaks_csv, read=read).body

    def query(self, operation: str, soql: str) -> Iterator[Any]:
        """Every row that *soql* finds."""
        return chain.from_iterable(self.pages(operation, soql))

    def pages(self, operation: str, soql: str) -> Iterator[list[Any]]:
        """Every row that *soql* finds, page by page."""
        return self._pages(operation, self._query(operation, soql))

    def page(self, operation: str, soql: str) -> Page:
        """The rows that *soql* finds, as many as Salesforce gives at once."""
        page = self._query(operation, soql)
        return Page(_records(operation, page), not _next_path(operation, page))

    def rows(self, operation: str, page: Any) -> Iterator[Any]:
        """Every row of *page*, a list that an answer holds, and of the pages after it.

        Raises: UnexpectedAnswerError for a list that does not tell how it goes on, or that leads back to itself.
        """
        return chain.from_iterable(self._pages(operation, page))

    def _pages(self, operation: str, page: Any) -> Iterator[list[Any]]:
        seen = set()
        while True:
            yield _records(operation, page)
            path = _next_path(operation, page)
            if not path:
                return
            if path in seen:
                raise unexpected(operation, "nextRecordsUrl", "the same page came twice")
            seen.add(path)
            page = _json(operation, self._client.call(operation, "GET", f"{self.instance()}{path}"))

    def _query(self, operation: str, soql: str) -> Any:
        return _json(operation, self._client.call(operation, "GET", self._url("/query"), params={"q": soql}))

    def _url(self, path: str) -> str:
        return f"{self.instance()}{self._data}{path}"


def trusted(address: str, login_url: str) -> str:
    """*address*, if the token may be sent there: https; in the clear only on this machine, or on the sign-in's host.

    That settings.py has let the sign-in be in the clear is the user's will (CRMSYNC_ALLOW_HTTP).
    """
    found = _ADDRESS.fullmatch(address)
    if found:
        scheme, host = found.groups()
        login = urlsplit(login_url)
        if scheme == "https" or host in _THIS_MACHINE or (login.scheme == "http" and host == login.hostname):
            return address
    raise ConfigurationError(
        "Salesforce names an address for its API to which crmsync sends no credentials: it must start with https://.",
        system=SYSTEM,
        operation="token",
        field_errors={"instance_url": "is no address that starts with https://"},
        advice="Check SF_LOGIN_URL, then run `crmsync doctor`.",
    )


def unexpected(operation: str, field: str, problem: str) -> UnexpectedAnswerError:
    return UnexpectedAnswerError(system=SYSTEM, operation=operation, field_errors={field: problem})


def _json(operation: str, reply: Reply) -> Any:
    if reply.body is None and reply.text.strip():
        code = f"HTTP {reply.status}"
        raise UnexpectedAnswerError(
            "The answer of Salesforce can't be read.", system=SYSTEM, operation=operation, code=code
        )
    return reply.body


def _records(operation: str, page: Any) -> list[Any]:
    records = page.get("records") if isinstance(page, dict) else None
    if not isinstance(records, list):
        raise unexpected(operation, "records", "is missing")
    return records


def _next_path(operation: str, page: Mapping[str, Any]) -> str:
    """The path of the page after *page*, or "" after the last.

    A path and nothing else: what is joined to the instance's address decides where the token goes.
    """
    path = page.get("nextRecordsUrl")
    if path is None and page.get("done") is True:
        return ""
    if not isinstance(path, str) or not _NEXT_PAGE.fullmatch(path):
        raise unexpected(operation, "nextRecordsUrl", "is missing or no path of a query")
    return path
