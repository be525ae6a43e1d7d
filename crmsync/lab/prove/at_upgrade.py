"""An earlier release is migrated and replaced, as docs/deploy.md says, while deals are won and paid."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from crmsync.lab.machine import until
from crmsync.lab.prove.plan import Case
from crmsync.lab.prove.scene import DEALS, Scene, Tools
from crmsync.lab.prove.subjects import Subjects
from crmsync.lab.prove.verdict import Expected

BILLED_SECONDS = 60.0  # in which the earlier release has to make the first documents
PAUSE_SECONDS = 1.0


def upgraded(tools: Tools, _case: Case) -> Scene:
    """What the earlier release has begun, this one brings to its end; what it made, this one knows."""
    stage, subjects, scene = tools.stage, tools.subjects, Scene()
    with subjects.stream(DEALS) as scene.expected:
        billed = until(lambda: _billed(subjects, scene.expected), patience_seconds=BILLED_SECONDS) or []
        for each in billed[::2]:
            subjects.pay(each, Decimal("0.25"))
        for _replaced in stage.upgrade():
            scene.broken()
            stage.sleep(PAUSE_SECONDS)
    if not billed:
        scene.problems.append("the earlier release had billed nothing when it was replaced")
    tools.settle(scene.expected)
    for each in _billed(subjects, scene.expected):
        subjects.pay(each, Decimal("0.5"))
    return scene


def _billed(subjects: Subjects, expected: Sequence[Expected]) -> list[Expected]:
    return [each for each in tuple(expected) if subjects.has_open_invoice(each)]
