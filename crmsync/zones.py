"""Names of time zones, in the spellings that systems use: they decide where a company's day begins and ends."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

# What systems built on Java call zones (java.time.ZoneId.SHORT_IDS). Those that mean another place to most people than
# they do to Java, such as BST and AST, are left out: their day would be a guess.
_SHORT: Mapping[str, str] = {
    "PST": "America/Los_Angeles",
    "PDT": "America/Los_Angeles",
    "MST": "America/Denver",
    "CST": "America/Chicago",
    "EST": "America/New_York",
    "EDT": "America/New_York",
    "AKST": "America/Anchorage",
    "HST": "Pacific/Honolulu",
    "IST": "Asia/Kolkata",
    "JST": "Asia/Tokyo",
    "NST": "Pacific/Auckland",
    "AET": "Australia/Sydney",
    "ECT": "Europe/Paris",
    "PLT": "Asia/Karachi",
    "VST": "Asia/Ho_Chi_Minh",
}
_OFFSET = re.compile(r"(?:UTC|GMT|Z)?\s*([+-])(\d{1,2}):?(\d\d)?")
_PLACE = re.compile(r"[A-Za-z_]+(?:/[A-Za-z0-9_+-]+){1,2}")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*")
_LARGEST = timedelta(hours=14)  # from Greenwich, on either side


def zone_named(text: str) -> tzinfo | None:
    """The zone that *text* names; None where it names none that is known beyond doubt.

    >>> [str(zone_named(name)) for name in ("Asia/Riyadh", "PST", "(GMT-08:00) America/Los_Angeles", "GMT+5:30")]
    ['Asia/Riyadh', 'America/Los_Angeles', 'America/Los_Angeles', 'UTC+05:30']
    >>> zone_named("BST") is None, zone_named("") is None
    (True, True)
    """
    name = text.strip()
    if name.upper() in ("UTC", "GMT", "Z"):
        return UTC
    if name.upper() in _SHORT:
        return ZoneInfo(_SHORT[name.upper()])
    offset = _OFFSET.fullmatch(name)
    if offset:
        return _fixed(*offset.groups())
    place = _PLACE.search(name) or _NAME.fullmatch(name)
    return _of_place(place.group()) if place else None


def _fixed(sign: str, hours: str, minutes: str | None) -> tzinfo | None:
    ahead = timedelta(hours=int(hours), minutes=int(minutes or 0))
    return timezone(-ahead if sign == "-" else ahead) if ahead <= _LARGEST else None


def _of_place(name: str) -> tzinfo | None:
    """By the name of the time zone database, old ones such as US/Pacific and Asia/Calcutta among them."""
    for spelling in (name, "/".join(part.title() for part in name.split("/"))):
        try:
            return ZoneInfo(spelling)
        except (KeyError, ValueError, OSError):  # no such zone, no such form, a folder of zones
            continue
    return None
