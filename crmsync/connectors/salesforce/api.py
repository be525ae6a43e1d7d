"""Calls to the organization's own address, which comes with the token; and lists read to their last page."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, Protocol

from crmsync.connectors.kit.calls import Call, ReadLines
from crmsync.connectors.kit.http import VendorClient
from crmsync.connectors.kit.pages import Page, pages_from
from crmsync.connectors.salesforce import schemas
from crmsync.connectors.salesforce.addresses import has_moved, is_trusted, may_have_moved, trusted
from crmsync.connectors.salesforce.errors import SYSTEM, speaks_csv, speaks_done, speaks_versions, speaks_with
from crmsync.connectors.signing_in.auth import Authorizer
from crmsync.connectors.way_out.answers import Reply, Speaks
from crmsync.domain.tokens import AccessToken
from crmsync.errors import AccountRefusedError, CrmsyncError, NotNowError, UnexpectedAnswerError

ASK_AGAIN_SECONDS = 300.0  # where the organization may have moved
ASK_SOON_SECONDS = 10.0  # where it surely has: the sign-in may name the old address for a while
PATIENCE_SECONDS = 120.0  # after which a person must hear of it
_CSV = "text/csv"
_SPEAKS_ROWS = speaks_with("records")
_SPEAKS_PARTS = speaks_with("compositeResponse")
_VERSION = re.compile(r"\d{1,3}\.\d")
_NEXT_PAGE = re.compile(r"/services/data/v\d{1,3}\.\d/query/[A-Za-z0-9_~%.-]{1,500}")


class TokenAuthorizer(Authorizer, Protocol):
    """An authorizer that tells its token, which knows where the API lives; auth.SharedToken is one."""

    def token(self) -> AccessToken: ...


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
        self._lost_since: float | None = None  # when an address was first given up of which no other was named
        self._lock = threading.Lock()

    def instance(self) -> str:
        """The organization's address, signing in where no token is at hand.

        Raises: AccountRefusedError for an address to which no credentials may be sent; then all calls wait.
        """
        return self._client.signed_in(self._address)

    def _address(self) -> str:
        """That of the token at hand; one that is not to be trusted may be of yesterday, so it is asked for anew."""
        address = self._authorizer.token().instance_url
        if address == self._trusted:
            return address
        if not is_trusted(address, self._login_url, self._extra_hosts) and self._may_ask(ASK_SOON_SECONDS):
            self._authorizer.renew(self._authorizer.headers())
            address = self._authorizer.token().instance_url
        self._trusted = trusted(address, self._login_url, self._extra_hosts)
        return address

    def account(self) -> str:
        """Whose account the token is, as its answer told."""
        return self._authorizer.token().account

    def versions(self) -> list[str]:
        """The versions of the API that the organization offers. Raises: UnexpectedAnswerError."""
        operation = "list versions"
        body = self._send(operation, "GET", "/services/data", speaks=speaks_versions).body
        return [each["version"] for each in body if _VERSION.fullmatch(str(each.get("version")))]

    def call(self, operation: str, method: str, path: str, *, speaks: Speaks, json: Any = None) -> Any:
        """The parsed body of a success; *path* is below /services/data/v…"""
        return self._send(operation, method, f"{self._data}{path}", speaks=speaks, json=json).body

    def write(self, operation: str, path: str, values: Mapping[str, Any]) -> None:
        """Set fields of the record at *path*."""
        self._send(operation, "PATCH", f"{self._data}{path}", speaks=speaks_done, json=values)

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
        self._send(operation, "PUT", f"{self._data}{path}", speaks=speaks_done, data=text.encode(), headers=headers)

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

        call = Call(operation, method, lambda: f"{self.instance()}{path}", **options)
        try:
            reply = self._client.send(call)
        except CrmsyncError as error:
            if not may_have_moved(error):
                raise
            self._follow(error, address)
            reply = self._client.send(call)
        self._lost_since = None
        return reply

    def _follow(self, error: CrmsyncError, address: str) -> None:
        """Sign in anew, for the address that the organization has instead of *address*.

        Raises: *error* where it has none; where it surely has, and the sign-in does not name it yet, NotNowError, and
        AccountRefusedError after a while.
        """
        is_certain = has_moved(error)
        if self._has_moved(address, ASK_SOON_SECONDS if is_certain else ASK_AGAIN_SECONDS):
            self._lost_since = None
            self._client.moved()
        elif is_certain:
            raise self._not_yet()
        else:
            raise error

    def _has_moved(self, address: str, seconds: float) -> bool:
        """Whether a new sign-in names another address than *address*; asked in vain at most once in *seconds*.

        Past the breaker: what this finds out is why nobody answers.
        """
        try:
            if self._address() == address and self._may_ask(seconds):
                self._authorizer.renew(self._authorizer.headers())
            is_elsewhere = self._address() != address
        except CrmsyncError:
            return False  # the call's own failure says more
        if is_elsewhere:
            self._asked_at = float("-inf")
        return is_elsewhere

    def _may_ask(self, seconds: float) -> bool:
        with self._lock:
            is_due = time.monotonic() - self._asked_at > seconds
            self._asked_at = time.monotonic() if is_due else self._asked_at
            return is_due

    def _not_yet(self) -> CrmsyncError:
        now = time.monotonic()
        self._lost_since = self._lost_since or now
        if now - self._lost_since < PATIENCE_SECONDS:
            what = "The organization has another address in Salesforce by now, and the sign-in does not name it yet."
            return NotNowError(what, wait_seconds=ASK_SOON_SECONDS, system=SYSTEM)
        return self._client.refused(
            AccountRefusedError(
                "The organization has another address in Salesforce by now, but the sign-in still names the old one.",
                system=SYSTEM,
                operation="token",
                advice="Set SF_LOGIN_URL to its present My Domain or to https://login.salesforce.com, restart, then "
                "run `crmsync doctor`.",
            )
        )

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

        Raises: UnexpectedAnswerError for a list that does not tell how it goes on, or that leads back to itself.
        """
        return chain.from_iterable(self._pages(operation, _page(operation, part)))

    def _pages(self, operation: str, first: Page[str]) -> Iterator[list[Any]]:
        circle = unexpected(operation, "nextRecordsUrl", "the same page came twice")
        return (page.rows for page in pages_from(first, partial(self._page, operation), circle=circle))

    def _page(self, operation: str, path: str, **options: Any) -> Page[str]:
        return _page(operation, self._send(operation, "GET", path, speaks=_SPEAKS_ROWS, **options).body)


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
        raise unexpected(operation, "nextRecordsUrl", "is missing or no path of a query")
    return path
