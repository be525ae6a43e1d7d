"""What a person may do about a dead letter, and the commands that do it.

A command is as one types it where the environment is set; a screen adds what its reader needs.
"""

from __future__ import annotations

from dataclasses import dataclass

from crmsync.domain.dead_letters import DeadLetter, LetterKind, LetterStatus

COMMAND = "celery -A crmsync dead-letters"
REPLAY_ALL = f"{COMMAND} replay --all --yes"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the answers that a person may give to a review: what it means, and the command that gives it."""

    answer: str
    means: str
    command: str


_GO_ON = ("go on", "what exists stays as it is, and the run continues", "replay {} --accept")
_MAKE_ANEW = (
    "make anew",
    "once the wrong documents have been voided, rejected, deleted or fully credited there, they are made again",
    "replay {}",
)
_TRY_AGAIN = ("try again", "once it has been corrected, the run checks it again", "replay {}")
_LEAVE = ("leave", "nothing more is done; a deal that was done before stays done", "discard {}")
_OF_DOCUMENTS = ("DealChangedError", "AmountMismatchError")
_GONE = "DocumentGoneError"
_AMBIGUOUS = "AmbiguousMatchError"
_OTHERWISE = (_AMBIGUOUS, "OutcomeUnknownError")  # a number is needed, or a look at the system


def choices(letter: DeadLetter) -> tuple[Choice, ...]:
    """The answers that a review which waits takes, as people are offered them."""
    is_asked = letter.status is LetterStatus.WAITING and letter.kind is LetterKind.REVIEW
    if not is_asked or letter.error in _OTHERWISE:
        return ()
    again = _MAKE_ANEW if letter.error in (*_OF_DOCUMENTS, _GONE) else _TRY_AGAIN
    offered = (again, _LEAVE) if letter.error == _GONE else (_GO_ON, again, _LEAVE)
    return tuple(Choice(answer, means, f"{COMMAND} {command.format(letter.id)}") for answer, means, command in offered)


def answer_asked(letter: DeadLetter, link: str) -> str:
    """What stands behind `replay ID` where a replay without an answer would ask the same again.

    *link* is what people call the system whose customer the step searches; "" where it searches none.
    """
    if letter.kind is not LetterKind.REVIEW or letter.error in ("OutcomeUnknownError", _GONE):
        return ""
    return f" --link {link}=NUMBER" if link and letter.error == _AMBIGUOUS else " --accept"


def replay_command(letter: DeadLetter, link: str, options: str = "") -> str:
    """The replay of *letter* with *options*; without any, with the answer that it waits for."""
    return f"{COMMAND} replay {letter.id}{options or answer_asked(letter, link)}"


def next_command(letter: DeadLetter, link: str) -> str:
    """What to type next, or "" if there is nothing to do."""
    if letter.status in (LetterStatus.REPLAYED, LetterStatus.DISCARDED):
        return ""
    if letter.status is LetterStatus.REPLAYING:
        return f"crmsync runs show {letter.run_id}"
    return replay_command(letter, link)
