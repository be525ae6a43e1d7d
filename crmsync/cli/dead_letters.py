"""`celery -A crmsync dead-letters`: lists the runs that wait for a person, replays them and discards them.

Celery loads this module for each of its commands, so what is heavy is imported when a command runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from crmsync.cli.failures import NUMBER, ListingGroup
from crmsync.cli.options import act, by_and_reason, json_option, yes_option
from crmsync.errors import CrmsyncError, RecordNotFoundError

if TYPE_CHECKING:
    from crmsync.company import Company
    from crmsync.domain.audit import Act
    from crmsync.domain.dead_letters import Answers, DeadLetter
    from crmsync.services import Services
    from crmsync.worker.customer_links import Sides

_ids = click.argument("ids", metavar="[ID]…", nargs=-1, type=NUMBER)
_like = click.option("--like", metavar="ID", type=NUMBER, help="All that wait for the same cause as this one.")
_error = click.option(
    "--error", metavar="NAME", help="Those that failed with this error, such as VendorUnavailableError."
)


@click.group("dead-letters", cls=ListingGroup)
def dead_letters() -> None:
    """Runs that failed for good and wait for a person."""


@dead_letters.command("list")
@_error
@click.option("--all", "with_ended", is_flag=True, help="Also those that were replayed or discarded.")
@json_option
def list_(*, error: str | None, with_ended: bool, as_json: bool) -> None:
    """List the dead letters that wait, oldest first."""
    from crmsync.cli import letters, screen
    from crmsync.cli.process import open_services
    from crmsync.domain.dead_letters import LetterStatus
    from crmsync.reading.letters import summary

    with open_services().store.read() as uow:
        found = uow.dead_letters.list(None, status=None if with_ended else LetterStatus.WAITING, error=error)
    if as_json:
        screen.print_json([summary(letter, uow.now) for letter in found])
    elif found:
        out = screen.console()
        out.print(letters.table(found, uow.now, width=out.width, with_status=with_ended))
    else:
        screen.console().print(letters.nothing(error, with_ended=with_ended))


@dead_letters.command
@click.argument("letter_id", metavar="ID", type=NUMBER)
@json_option
def show(letter_id: int, *, as_json: bool) -> None:
    """Show everything about one dead letter: steps, documents, cause, and what to do."""
    from crmsync.cli import history, letters, screen
    from crmsync.cli.process import open_services
    from crmsync.reading.history import last_lines
    from crmsync.reading.letters import summary
    from crmsync.reading.run import documents_json, documents_of

    services = open_services()
    with services.store.read() as uow:
        letter = uow.dead_letters.get(letter_id)
        if letter is None:
            raise RecordNotFoundError(
                f"There is no dead letter {letter_id}: this database has never had one with that number."
            )
        lines, documents = last_lines(uow, letter.run_id), documents_of(uow, letter.run_id)
        words = services.words_of(uow, letter.id)
    command = letters.next_command(letter, services.settings)
    if as_json:
        known = {
            "advice": letters.advice_for(letter),
            "command": command,
            "steps": history.steps_json(lines),
            "documents": documents_json(documents),
            "answers": letters.answers(letter, services.settings),
            "vendor_words": words,
        }
        screen.print_json(summary(letter, uow.now) | known)
    else:
        letters.print_one(letter, lines, documents, command, words, services.settings)


@dead_letters.command
@_ids
@_error
@_like
@click.option("--all", "everything", is_flag=True, help="All that wait.")
@yes_option
@click.option("--link", "links", metavar="ERP=1000123", multiple=True, help="The customer's number there (or BOOKS=…).")
@click.option("--accept", is_flag=True, help="Continue in spite of what stopped it, such as differing amounts.")
@click.option("--accept-changes", is_flag=True, help="Continue although the deal changed after documents were made.")
@click.option("--dry-run", is_flag=True, help="Show what one replay would do and send; change nothing anywhere.")
@by_and_reason
@json_option
def replay(
    *, ids: tuple[int, ...], error: str | None, like: int | None, everything: bool, yes: bool, links: tuple[str, ...],
    accept: bool, accept_changes: bool, dry_run: bool, by: str | None, reason: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Let runs continue: the source is read again, then the failed step and the rest are done; nothing is repeated.

    The replay of one ID checks the deal first, and is refused if its amount, lines or account changed after
    documents were made. Several IDs, --error, --like and --all do not check: a run whose deal has another amount or
    account than its documents stops by itself and comes back here. --accept and --link need a --reason: the audit
    keeps who decided, and why.
    """
    from crmsync.cli import letter_work
    from crmsync.domain.dead_letters import Answers

    with letter_work.work("replay", as_json=as_json) as work:
        chosen = work.choose(ids, error, everything, like=like)
        answers = Answers(accept=accept, links=parse_links(links, work.company_of(chosen)))
        needed_for = "" if dry_run or not answers.needs_reason else "--accept" if accept else "--link"
        who = act(by, reason, needed_for=needed_for, yes=yes)
        is_one = len(set(ids)) == 1 and not (error or everything or like)
        _check_one(is_one, {"--dry-run": dry_run, "--accept-changes": accept_changes})
        _check_links(work.services, answers, chosen)
        sides = work.sides(chosen, answers)
        if dry_run:
            work.foresee(chosen, answers, accept_changes=accept_changes)
            return
        if is_one and chosen:
            answers = work.agree(chosen[0], answers, accept_changes=accept_changes)
        work.confirm(chosen, yes, plan_of(answers, len(chosen)))
        if answers.accept and not ids:
            _let_flood_pass(work.services, chosen)
        work.do(chosen, _replayer(work.services, answers, sides, who))


