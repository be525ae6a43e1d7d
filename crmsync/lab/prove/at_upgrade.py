"""An earlier release is migrated and replaced, as docs/deploy.md says, while deals are won and paid."""

from __future__ import annotations

from decimal import Decimal

from crmsync.lab.prove.plan import Case
from crmsync.lab.prove.scene import DEALS, Scene, Tools

BEFORE_SECONDS = 4.0  # in which the earlier release makes some of the documents
PAUSE_SECONDS = 1.0


def upgraded(tools: Tools, _case: Case) -> Scene:
    """What the earlier release has begun, this one brings to its end; what it made, this one knows."""
    stage, subjects, scene = tools.stage, tools.subjects, Scene()
    with subjects.stream(DEALS) as scene.expected:
        stage.sleep(BEFORE_SECONDS)
        billed = [each for each in list(scene.expected) if subjects.has_open_invoice(each)]
        for each in billed[::2]:
            subjects.pay(each, Decimal("0.25"))
        for _replaced in stage.upgrade():
            scene.broken()
            stage.sleep(PAUSE_SECONDS)
    if not billed:
        scene.problems.append("the earlier release had billed nothing when it was replaced")
    tools.settle(scene.expected)
    for each in scene.expected:
        subjects.pay(each, Decimal("0.5"))
    return scene
