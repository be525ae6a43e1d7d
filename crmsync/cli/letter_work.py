"""What `replay` and `discard` share: choosing the dead letters, asking for confirmation, and reporting the outcome."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn

import click
from rich.progress import track

import crmsync.flows  # noqa: F401 - registers the tasks and their queues
from crmsync.cli import foresight, letters, screen
from crmsync.cli.failures import FAILED
from crmsync.cli.options import confirm
from crmsync.cli.process import open_services
from crmsync.company import Company
from crmsync.domain.approvals import Approval
from crmsync.domain.dead_letters import Answers, DeadLetter, LetterStatus, why_not
from crmsync.errors import CrmsyncError
from crmsync.phrases import plural
from crmsync.plain import visible
from crmsync.reading import foresight as foreseen
from crmsync.services import Services
from crmsync.store import UnitOfWork
from crmsync.worker import dead_letters as worker
from crmsync.worker import rehearsal
from crmsync.worker.customer_links import Sides
from crmsync.worker.rehearsal import Source


@contextmanager
def work(verb: str, *, as_json: bool) -> Iterator[Work]:
    """Work to be done in the block; ends the command with status 1 if any of it failed."""
    made = Work(verb, as_json, open_services())
    yield made
    if made.failed:
        sys.exit(FAILED)


@dataclass
class Work:
    """What `replay` and `discard` have in common. Only the outcome goes to stdout where it is JSON."""

    verb: str
    as_json: bool
    services: Services
    failed: bool = False
    _missing: dict[int, str] = field(default_factory=dict)
    _error: str | None = None

    def choose(
        self, ids: Sequence[int], error: str | None, everything: bool, *, like: int | None = None
    ) -> list[DeadLetter]:
        """The letters that are meant and wait; says which of *ids* don't.

        Raises: click.UsageError if none or several ways to choose are given.
        """
        if bool(ids) + bool(error or everything) + bool(like) != 1:
            raise click.UsageError(f"Say which to {self.verb}: ids, or --like ID, or --error NAME, or --all.")
        self._error = error
        with self.services.store.read() as uow:
            if like:
                return self._alike(uow, like)
            waiting = {letter.id: letter for letter in uow.dead_letters.list(None, error=error)}
            missing = [letter_id for letter_id in dict.fromkeys(ids) if letter_id not in waiting]
            self._missing = {letter_id: why_not(letter_id, uow.dead_letters.get(letter_id)) for letter_id in missing}
        return [waiting[letter_id] for letter_id in dict.fromkeys(ids or waiting) if letter_id in waiting]

    def company_of(self, chosen: Sequence[DeadLetter]) -> Company:
        """Whose customers a person names in answer to the first of *chosen*."""
        return worker.company_of_letter(self.services, chosen[0].id if chosen else 0)

    def _alike(self, uow: UnitOfWork, letter_id: int) -> list[DeadLetter]:
        """All that wait behind the same alert as this letter, whatever has become of that one."""
        letter = uow.dead_letters.get(letter_id)
        if letter is None:
            self._missing = {letter_id: why_not(letter_id, None)}
            return []
        behind = uow.dead_letters.behind(letter.alert_cause) if letter.alert_cause else [letter]
        return [each for each in behind if each.status is LetterStatus.WAITING]

    def foresee(self, chosen: Sequence[DeadLetter], answers: Answers, *, accept_changes: bool) -> None:
        """Show what replaying the one that is chosen would do, and do nothing."""
        if not chosen:
            self.do(chosen, lambda letter_id: None)
            return
        found = foreseen.foresee(self.services, chosen[0], answers, accept_changes=accept_changes)
        found["command"] = self._pasteable(found["command"])
        if self.as_json:
            screen.print_json(found)
        else:
            foresight.show(found)

    def agree(self, letter: DeadLetter, answers: Answers, *, accept_changes: bool) -> Answers:
        """*answers* with what a person accepts of the changes at the source; ends the command if that is not enough."""
        source = self._source(letter)
        given = rehearsal.agreed(answers, source, accept_changes=accept_changes)
        if source is not None and rehearsal.is_refused(source, given, letter.step):
            self._refuse(letter, source, given)
        if source is not None:
            self._tell(source, given, accept_changes=accept_changes)
        return given

    def sides(self, chosen: Sequence[DeadLetter], answers: Answers) -> list[Sides]:
        """The customers that *answers* name, looked up and shown beside the account. Raises: LinkRefusedError."""
        if not chosen:
            return []
        found = worker.sides_of_letter(self.services, chosen[0].id, answers)
        for each in () if self.as_json else found:
            told = "" if each.is_alike else "  The names differ: make sure that it is the right one."
            line = f"The account {each.account_label} becomes {each.found.label} in {each.system}.{told}"
            screen.console(stderr=True).print(line, style="" if each.is_alike else "bold yellow")
        return found

    def _source(self, letter: DeadLetter) -> Source | None:
        """The deal as it is now; it matters, and costs a call, only where there are documents."""
        run = rehearsal.run_of(self.services, letter)
        return rehearsal.read_source(self.services, run) if rehearsal.has_documents(self.services, run) else None

    def _refuse(self, letter: DeadLetter, source: Source, answers: Answers) -> NoReturn:
        reason = foreseen.refusal(letter, source, answers)
        accepting = self._pasteable(foreseen.command(self.services, letter, source, answers))
        foresight.print_refusal(reason, source, accepting)
        if self.as_json:
            failed = [{"id": letter.id, "problem": reason}]
            changes = (foreseen.source_json(source) or {})["changes"]
            screen.print_json({"replayed": [], "failed": failed, "changes": changes, "command": accepting})
        sys.exit(FAILED)

    def _pasteable(self, command: str) -> str:
        return self.services.settings.pasteable(command) if command else ""

    def _tell(self, source: Source, given: Answers, *, accept_changes: bool) -> None:
        out = screen.console(stderr=True)
        if source.problem:
            out.print(f"The deal can't be read now: {source.problem.rstrip('.')}. The run will read it itself.")
        if source.problem and accept_changes:
            out.print("No change is accepted before you have seen it.")
        if given.accepted:
            out.print(foresight.changes_table(source))

    def confirm(self, chosen: Sequence[DeadLetter], yes: bool, plan: str) -> None:
        """Show what is about to happen, and ask.

        Raises: click.UsageError where nobody can be asked; click.Abort for a no.
        """
        if not chosen:
            return
        out, now = screen.console(stderr=self.as_json), self.services.store.clock()
        out.print(letters.table(chosen, now, width=out.width))
        out.print(plan)
        confirm(f"{self.verb.capitalize()} {plural(len(chosen), 'dead letter')}?", yes=yes)

    def do(self, chosen: Sequence[DeadLetter], act: Callable[[int], object]) -> None:
        """Do it to each, then bring the queue up to date and say what came of it."""
        problems, proposed = dict(self._missing), dict[int, Approval]()
        for letter in self._progress(chosen):
            try:
                if isinstance(outcome := act(letter.id), Approval):
                    proposed[letter.id] = outcome
            except CrmsyncError as error:  # one that another person was faster with must not stop the others
                problems[letter.id] = str(error)
        self.failed = bool(problems)
        done = [letter for letter in chosen if letter.id not in {*problems, *proposed}]
        self._report(done, problems, proposed, is_told=self._redraw() if done else True)

    def _progress(self, chosen: Sequence[DeadLetter]) -> Iterator[DeadLetter]:
        out = screen.console(stderr=True)
        is_shown = out.is_terminal and len(chosen) > 1
        yield from track(chosen, self.verb, console=out, transient=True, disable=not is_shown)

    def _redraw(self) -> bool:
        """Bring the queue `dead_letter` up to date. False if the broker does not answer."""
        return worker.best_effort(lambda: worker.redraw(self.services))

    def _report(
        self, done: Sequence[DeadLetter], problems: dict[int, str], proposed: dict[int, Approval], *, is_told: bool
    ) -> None:
        if self.as_json:
            failed = [{"id": letter_id, "problem": problem} for letter_id, problem in problems.items()]
            waits = [{"id": letter_id, "approval": each.id} for letter_id, each in proposed.items()]
            also = {"proposed": waits} if waits else {}
            screen.print_json({f"{self.verb}ed": [letter.id for letter in done], "failed": failed, **also})
            return
        out = screen.console()
        for letter_id, each in proposed.items():
            command = self.services.settings.pasteable(f"crmsync approvals approve {each.id}")
            out.print(f"Dead letter {letter_id} needs two people. It is proposed, and another one confirms it:")
            out.print(f"  {command} --by NAME", soft_wrap=True)
        for problem in problems.values():
            out.print(f"✗ {visible(problem)}", style="red")
        for line in self._outcome(done, is_told=is_told, nothing=not (problems or proposed)):
            out.print(line, soft_wrap=True)

    def _outcome(self, done: Sequence[DeadLetter], *, is_told: bool, nothing: bool) -> list[str]:
        if not done:
            return [letters.nothing(self._error, with_ended=False)] if nothing else []
        told = f"✓ {self.verb}ed {plural(len(done), 'dead letter')}."
        if self.verb == "discard":
            return [told]
        return [f"{told} {_next(is_told)}", *self._where_to_look(done)]

    def _where_to_look(self, done: Sequence[DeadLetter]) -> list[str]:
        command = f"crmsync runs show {done[0].run_id}" if len(done) == 1 else "crmsync runs list"
        again = "A run that fails again returns to `dead-letters list`. Follow it with:"
        return [again, f"  {self.services.settings.pasteable(command)}"]


def _next(is_told: bool) -> str:
    if is_told:
        return "A worker continues from here."
    return "Redis does not answer: the sweeper hands it to a worker once Redis is back."
