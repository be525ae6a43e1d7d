"""One call of a vendor's client, before it gets its credentials and its address."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crmsync.connectors.way_out.answers import Speaks

_JSON = {"Content-Type": "application/json"}

Address = str | Callable[[], str]
"""Where a call goes; a function where a new token may bring another address."""

Headers = Mapping[str, str] | Callable[[], Mapping[str, str]]
"""What a call says beside its credentials; a function where another session brings other ones."""

ReadLines = Callable[[Iterator[str]], Any]
"""Reads an answer of any size; an error of errors.py that it raises is the call's."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call before its credentials; *body* as it goes over the wire.

    *scope* names the calls that stand and fall with the same permission.
    """

    operation: str
    method: str
    url: Address
    params: Mapping[str, str] | None
    body: Any
    is_json: bool
    own_headers: Headers
    speaks: Speaks
    read: ReadLines | None
    scope: str

    @property
    def address(self) -> str:
        return self.url if isinstance(self.url, str) else self.url()

    @property
    def headers(self) -> Mapping[str, str]:
        own = self.own_headers() if callable(self.own_headers) else self.own_headers
        return {**_JSON, **own} if self.is_json else own
