"""The summary of `crmsync doctor`, to hand to others: what was proven, what failed, and what was not checked."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from crmsync import __version__
from crmsync.cli import screen
from crmsync.cli.finding import FAILED, NOTE, OK, Finding

WIDTH = 80  # of a page, and of a terminal that nobody has widened
_ACCOUNTS = ("sign-in", "organization")  # the checks whose detail says whose account it is
_WORDS = {OK: "proven", FAILED: "failed", NOTE: "to know"}


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """`is_ok` of a check stays for scripts that know no notes."""
    return {
        "ok": all(finding.is_ok for finding in findings),
        "release": __version__,
        "python": platform.python_version(),
        "checked_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "checks": [finding.to_json() for finding in findings],
    }


def print_table(findings: Sequence[Finding]) -> None:
    out = screen.console()
    out.width = min(out.width, max(WIDTH, 100)) if out.is_terminal else WIDTH
    head = f"crmsync {__version__}, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    out.print()
    out.print(head, style="bold")
    out.print(screen.table(("area", "result", "what"), _rows(findings)))


def _rows(findings: Sequence[Finding]) -> Iterator[tuple[str, str, str]]:
    """Each area once, in the order in which it was checked."""
    for area in dict.fromkeys(finding.area for finding in findings):
        own = [finding for finding in findings if finding.area == area]
        yield from _of_area(area, own)


def _of_area(area: str, findings: Sequence[Finding]) -> Iterator[tuple[str, str, str]]:
    shown = area
    accounts = [each.detail for each in findings if each.name in _ACCOUNTS and each.state == OK and each.detail]
    proven = "; ".join(each.name for each in findings if each.state == OK)
    rows = [("account", "; ".join(accounts))] if accounts else []
    rows += [(_WORDS[OK], proven)] if proven else []
    for state in (FAILED, NOTE):
        rows += [(_WORDS[state], _told(each)) for each in findings if each.state == state]
    for result, what in rows:
        yield shown, result, what
        shown = ""


def _told(finding: Finding) -> str:
    return f"{finding.name}: {finding.detail}" if finding.detail else finding.name
