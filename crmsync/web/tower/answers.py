"""Reads a person's answer from the form of a dead letter."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from crmsync.company import Company
from crmsync.domain.audit import REASON_LENGTH
from crmsync.domain.customer_numbers import customer_number
from crmsync.domain.dead_letters import Answers, DeadLetter
from crmsync.errors import CrmsyncError
from crmsync.worker.dead_letters import linkable


class AnswerError(CrmsyncError):
    """The form is not filled in right; nothing was done."""


def read_answers(form: Mapping[str, str], company: Company) -> Answers:
    """The answers that a form gives. Raises: AnswerError."""
    links = {connection: _customer_number(form, name) for name, connection in linkable(company).items()}
    given = {connection: number for connection, number in links.items() if number}
    return Answers(accept=form.get("accept") == "yes", links=given, is_seen=form.get("seen") == "yes")


def read_reason(form: Mapping[str, str], *, needed_for: str = "") -> str:
    """Why a person decides so, for the audit. Raises: AnswerError where it is *needed_for* something and missing."""
    reason = form.get("reason", "").strip()[:REASON_LENGTH]
    if needed_for and not reason:
        raise AnswerError(f"Nothing was done: say why, for the audit. {needed_for} needs a reason.")
    return reason


def require_confirmation(form: Mapping[str, str]) -> None:
    """Check the form's confirmation. Raises: AnswerError without it."""
    if form.get("confirm") != "yes":
        raise AnswerError("Nothing was discarded: tick the box to confirm that the run is to be given up.")


def told(letter: DeadLetter) -> str:
    """What a letter showed when its form was made: another cause is another question."""
    return hashlib.sha256(f"{letter.step}\n{letter.error}\n{letter.cause}".encode()).hexdigest()[:16]


def require_same(form: Mapping[str, str], letter: DeadLetter) -> None:
    """Check that the letter has not changed.

    Raises: AnswerError where the letter asks something else by now than the person has read.

    A form that does not say what was read, as one of a page from before an upgrade, is an answer as it always was.
    """
    if form.get("told", told(letter)) != told(letter):
        raise AnswerError(f"Nothing was done: dead letter {letter.id} has changed since you saw it. Read it again.")


def _customer_number(form: Mapping[str, str], name: str) -> str:
    text = form.get(f"link_{name}", "").strip()
    try:
        return customer_number(text) if text else ""
    except ValueError as error:
        raise AnswerError(f"Nothing was replayed: the {name} customer number is not valid: {error}.") from error
