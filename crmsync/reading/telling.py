"""What a run's steps have found, as each describes it: in a few words, and in detail."""

from __future__ import annotations

from collections.abc import Mapping

from crmsync.domain.kept import Learned
from crmsync.domain.runs import Run
from crmsync.worker.flow import FLOWS


def outcome(run: Run, step: str) -> str:
    """What *step* has learned, or so far; "" where there is nothing to show, or this release can't read it."""
    kind = _kinds(run).get(step)
    known = run.results.get(step) or (run.progress if step == run.step else {})
    found = kind.peek(known) if kind else None
    return found.in_short() if found else ""


def figures(run: Run) -> list[tuple[str, str]]:
    """What a payment's, an invoice's or an inventory's run has learned; nothing of a deal's, which holds persons."""
    known = (kind.peek(run.results.get(step)) for step, kind in _kinds(run).items())
    return [(name, value) for learned in known if learned for name, value in learned.in_detail() if value]


def _kinds(run: Run) -> Mapping[str, type[Learned]]:
    return FLOWS[run.flow].learns if run.flow in FLOWS else {}
