"""A campaign: case after case on a running system, each judged when its runs have ended, and all of it at the end."""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Protocol

from crmsync.errors import ConfigurationError
from crmsync.lab.prove.plan import Case, Flows, Plan, cases, plan_command, repeat_command
from crmsync.lab.prove.runs import Watch
from crmsync.lab.prove.scenarios import play
from crmsync.lab.prove.scene import Scene, Tools
from crmsync.lab.prove.stage import Stage
from crmsync.lab.prove.subjects import Subjects
from crmsync.lab.prove.verdict import Findings, Verdict, examine, examine_apart, examine_stock

PATIENCE_SECONDS = 90.0
AUDIT = Case("audit")  # everything that was ever accepted, counted once more when all is over


class Teller(Protocol):
    """Who hears how it goes."""

    def begin(self, seed: int, number: int) -> None: ...

    def judged(self, verdict: Verdict, position: int, number: int) -> None: ...


def known_flows() -> Flows:
    """The steps of each flow of this release, in the order of business."""
    from crmsync import flows  # noqa: F401 - registers them
    from crmsync.worker.flow import FLOWS

    order = ("order_to_invoice", "payment_to_invoices", "invoice_to_deal", "inventory")
    names = [*order, *(name for name in FLOWS if name not in order)]
    return {name: FLOWS[name].steps for name in names}


def run(plan: Plan, teller: Teller, *, tell_kept: Callable[[str], None] | None) -> Iterator[Verdict]:
    """Verdict after verdict: one round of all cases, or rounds of new seeds until the plan's minutes are over."""
    ends_at = time.monotonic() + 60 * plan.minutes
    for seed in count(plan.seed):
        with Stage.running(plan, seed=seed, tell_kept=tell_kept) as stage:
            yield from _Round(plan, stage, seed).run(teller, ends_at)
        if time.monotonic() >= ends_at:
            return


class _Round:
    """All cases once, on one system."""

    def __init__(self, plan: Plan, stage: Stage, seed: int) -> None:
        self._plan = plan
        self._stage = stage
        self._seed = seed
        self._watch = Watch(stage)
        self._subjects = Subjects(stage)
        self._known: set[str] = set()  # what is wrong already, and no later case's fault

    def run(self, teller: Teller, ends_at: float) -> Iterator[Verdict]:
        planned = cases(known_flows(), self._plan)
        teller.begin(self._seed, len(planned))
        for position, case in enumerate(planned, 1):
            verdict = self._judge(case)
            teller.judged(verdict, position, len(planned))
            yield verdict
            if self._plan.minutes and time.monotonic() >= ends_at:
                break
        audit = self._audit()
        teller.judged(audit, len(planned), len(planned))
        yield audit

    def _judge(self, case: Case) -> Verdict:
        started_at = datetime.now(UTC)
        tools = Tools(
            self._stage,
            self._subjects,
            self._watch,
            self._plan,
            random.Random(f"{self._seed}/{case.fault}/{case.name}"),
        )
        scene = _played(tools, case)
        if scene.skipped:
            return Verdict(case, self._seed, skipped=scene.skipped)
        stuck = [*scene.problems, *self._watch.until_ended(scene.everywhere, PATIENCE_SECONDS)]
        ended_at = scene.ended_at or time.time()
        found = self._examine(scene)
        return Verdict(
            case,
            self._seed,
            runs=self._watch.count_since(started_at - timedelta(milliseconds=1)),
            lost=tuple(found.lost),
            doubled=tuple(found.doubled),
            stuck=tuple(stuck),
            seconds=max(0.0, ended_at - scene.broken_at) if scene.broken_at else None,
            strikes=scene.strikes,
            repeat=repeat_command(case, self._plan, seed=self._seed),
        )

    def _examine(self, scene: Scene) -> Findings:
        found = Findings()
        first, *others = (company.ledger() for company in self._stage.sandbox.companies)
        made = [scene.expected, *scene.elsewhere, *[()] * len(others)]
        for expected, ledger in zip(made, (first, *others), strict=False):
            documents = examine(expected, ledger)
            found.lost += documents.lost
            found.doubled += documents.doubled + examine_apart(ledger)
        found.lost += examine_stock(first) if scene.moves_stock else []
        return self._new(found)

    def _new(self, found: Findings) -> Findings:
        new = Findings(*([each for each in kind if each not in self._known] for kind in (found.lost, found.doubled)))
        self._known.update(new.lost, new.doubled)
        return new

    def _audit(self) -> Verdict:
        """What turned up after its own case had been judged."""
        self._subjects.begin("inventory")
        elsewhere = [each.all for each in self._subjects.neighbours]
        scene = Scene(self._subjects.all, elsewhere, moves_stock=True)
        stuck = self._watch.until_ended(scene.everywhere, PATIENCE_SECONDS)
        found = self._examine(scene)
        return Verdict(
            AUDIT,
            self._seed,
            runs=len(scene.everywhere),
            lost=tuple(found.lost),
            doubled=tuple(found.doubled),
            stuck=tuple(stuck),
            strikes=0,
            repeat=plan_command(self._plan, seed=self._seed),
        )


def _played(tools: Tools, case: Case) -> Scene:
    """A case that could not be carried out proves nothing, and is no reason to end a night's campaign.

    Raises: ConfigurationError where no case can be.
    """
    try:
        return play(tools, case)
    except ConfigurationError:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return Scene(problems=[f"the campaign failed: {error!r} at {place.filename}:{place.lineno}"])


def has_failed(verdicts: Sequence[Verdict]) -> bool:
    return not verdicts or not all(verdict.is_good for verdict in verdicts)
