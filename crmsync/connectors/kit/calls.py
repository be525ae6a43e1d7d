"""One call to a vendor's API, before credentials and host are added."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

from crmsync.connectors.way_out.answers import Speaks, encode

_JSON = {"Content-Type": "application/json"}

Address = str | Callable[[], str]
"""Where a call goes; a function where a new token may bring another address."""

Headers = Mapping[str, str] | Callable[[], Mapping[str, str]]
"""What a call says beside its credentials; a function where another session brings other ones."""

ReadLines = Callable[[Iterator[str]], Any]
"""Reads an answer of any size; an error of errors.py that it raises is the call's."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call before its credentials; *operation* is its stable name in errors and logs.

    Its body is *json*, or *data* as it goes over the wire. An answer of any size is handed to *read*, line by line as
    it comes; what that returns is the reply's body. *speaks* says what is the application's own answer, where that is
    not what the client's other calls get. *scope* names the calls that stand and fall with the same permission.
    """

    operation: str
    method: str
    url: Address
    _: KW_ONLY
    params: Mapping[str, str] | None = None
    json: Any = None
    data: Any = None
    headers: Headers | None = None
    speaks: Speaks | None = None
    read: ReadLines | None = None
    scope: str = ""

    @property
    def address(self) -> str:
        return self.url if isinstance(self.url, str) else self.url()

    @property
    def body(self) -> Any:
        return self.data if self.json is None else encode(self.json)

    @property
    def own_headers(self) -> Mapping[str, str]:
        """What it says beside its credentials, and beside what all calls of its client say."""
        own = self.headers() if callable(self.headers) else self.headers or {}
        return own if self.json is None else {**_JSON, **own}

    @property
    def needs(self) -> str:
        """The permission that it stands and falls with: by default each operation stands alone."""
        return self.scope or self.operation
