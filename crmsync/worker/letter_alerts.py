"""The alerts of dead letters: one for each cause, open as long as there is a letter, with a command for all."""

from __future__ import annotations

from crmsync.alerts.content import Content, dead_letter_alert, outage_alert
from crmsync.domain.breaker import Breaker
from crmsync.domain.connections import ID_PREFIX
from crmsync.domain.dead_letters import OUTAGES, DeadLetter, LetterKind, LetterStatus
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.store import UnitOfWork
from crmsync.worker.flow import FLOWS

LETTERS = "letters:"
NAMED = 10  # ids in a command; more are named by the first of them
# What happens again and again as long as it is so: where nothing happened for a while, it is over.
_QUIET = ("process:", "webhooks_refused")


def tell(uow: UnitOfWork, settings: Settings, letter: DeadLetter, *, is_news: bool) -> None:
    """*letter* was written just now. Not *is_news*: it died again of what people know, if they still have an alert."""
    cause = letter.alert_cause
    breaker = _open_breaker(uow, cause)
    content = _content(uow, settings, cause, breaker) or _of_letters(uow, settings, letter, [letter], 1)
    if is_news and breaker is None:
        uow.alerts.add(letter.tenant, cause, content, connection=letter.alerts_of)
    elif not uow.alerts.add_once(letter.tenant, cause, content, connection=letter.alerts_of) and breaker is not None:
        uow.alerts.revise(cause, content)  # the outage is known: this is one more that waits for its end


def settle(uow: UnitOfWork, settings: Settings, cause: str) -> None:
    """A letter of *cause* may be settled: close the alert of the last one, and let that of others name them."""
    if not cause or not uow.alerts.is_open(cause):
        return
    breaker = _open_breaker(uow, cause)
    content = _content(uow, settings, cause, breaker)
    if content is None:
        uow.alerts.close(cause)
    else:
        uow.alerts.revise(cause, content)


def settle_all(using: Services) -> None:
    """Close each open alert whose cause is gone, whoever has settled it."""
    with using.store.read() as uow:
        causes = [alert.cause for alert in uow.alerts.open(None)]
    mine = [cause for cause in causes if cause.startswith((LETTERS, OUTAGES, *_QUIET))]
    for cause in mine:
        with using.store.begin(durable=False) as uow:
            if cause.startswith(_QUIET):
                uow.alerts.close_quiet(cause)
            else:
                settle(uow, using.settings, cause)


def _open_breaker(uow: UnitOfWork, cause: str) -> Breaker | None:
    if not cause.startswith(OUTAGES):
        return None
    named = cause.removeprefix(OUTAGES)  # see outage_cause()
    return uow.breakers.open_of(named if named.startswith(ID_PREFIX) else "", named)


def _content(uow: UnitOfWork, settings: Settings, cause: str, breaker: Breaker | None) -> Content | None:
    """None where nothing is left to tell of."""
    count, letters = uow.dead_letters.some_behind(cause, NAMED + 1)
    if breaker is not None:
        return outage_alert(
            breaker.system,
            failures=breaker.failures,
            reason=breaker.reason,
            command=settings.pasteable("crmsync doctor"),
            stuck=count,
        )
    newest = uow.dead_letters.newest_behind(cause)
    return _of_letters(uow, settings, newest, letters, count) if newest is not None else None


def _of_letters(
    uow: UnitOfWork, settings: Settings, newest: DeadLetter, letters: list[DeadLetter], count: int
) -> Content:
    """The newest as an example, and the command for all *count* of them; *letters* are the first, one more than named.

    A flood has thousands, and each of them tells anew: none reads them all.
    """
    subject = FLOWS[newest.flow].subject if newest.flow in FLOWS else newest.flow
    shows = settings.pasteable(f"celery -A crmsync dead-letters show {newest.id}")
    words_at = shows if uow.dead_letters.sealed_words(newest.id) else ""
    return dead_letter_alert(
        newest, subject=subject, command=command(settings, letters), waiting=count, words_at=words_at
    )


def command(settings: Settings, letters: list[DeadLetter]) -> str:
    """What replays these letters, and no others: those that wait, else all of them; of one that waits for an answer,
    what shows the answers, because a replay without one would ask the same again."""
    waiting = [letter for letter in letters if letter.status is LetterStatus.WAITING] or letters
    if waiting[0].is_told_once:
        return settings.pasteable(f"celery -A crmsync dead-letters replay --error {waiting[0].error} --accept")
    if waiting[0].kind is LetterKind.REVIEW and len(waiting) == 1:
        return settings.pasteable(f"celery -A crmsync dead-letters show {waiting[0].id}")
    chosen = " ".join(str(letter.id) for letter in waiting) if len(waiting) <= NAMED else f"--like {waiting[0].id}"
    return settings.pasteable(f"celery -A crmsync dead-letters replay {chosen}")