@dead_letters.command
@_ids
@_error
@_like
@click.option("--all", "everything", is_flag=True, help="All that wait.")
@yes_option
@by_and_reason
@json_option
def discard(
    *, ids: tuple[int, ...], error: str | None, like: int | None, everything: bool, yes: bool,
    by: str | None, reason: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Give runs up: nothing more is done, and documents that exist stay. A deal that was done stays done.

    It needs a --reason: the audit keeps who decided, and why.
    """
    from crmsync.cli import letter_work

    who = act(by, reason, needed_for="To discard", yes=yes)
    with letter_work.work("discard", as_json=as_json) as work:
        chosen = work.choose(ids, error, everything, like=like)
        work.confirm(chosen, yes, "They are given up; documents that exist stay. A deal that was done stays done.")
        work.do(chosen, _discarder(work.services, who))


def parse_links(texts: Sequence[str], company: Company) -> dict[str, str]:
    """Which customer a person chose, by connection.

    Raises: click.BadParameter.
    """
    from crmsync.domain.customer_numbers import RULE, customer_number
    from crmsync.worker.dead_letters import linkable

    connections = linkable(company)
    found: dict[str, str] = {}
    for text in texts:
        name, _, key = text.partition("=")
        try:
            key = customer_number(key)
        except ValueError:
            key = ""
        if name not in connections or not key:
            names = " or ".join(f"{known}=…" for known in connections)
            raise click.BadParameter(
                f"expected {names} with the customer's number ({RULE}), found {text!r}.", param_hint="--link"
            )
        if found.setdefault(connections[name], key) != key:
            raise click.BadParameter(f"{name} is given twice.", param_hint="--link")
    return found


def plan_of(answers: Answers, count: int) -> str:
    """What a replay is about to do."""
    names = [f"the customer is {key} in {connection}" for connection, key in answers.links.items()]
    accepted = ["what stopped it is accepted"] if answers.accept else []
    changed = ["what changed at the deal is accepted"] if answers.accepted else []
    told = "; ".join([*names, *accepted, *changed])
    whole = "Each run goes on" if count > 1 else "The run goes on"
    return f"{whole} at the failed step, and nothing that is done is repeated{f' ({told})' if told else ''}."


def _check_one(is_one: bool, options: Mapping[str, bool]) -> None:
    """Raises: click.UsageError for an option that needs a person to look at one letter."""
    for option, is_given in options.items():
        if is_given and not is_one:
            raise click.UsageError(f"{option} is for one dead letter: give its ID.")


def _check_links(services: Services, answers: Answers, chosen: Sequence[DeadLetter]) -> None:
    """A customer can be named for one deal, whose own customer is known.

    Raises: click.UsageError; CrmsyncError.
    """
    from crmsync.worker.flow import FLOWS

    if not answers.links or not chosen:
        return
    if len(chosen) > 1:
        raise click.UsageError("--link names the customer of one deal: replay one dead letter at a time with it.")
    with services.store.read() as uow:
        run = uow.runs.get(chosen[0].run_id)
    if run is None or not FLOWS[run.flow].reading_of(run).get("customer", {}).get("key"):
        raise CrmsyncError(
            f"Dead letter {chosen[0].id} can't be linked: its deal has not been read yet.",
            advice="Replay it without --link.",
        )


def _let_flood_pass(services: Services, chosen: Sequence[DeadLetter]) -> None:
    """Who accepts all deals of a flood is not asked about those that still come of it.

    Where some deals need two people, that is one person's word for deals that nobody has seen: they are asked about.
    """
    from crmsync.errors import UnusualBurstError
    from crmsync.flows import flood
    from crmsync.worker import four_eyes

    held = [letter for letter in chosen if letter.error == UnusualBurstError.__name__]
    with services.store.read() as uow:
        alone = {each.source for each in held if not four_eyes.limits(uow, services.settings, each)}
    for source in alone:
        flood.let_pass(services, source)


def _replayer(services: Services, answers: Answers, sides: Sequence[Sides], who: Act) -> Callable[[int], object]:
    from crmsync.worker import dead_letters as worker

    return lambda letter_id: worker.replay(services, letter_id, answers, by=who, sides=sides)


def _discarder(services: Services, who: Act) -> Callable[[int], object]:
    from crmsync.worker import dead_letters as worker

    return lambda letter_id: worker.discard(services, letter_id, by=who)
