"""What a scenario is made of: the tools it works with, and what it leaves behind."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain

from crmsync.lab.prove.plan import Case, Plan
from crmsync.lab.prove.runs import Watch
from crmsync.lab.prove.stage import Stage
from crmsync.lab.prove.subjects import Subjects
from crmsync.lab.prove.verdict import Expected

STRIKE_SECONDS = 30.0  # how long a step may take to come to its boundary
PREPARE_SECONDS = 60.0
DEALS = 24
FEW = 9


@dataclass(slots=True)
class Scene:
    """What a case set going, and when it was broken last (seconds since the epoch)."""

    expected: Sequence[Expected] = ()
    elsewhere: Sequence[Sequence[Expected]] = ()  # at the systems of the second company, of the third …
    broken_at: float = 0.0
    strikes: int = 0
    moves_stock: bool = False
    ended_at: float = 0.0  # when its runs had ended, where that is over before the case is
    problems: list[str] = field(default_factory=list)  # why it is no proof: nothing was struck
    skipped: str = ""

    @property
    def everywhere(self) -> list[Expected]:
        return [*self.expected, *chain.from_iterable(self.elsewhere)]

    def broken(self) -> None:
        self.broken_at = time.time()
        self.strikes += 1


@dataclass(frozen=True, slots=True)
class Tools:
    """What a scenario works with."""

    stage: Stage
    subjects: Subjects
    watch: Watch
    plan: Plan
    random: random.Random

    def settle(self, expected: Sequence[Expected], *, patience_seconds: float = PREPARE_SECONDS) -> bool:
        """Let what is only a preparation come to its end; False if it did not."""
        return self.watch.wait(expected, patience_seconds)


Scenario = Callable[[Tools, Case], Scene]


def several_times(tools: Tools, strike: Callable[[], object], *, times: int, pause_seconds: float = 0.6) -> Scene:
    """Strike again and again while deals come."""
    scene = Scene()
    with tools.subjects.stream(DEALS) as scene.expected:
        for _ in range(times):
            tools.stage.sleep(pause_seconds * tools.random.uniform(0.5, 1.5))
            strike()
            scene.broken()
    return scene
