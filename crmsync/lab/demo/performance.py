"""One performance of the demo: from the empty stage to the empty stage, however it ends."""

from __future__ import annotations

import threading

from crmsync.cli.failures import sentence_of
from crmsync.errors import CrmsyncError
from crmsync.lab import machine
from crmsync.lab.demo import audit, cast
from crmsync.lab.demo.narrator import Narrator
from crmsync.lab.demo.sightings import NeverHappened
from crmsync.lab.demo.story import Story
from crmsync.lab.demo.world import World
from crmsync.lab.machine import Interrupted

LOG_LINES = 15
TELLING = ("web", "worker1")  # whose log explains why a deal did not go on


def perform(*, once: bool, keep_state: bool) -> bool:
    """True if every document is where it should be, exactly once."""
    narrator = Narrator()
    with World.in_temporary_state(keep=keep_state, say=narrator.note) as world:
        try:
            with machine.signals():
                return _play(world, narrator, once=once)
        except (Interrupted, KeyboardInterrupt):
            narrator.note("Interrupted: stopping every process …")
            return False
        except (NeverHappened, CrmsyncError) as error:
            _explain(world, narrator, error)
            return False


def _play(world: World, narrator: Narrator, *, once: bool) -> bool:
    cast.explain(narrator)
    with world.running(narrator):
        cast.introduce(world, narrator)
        story = Story(world, narrator)
        story.tell()
        is_right = audit.show(story.deals, story.paid, story.evidence, narrator)
        if not once:
            cast.say_how_to_look_around(world, narrator)
            _wait_for_signal()
            narrator.note("Stopping every process …")
    return is_right


def _wait_for_signal() -> None:
    try:
        threading.Event().wait()
    except (Interrupted, KeyboardInterrupt):
        return


def _explain(world: World, narrator: Narrator, error: Exception) -> None:
    is_start = isinstance(error, CrmsyncError)
    narrator.failed(sentence_of(error) if isinstance(error, CrmsyncError) else str(error))
    narrator.facts(error.field_errors if isinstance(error, CrmsyncError) else {})
    for name, lines in world.logs.tails(LOG_LINES).items():
        if is_start or name in TELLING:
            narrator.quote(f"the end of {name}.log", lines)
    narrator.note("`crmsync demo --keep-state` keeps the whole logs.")
