"""Whether a message is one that crmsync sends: its envelope, its headers and its body, as the broker gave them.

Nothing of one that is not is quoted: it may hold anything.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

LONGEST_ID = 255
LONGEST_COUNTDOWN = timedelta(minutes=15)  # a worker keeps what comes later in its memory; ours wait for a minute
HOUSEKEEPING = "housekeeping."


def envelope_fault(envelope: Any) -> str:
    """What is wrong with the form in which kombu puts a message into Redis; "" if nothing is."""
    if not isinstance(envelope, Mapping):
        return "it is not the envelope of a message"
    properties, headers = envelope.get("properties"), envelope.get("headers")
    if not isinstance(properties, Mapping) or not isinstance(headers, Mapping) or "compression" in headers:
        return "its envelope has no properties, or headers that crmsync does not write"
    if not all(_is_id(envelope.get(name)) for name in ("content-type", "content-encoding")):
        return "its envelope does not say how to read it"
    address = properties.get("delivery_info")
    is_addressed = (
        isinstance(address, Mapping) and isinstance(address.get("routing_key"), str) and "exchange" in address
    )
    if not is_addressed or not _is_id(properties.get("delivery_tag")):
        return "its envelope has no address"
    return "" if _is_packed(envelope.get("body"), properties.get("body_encoding")) else "its body can't be unpacked"


def _is_packed(body: Any, encoding: Any) -> bool:
    if not isinstance(body, str) or encoding not in (None, "base64"):
        return False
    try:
        return encoding is None or bool(b64decode(body))
    except ValueError:
        return False


def fault(headers: Any, payload: Any, now: datetime | None = None) -> str:
    """What is wrong with a message; "" if nothing is.

    >>> fault({"task": "a.b", "id": "1"}, [["r"], {}, {"chain": [{"task": "a.c", "args": ["r"]}]}])
    ''
    >>> fault({"task": "a.b", "id": "1"}, {"task": "a.b"})
    'its body is not of the shape that tasks have'
    """
    if not isinstance(headers, Mapping) or not (_is_id(headers.get("task")) and _is_id(headers.get("id"))):
        return "it has no task"
    if not all(_is_instant(headers.get(name)) for name in ("eta", "expires")):
        return "its times can't be read"
    if not _is_near(headers.get("eta"), now or datetime.now(UTC)):
        return "it asks to be kept for long"
    if not isinstance(headers.get("shadow"), str | None):
        return "its name can't be read"
    if not _is_count(headers.get("retries")) or not _are_limits(headers.get("timelimit")):
        return "its counts can't be read"
    return "" if _is_body(headers["task"], payload) else "its body is not of the shape that tasks have"


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_ID


def _is_instant(value: Any) -> bool:
    if value is None:
        return True
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).year < 9000  # no room for a zone's hours after
    except ValueError:
        return False


def _is_near(eta: str | None, now: datetime) -> bool:
    if eta is None:
        return True
    asked = datetime.fromisoformat(eta)
    return (asked if asked.tzinfo else asked.replace(tzinfo=UTC)) <= now + LONGEST_COUNTDOWN


def _is_count(value: Any) -> bool:
    return value is None or (isinstance(value, int) and 0 <= value < 1_000_000)


def _are_limits(value: Any) -> bool:
    return value is None or (isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_limit, value)))


def _is_limit(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and value >= 0)


def chained(payload: Any) -> Sequence[str]:
    """The tasks that shall follow, by name, of a message without a fault."""
    return [each["task"] for each in (payload[2] or {}).get("chain") or ()]


def _is_body(task: str, payload: Any) -> bool:
    """A step takes the id of a run, and other steps follow; a duty of housekeeping takes nothing."""
    if not isinstance(payload, list | tuple) or len(payload) != 3:
        return False
    args, options, embedded = payload
    return _are_args(task, args) and options == {} and (embedded is None or _is_embedded(embedded))


def _are_args(task: str, args: Any) -> bool:
    count = 0 if task.startswith(HOUSEKEEPING) else 1
    return isinstance(args, list) and len(args) == count and all(map(_is_id, args))


def _is_embedded(embedded: Any) -> bool:
    """Only a chain: what else Celery could do after a task, crmsync's messages never ask for."""
    if not isinstance(embedded, Mapping) or any(embedded.get(name) for name in ("callbacks", "errbacks", "chord")):
        return False
    chain = embedded.get("chain")
    return chain is None or (isinstance(chain, list) and all(map(_is_link, chain)))


def _is_link(link: Any) -> bool:
    if not isinstance(link, Mapping) or not _is_id(link.get("task")) or not _are_args(link["task"], link.get("args")):
        return False
    return not any(link.get(name) for name in ("kwargs", "options", "subtask_type", "chord_size"))
