"""The command: try each mutant, say how it went, and fail if one lived."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.table import MUTANTS, Mutant
from tests.mutants.trial import KILLED, Copy, Outcome


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    chosen = [mutant for mutant in MUTANTS if options.word in mutant.name]
    if not chosen:
        print(f"No mutant's name holds {options.word!r}.", file=sys.stderr)
        return 2
    began_at = time.monotonic()
    with _copies(min(options.jobs, len(chosen))) as copies:
        if not (options.trusting or _are_sound(copies, chosen)):
            return 2
        outcomes = _tried(copies, chosen)
    _sum_up(chosen, outcomes, time.monotonic() - began_at)
    if options.json:
        options.json.write_text(json.dumps([asdict(each) for each in outcomes], indent=2))
    return 0 if all(each.result == KILLED for each in outcomes) else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants ARGS=…", description="Break the code; a test must notice.")
    parser.add_argument("-k", dest="word", default="", metavar="WORD", help="only mutants whose name holds it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many side by side")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcomes there")
    parser.add_argument("--trusting", action="store_true", help="do not run the tests on the unchanged code first")
    return parser.parse_args(arguments)


@contextmanager
def _copies(number: int) -> Iterator[SimpleQueue[Copy]]:
    """Copies of the tree that are free; nothing of them is left behind."""
    free: SimpleQueue[Copy] = SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="crmsync-mutants-") as folder:
        made = [Copy(Path(folder) / str(index)) for index in range(number)]
        for copy in made:
            free.put(copy)
        try:
            yield free
        finally:
            for copy in made:
                copy.end()


def _are_sound(copies: SimpleQueue[Copy], chosen: Sequence[Mutant]) -> bool:
    """Whether the tests pass where nothing is broken: else they would notice everything."""
    tests = sorted({mutant.test for mutant in chosen})
    print(f"{len(chosen)} mutants; first {len(tests)} tests on the code as it is …", flush=True)
    copy = copies.get()
    status, said = copy.test(tests)
    copies.put(copy)
    if status:
        print(said, file=sys.stderr)
    return status == 0


def _tried(copies: SimpleQueue[Copy], chosen: Sequence[Mutant]) -> list[Outcome]:
    """In the order of the table."""

    def tried(mutant: Mutant) -> Outcome:
        copy = copies.get()
        try:
            return copy.tried(mutant)
        finally:
            copies.put(copy)

    pool = ThreadPoolExecutor(copies.qsize())
    try:
        begun = [pool.submit(tried, mutant) for mutant in chosen]
        for number, done in enumerate(as_completed(begun), 1):
            _tell(done.result(), number, len(chosen))
        return [each.result() for each in begun]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _tell(outcome: Outcome, number: int, of: int) -> None:
    print(f"{number:3}/{of} {outcome.result:6} {outcome.seconds:5.1f} s  {outcome.name:<44} {outcome.by}", flush=True)


def _sum_up(chosen: Sequence[Mutant], outcomes: Sequence[Outcome], seconds: float) -> None:
    killed = sum(each.result == KILLED for each in outcomes)
    print(f"{killed} of {len(outcomes)} mutants were noticed, in {seconds:.0f} s.")
    for mutant, outcome in zip(chosen, outcomes, strict=True):
        if outcome.result != KILLED:
            print(f"  {outcome.result}: {mutant.name} ({mutant.file}): {mutant.harm}. {outcome.by}")


if __name__ == "__main__":
    sys.exit(main())
