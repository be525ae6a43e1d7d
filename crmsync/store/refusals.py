"""Refused webhooks: how many, by door and reason, and when the last one came. Each process adds its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from crmsync.store.facts import Facts

_COUNT, _LAST = "refused.", "refused_at."


@dataclass(frozen=True, slots=True)
class Refused:
    door: str
    reason: str
    count: int
    last_at: datetime


class Refusals(Facts):
    """A few facts: there are as many as there are doors and reasons, however much is refused."""

    def add(self, refused: Mapping[tuple[str, str], int]) -> None:
        for (door, reason), number in sorted(refused.items()):
            self.count(f"{_COUNT}{door}.{reason}", number)
            self.set(f"{_LAST}{door}.{reason}", self._now.isoformat())

    def totals(self) -> list[Refused]:
        counts, lasts = self.under(_COUNT), self.under(_LAST)
        return [_refused(name, value, lasts[name]) for name, value in counts.items() if name in lasts]


def _refused(name: str, count: str, last_at: str) -> Refused:
    door, _, reason = name.partition(".")
    return Refused(door, reason, int(count), datetime.fromisoformat(last_at))
