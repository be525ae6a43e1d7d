"""Secrets and personal data that a test can recognise wherever they come up, and where they did come up."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

import redis

SHORTEST = 6  # what is shorter is found everywhere


@dataclass(frozen=True, slots=True)
class Output:
    """A text that left a process: *place* says where it was found, *tenant* and *role* who asked for it."""

    place: str
    text: str
    tenant: str | None = None
    role: str = ""

    @property
    def kind(self) -> str:
        """
        >>> Output("log worker", "").kind
        'log'
        """
        return self.place.partition(" ")[0]


@dataclass
class Outputs:
    """All of them, from any thread."""

    all: list[Output] = field(default_factory=list)

    def add(self, place: str, text: str, *, tenant: str | None = None, role: str = "") -> None:
        self.all.append(Output(place, text, tenant, role))

    def of(self, *kinds: str) -> list[Output]:
        return [each for each in self.all if each.kind in kinds]

    def besides(self, *kinds: str) -> list[Output]:
        return [each for each in self.all if each.kind not in kinds]


def forms(text: str) -> set[str]:
    """How *text* may stand somewhere: as it is, in JSON, in an address, in base64 at any place, as hexadecimal digits.

    >>> sorted(forms("a b/cdef"))[:3]
    ['6120622f63646566', 'EgYi9jZGVm', 'YSBiL2NkZW']
    """
    data = text.encode()
    found = {text, json.dumps(text)[1:-1], quote(text, safe=""), quote(text), quote_plus(text), data.hex()}
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + data).decode().rstrip("=")
        inner = whole[-(-shift * 8 // 6) : (shift + len(data)) * 8 // 6]
        found |= {inner, inner.replace("+", "-").replace("/", "_")}
    return found


def where(planted: Iterable[str], outputs: Iterable[Output]) -> list[str]:
    """Where one of the texts stands, in one of its forms, whatever the case of its letters."""
    wanted = {text: {form.casefold() for form in forms(text)} for text in planted}
    assert all(len(text) >= SHORTEST for text in wanted)
    found = []
    for each in outputs:
        folded = each.text.casefold()
        found += [
            f"{text!r} in {each.place} ({_around(folded, hit)})"
            for text, all_forms in wanted.items()
            if (hit := next((form for form in all_forms if form in folded), ""))
        ]
    return found


def _around(text: str, hit: str) -> str:
    at = text.index(hit)
    return text[max(0, at - 80) : at + len(hit) + 40]


class Tap:
    """Everything that clients send to a Redis, as long as the block runs."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url, decode_responses=False)
        self._is_listening = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self.commands: list[str] = []

    def __enter__(self) -> Tap:
        self._thread.start()
        assert self._is_listening.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def _listen(self) -> None:
        try:
            with self._client.monitor() as monitor:
                self._is_listening.set()
                for each in monitor.listen():
                    self.commands.append(str(each["command"]))
        except (redis.RedisError, OSError, ValueError, AttributeError):
            return  # it was closed, or the server has ended


def everything_in(client: redis.Redis) -> Iterator[tuple[str, str]]:
    """Each key of a Redis with its value."""
    reads: dict[str, Callable[[str], object]] = {
        "string": client.get,
        "list": lambda key: client.lrange(key, 0, -1),
        "set": client.smembers,
        "zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        "hash": client.hgetall,
        "stream": client.xrange,
    }
    for key in client.scan_iter(count=1000):
        yield str(key), f"{key} {reads[client.type(key)](key)}"


def without(text: str, parts: Collection[str]) -> str:
    for part in parts:
        text = text.replace(part, "")
    return text
