"""Calls to the organization's own address, which comes with the token; and lists read to their last page."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol
from urllib.parse import urlsplit

from crmsync.connectors.http import Authorizer, ReadLines, Reply, VendorClient, speaks_csv
from crmsync.connectors.salesforce.causes import MOVED
from crmsync.domain.tokens import AccessToken
from crmsync.errors import (
    CertificateError,
    ConfigurationError,
    CrmsyncError,
    UnexpectedAnswerError,
    VendorUnavailableError,
)

SYSTEM = "Salesforce"

_ADDRESS = re.compile(r"(https?)://([A-Za-z0-9.-]{1,253}|\[::1\])(?::\d{1,5})?")
_THIS_MACHINE = ("localhost", "127.0.0.1", "[::1]")
# Where organizations live: production, sandboxes, government, and the operator in China
# (help.salesforce.com, "My Domain URL Formats").
_SALESFORCE_HOSTS = (
    "salesforce.com",
    "force.com",
    "salesforce.mil",
    "cloudforce.com",
    "database.com",
    "sfcrmproducts.cn",
)
_MOVED_STATUS = re.compile(r"HTTP (3\d\d|40[0-9]|410|421)")
ASK_AGAIN_SECONDS = 300.0
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

    def __init__(
        self,
        client: VendorClient,
        authorizer: TokenAuthorizer,
        *,
        api_version: str,
        login_url: str,
        extra_hosts: Collection[str] = (),
    ) -> None:
        self._client = client
        self._authorizer = authorizer
        self._data = f"/services/data/v{api_version.removeprefix('v')}"
        self._login_url = login_url
        self._extra_hosts = extra_hosts
        self._trusted = ""
        self._asked_at = float("-inf")
        self._lock = threading.Lock()

    def instance(self) -> str:
        """The organization's address, signing in where no token is at hand.

        Raises: ConfigurationError for an address to which no credentials may be sent.
        """
        address = self._client.signed_in(self._authorizer.token).instance_url
        if address != self._trusted:
            self._trusted = trusted(address, self._login_url, self._extra_hosts)
        return address

    def account(self) -> str:
        """Whose account the token is, as its answer told."""
        return self._authorizer.token().account

    def call(self, operation: str, method: str, path: str, *, json: Any = None) -> Any:
        """The parsed body of a success, or None where there is none; *path* is below /services/data/v…"""
        return self._send(operation, method, f"{self._data}{path}", json=json).body

    def upload_csv(self, operation: str, path: str, text: str) -> None:
        headers = {"Content-Type": f"{_CSV}; charset=UTF-8"}
        self._send(operation, "PUT", f"{self._data}{path}", data=text.encode(), headers=headers)

    def read_csv(self, operation: str, path: str, read: ReadLines) -> Any:
        """What *read* makes of the lines; whether they have the right columns is for it to say."""
        headers = {"Accept": _CSV}
        reply = self._send(operation, "GET", f"{self._data}{path}", headers=headers, speaks=speaks_csv, read=read)
        return reply.body

    def _send(self, operation: str, method: str, path: str, **options: Any) -> Reply:
        """One call to the organization's address; where that has moved, once more at the new one.

        Whatever we write there may be written twice: an update of fields, a part of a job that is not closed yet.
        """
        address = self.instance()

        def url() -> str:
            return f"{self.instance()}{path}"

        try:
            return self._client.call(operation, method, url, **options)
        except CrmsyncError as error:
            if not may_have_moved(error) or not self._has_moved(address):
                raise
        return self._client.call(operation, method, url, **options)

    def _has_moved(self, address: str) -> bool:
        """Whether a new sign-in names another address than *address*; in vain at most once in five minutes."""
        try:
            if self.instance() == address and self._may_ask():
                self._client.signed_in(lambda: self._authorizer.renew(self._authorizer.headers()))
            has_moved = self.instance() != address
        except CrmsyncError:
            return False  # the call's own failure says more
        if has_moved:
            self._asked_at = float("-inf")
        return has_moved

    def _may_ask(self) -> bool:
        with self._lock:
            is_due = time.monotonic() - self._asked_at > ASK_AGAIN_SECONDS
            self._asked_at = time.monotonic() if is_due else self._asked_at
            return is_due

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
            page = self._send(operation, "GET", path).body

    def _query(self, operation: str, soql: str) -> Any:
        return self._send(operation, "GET", f"{self._data}/query", params={"q": soql}).body


def may_have_moved(error: CrmsyncError) -> bool:
    """Whether a failure at an address may mean that the organization has another one by now.

    That is said by Salesforce, by a redirect or a page without it, or nobody answers at the address any more.
    """
    if isinstance(error, CertificateError) or error.code == MOVED:
        return True
    is_silent = error.code is None
    return isinstance(error, VendorUnavailableError) and (is_silent or bool(_MOVED_STATUS.fullmatch(error.code or "")))


def trusted(address: str, login_url: str, extra_hosts: Collection[str] = ()) -> str:
    """*address*, if the token may be sent there: https to a host of Salesforce, of the sign-in, or of *extra_hosts*.

    In the clear only on this machine, or on the sign-in's host: that settings.py has let the sign-in be in the clear is
    the user's will (CRMSYNC_ALLOW_HTTP).

    >>> trusted("https://acme.my.salesforce.com", "https://login.salesforce.com")
    'https://acme.my.salesforce.com'
    """
    found = _ADDRESS.fullmatch(address)
    if found:
        scheme, host = found[1], found[2].lower()
        login = urlsplit(login_url)
        is_ours = host == login.hostname or _is_below(host, (*_SALESFORCE_HOSTS, *extra_hosts))
        if host in _THIS_MACHINE or (
            is_ours if scheme == "https" else login.scheme == "http" and host == login.hostname
        ):
            return address
    raise ConfigurationError(
        "Salesforce names an address for its API to which crmsync sends no credentials: it must start with https:// "
        "and be Salesforce's own.",
        system=SYSTEM,
        operation="token",
        field_errors={"instance_url": "is no address of Salesforce that starts with https://"},
        advice="Check SF_LOGIN_URL; a host of your own goes into SF_EXTRA_HOSTS. Then run `crmsync doctor`.",
    )


def _is_below(host: str, domains: Collection[str]) -> bool:
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)


def unexpected(operation: str, field: str, problem: str) -> UnexpectedAnswerError:
    return UnexpectedAnswerError(system=SYSTEM, operation=operation, field_errors={field: problem})


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
