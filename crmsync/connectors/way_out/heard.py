"""What answers say besides their content: the sender's time, and announced deprecations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# Warning: 299 - "This API is deprecated and will be removed by …" (Salesforce, api-rest/guide/headers-warning.md)
_DEPRECATED = re.compile(r'\s*299\s+\S+\s+"?(?P<text>[^"]*)')
_TEXT_MAX = 200


@dataclass
class Heard:
    """*seconds_ahead* is how far the sender's clock is before ours, None where no answer had a Date."""

    seconds_ahead: float | None = None
    warnings: list[str] = field(default_factory=list)

    def note(self, headers: Mapping[str, str]) -> None:
        ahead = seconds_ahead(headers, datetime.now(UTC))
        # An answer that took long shows an earlier time; the quickest one is nearest to the truth.
        if ahead is not None and (self.seconds_ahead is None or abs(ahead) < abs(self.seconds_ahead)):
            self.seconds_ahead = ahead
        for text in ends(headers):
            if text not in self.warnings:
                self.warnings.append(text)


def seconds_ahead(headers: Mapping[str, str], now: datetime) -> float | None:
    """By the answer's Date; what lay in a cache says how old it is.

    >>> now = datetime(2026, 11, 20, 9, 15, tzinfo=UTC)
    >>> seconds_ahead({"Date": "Fri, 20 Nov 2026 09:16:40 GMT"}, now), seconds_ahead({"Date": "yesterday"}, now)
    (100.0, None)
    """
    try:
        told = parsedate_to_datetime(headers.get("Date") or "")
        ahead = (told.replace(tzinfo=told.tzinfo or UTC) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    age = headers.get("Age") or "0"
    return ahead + (float(age) if re.fullmatch(r"\d{1,9}", age) else 0.0)


def ends(headers: Mapping[str, str]) -> list[str]:
    """What an answer says will end: by the code 299 of Warning, or by Deprecation and Sunset (RFC 9745, 8594).

    >>> ends({"Warning": '299 - "This API is deprecated and will be removed by Summer \\'27."'})
    ["This API is deprecated and will be removed by Summer '27."]
    >>> ends({"Sunset": "Sat, 31 Dec 2026 23:59:59 GMT"}), ends({"Warning": '110 - "Response is Stale"'})
    (['It will be switched off on Sat, 31 Dec 2026 23:59:59 GMT.'], [])
    """
    warning = _DEPRECATED.match(headers.get("Warning") or "")
    told = [warning["text"].strip() or "It is deprecated."] if warning else []
    if sunset := headers.get("Sunset"):
        told.append(f"It will be switched off on {sunset.strip()}.")
    elif headers.get("Deprecation") and not told:
        told.append("It is deprecated.")
    return [text[:_TEXT_MAX] for text in told]
