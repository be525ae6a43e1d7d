"""One call of a vendor's client, before it gets its credentials and its address."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crmsync.connectors.answers import Speaks, encode

_JSON = {"Content-Type": "application/json"}

Address = str | Callable[[], str]
"""Where a call goes; a function where a new token may bring another address."""

ReadLines = Callable[[Iterator[str]], Any]
"""Reads an answer of any size; an error of errors.py that it raises is the call's."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call before its credentials; *body* as it goes over the wire."""

    operation: str
    method: str
    url: Address
    params: Mapping[str, str] | None
    body: Any
    headers: Mapping[str, str]
    speaks: Speaks
    read: ReadLines | None

    @property
    def address(self) -> str:
        return self.url if isinstance(self.url, str) else self.url()


def call_of(
    operation: str,
    method: str,
    url: Address,
    params: Mapping[str, str] | None,
    json: Any,
    data: Any,
    headers: Mapping[str, str] | None,
    speaks: Speaks,
    read: ReadLines | None,
) -> Call:
    if json is None:
        return Call(operation, method, url, params, data, headers or {}, speaks, read)
    return Call(operation, method, url, params, encode(json), {**_JSON, **(headers or {})}, speaks, read)
