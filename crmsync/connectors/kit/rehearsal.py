"""A rehearsal: calls that read are sent, and the first that would write is shown instead of sent."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import requests

from crmsync.connectors.kit.calls import Call
from crmsync.connectors.way_out.lease import is_in_step

# Of the headers of a write, those that say what it does; others may hold a CSRF token and its cookies.
_TELLING_HEADERS = frozenset({"content-type", "x-upsert", "x-unique-identifier-key", "x-unique-identifier-value"})

_is_rehearsal: ContextVar[bool] = ContextVar("crmsync_is_rehearsal", default=False)


@dataclass(frozen=True, slots=True)
class Write:
    """A call that would change something at a vendor, as it would be sent, without credentials; *body* is JSON."""

    operation: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: Any = None


class WouldWriteError(Exception):
    """This call would change something at a vendor; in a rehearsal it is not sent."""

    def __init__(self, write: Write) -> None:
        super().__init__(write.operation)
        self.write = write


@contextmanager
def rehearsal() -> Iterator[None]:
    """Inside the block calls that read go out, and one that would write raises WouldWriteError instead.

    It has no answer to give, so whatever a caller does, nothing can pass for done.

    Raises: RuntimeError inside a deadline, for that is where a worker does a step.
    """
    if is_in_step():
        raise RuntimeError("a step does not rehearse")
    token = _is_rehearsal.set(True)
    try:
        yield
    finally:
        _is_rehearsal.reset(token)


def is_rehearsed() -> bool:
    return _is_rehearsal.get()


def write_of(call: Call) -> Write:
    """The call as it would be sent, and as a person can read it."""
    telling = {name: value for name, value in call.own_headers.items() if name.lower() in _TELLING_HEADERS}
    address = call.address
    address = requests.Request(call.method, address, params=call.params).prepare().url or address
    return Write(call.operation, call.method, address, telling, _readable(call.body))


def _readable(body: Any) -> Any:
    text = body.decode() if isinstance(body, bytes) else body
    try:
        return jsonlib.loads(text)
    except (TypeError, ValueError):  # a form, a CSV, nothing
        return text
