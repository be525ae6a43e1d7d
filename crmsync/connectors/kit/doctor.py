"""What a connector's part of `crmsync doctor` is made of: its probes, and the loop that runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from crmsync.connectors.base import Check
from crmsync.errors import AccountRefusedError, CrmsyncError

SIGN_IN = "sign-in"
NO_STOCK = "no company copies it with this connection (CRMSYNC_INVENTORY_SECONDS, or inventory_seconds of a binding)"
CURRENCY_SETTING = "CRMSYNC_DEFAULT_CURRENCY (or the option default_currency of the binding)"


class Found(NamedTuple):
    """What is wrong, "" if nothing is; and what was found, which a person should read where it is a note."""

    problem: str = ""
    detail: str = ""
    is_note: bool = False


def unseen(why: str) -> Found:
    return Found(detail=f"not checked: {why}", is_note=True)


def noted(name: str, what: str) -> Check:
    return Check(name, is_ok=True, detail=what, is_note=True)


def not_checked(name: str, why: str) -> Check:
    return noted(name, unseen(why).detail)


@dataclass(frozen=True, slots=True)
class Probe:
    """Reads one thing and says what it found; or several, and gives a check for each.

    *needs* is what it takes, in the vendor's words: a scope, a service. Where an essential one fails, nothing more is
    asked of the system.
    """

    name: str
    ask: Callable[[], Found | Iterator[Check] | None]
    needs: str = ""
    is_essential: bool = False


Failed = Callable[[Probe, CrmsyncError], Check]
"""What an error says that a probe has met."""


def failed(probe: Probe, error: CrmsyncError) -> Check:
    return Check(probe.name, is_ok=False, detail=error.with_advice)


def signed_out(error: CrmsyncError, asked: str, variables: Mapping[str, str] | None = None) -> Check:
    """*asked* is the address, and the variable that has it: said where nobody answers, or somebody else does.

    *variables* says what to check by the vendor's code.
    """
    if error.code in (variables or {}):
        error.advice = f"Check {(variables or {})[error.code or '']}."
    wait = getattr(error, "retry_after_seconds", None)
    later = f" Try again in {max(1, round(wait / 60))} min." if wait else ""
    where = f" It was asked at {asked}." if error.is_outage and not isinstance(error, AccountRefusedError) else ""
    return Check(SIGN_IN, is_ok=False, detail=f"{error.with_advice}{where}{later}", is_last=True)


def examined(
    probes: Iterable[Probe],
    *,
    failed: Failed = failed,
    then: Iterable[Probe] = (),
    otherwise: Iterable[Check] = (),
) -> Iterator[Check]:
    """The checks of *probes*, one after the other, to the first that is the last; an error is one, as *failed* puts it.

    Where none has met an error those of *then* follow, else *otherwise*.
    """
    errors: list[CrmsyncError] = []

    def noted_failure(probe: Probe, error: CrmsyncError) -> Check:
        errors.append(error)
        return failed(probe, error)

    for probe in probes:
        for check in _checks(probe, noted_failure):
            yield check
            if check.is_last:
                return
    if errors:
        yield from otherwise
        return
    for probe in then:
        yield from _checks(probe, failed)


def _checks(probe: Probe, failed: Failed) -> Iterator[Check]:
    try:
        found = probe.ask()
        if isinstance(found, Iterator):
            yield from found
        else:
            yield _check(probe, found or Found())
    except CrmsyncError as error:
        yield _judged(probe, failed(probe, error))


def _check(probe: Probe, found: Found) -> Check:
    is_ok = not found.problem
    return _judged(probe, Check(probe.name, is_ok, found.problem or found.detail, found.is_note and is_ok))


def _judged(probe: Probe, check: Check) -> Check:
    return replace(check, is_last=check.is_last or (probe.is_essential and not check.is_ok))
