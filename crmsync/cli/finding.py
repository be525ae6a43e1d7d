"""The result of one check of `crmsync doctor`: one line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from crmsync.connectors.base import Check
from crmsync.errors import CrmsyncError
from crmsync.log import place_of

OK, FAILED, NOTE = "ok", "failed", "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was checked, whether it is well, and what to do if not. A note is no failure, and is to be read."""

    area: str
    name: str
    is_ok: bool
    detail: str = ""
    is_note: bool = False

    @property
    def state(self) -> str:
        return (NOTE if self.is_note else OK) if self.is_ok else FAILED

    @property
    def is_unseen(self) -> bool:
        """Whether it could not be checked; connectors say it in the same words (base.not_checked)."""
        return self.is_note and self.detail.startswith("not checked")

    def to_json(self) -> dict[str, Any]:
        told = {"area": self.area, "name": self.name, "state": self.state, "is_ok": self.is_ok}
        return {**told, "detail": self.detail}


def of_check(area: str, check: Check) -> Finding:
    return Finding(area, check.name, check.is_ok, check.detail, check.is_note)


def note(area: str, name: str, detail: str) -> Finding:
    return Finding(area, name, True, detail, is_note=True)


def not_checked(area: str, name: str, why: str) -> Finding:
    return note(area, name, f"not checked: {why}")


def failed(area: str, name: str, error: CrmsyncError) -> Finding:
    return Finding(area, name, False, error.with_advice)


def of_this_machine(area: str, error: OSError) -> Finding:
    place = f" ({error.filename})" if error.filename else ""
    return Finding(area, "this machine", False, f"{error.strerror or type(error).__name__}{place}")


def never_raising(area: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """*findings*, and what nobody foresaw as the last of them: one check that breaks must not hide the others."""
    try:
        yield from findings
    except CrmsyncError as error:
        yield failed(area, "check", error)
    except OSError as error:
        yield of_this_machine(area, error)
    except Exception as error:
        place = place_of(error).partition(" < ")[0]
        what = f"this is an error in crmsync itself ({type(error).__name__} at {place}): please report it"
        yield Finding(area, "check", False, what)
