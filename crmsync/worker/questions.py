"""Questions of the API to a worker, because only workers call systems; they lie in the store, sealed, for minutes.

A message names a question and holds nothing of it. A question goes as soon as its answer was read or nobody waits for
it any more, or with a sweep.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from crmsync.celery import app
from crmsync.errors import CrmsyncError
from crmsync.services import Services
from crmsync.store import UnitOfWork
from crmsync.worker.dead_letters import best_effort

logger = logging.getLogger(__name__)

QUEUE = "background"
KEPT = timedelta(minutes=2)  # longer than anybody waits
_NAME = "question."


@dataclass(frozen=True, slots=True)
class Answer:
    """*problem* says why there is no *value*."""

    value: Any = None
    problem: str = ""


def ask(using: Services, uow: UnitOfWork, asked: Mapping[str, Any]) -> str:
    """Keep what is *asked*. Returns the question's id; send() afterwards."""
    question_id = secrets.token_hex(8)
    sealed = using.vault.seal_for(json.dumps(asked), _seal(question_id))
    _keep(uow, question_id, {"asked_at": uow.now.isoformat(), "asked": sealed, "answer": ""})
    return question_id


def send(task: str, question_id: str) -> bool:
    """Send the question to a worker. False where the broker does not answer."""
    expires = KEPT.total_seconds()
    return best_effort(lambda: app.send_task(task, args=(question_id,), queue=QUEUE, expires=expires, retry=False))


def answered(using: Services, uow: UnitOfWork, question_id: str) -> Answer | None:
    """The answer; None while nobody has answered."""
    kept = _kept(uow, question_id)
    text = using.vault.open_for(kept["answer"], _seal(question_id)) if kept and kept["answer"] else None
    return Answer(**json.loads(text)) if text else None


def drop(uow: UnitOfWork, question_id: str) -> None:
    uow.facts.drop(_NAME + question_id)


def answer(using: Services, question_id: str, find: Callable[[Mapping[str, Any]], Any]) -> None:
    """Answer what *find* finds, or why it finds nothing; a message that nobody asked for, or that comes again, does
    nothing.
    """
    with using.store.read() as uow:
        kept = _kept(uow, question_id)
    asked = using.vault.open_for(kept["asked"], _seal(question_id)) if kept and not kept["answer"] else None
    if kept is None or asked is None:
        return
    text = json.dumps(asdict(_found(find, json.loads(asked))))
    with using.store.begin() as uow:
        if _kept(uow, question_id) is not None:
            _keep(uow, question_id, {**kept, "answer": using.vault.seal_for(text, _seal(question_id))})


def forget(using: Services) -> None:
    """Delete the questions whose askers did not come back."""
    with using.store.read() as uow:
        names = [name for name, text in uow.facts.under(_NAME).items() if _is_over(text, uow.now)]
    if names:
        with using.store.begin(durable=False) as uow:
            for name in names:
                drop(uow, name)


def _found(find: Callable[[Mapping[str, Any]], Any], asked: Mapping[str, Any]) -> Answer:
    try:
        return Answer(find(asked))
    except CrmsyncError as error:
        return Answer(problem=error.with_advice)
    except Exception as error:  # a bug, whose text may hold a customer's data
        logger.error("a question has no answer: %s", type(error).__name__, extra={"action": "question_failed"})
        return Answer(problem=f"Unexpected {type(error).__name__} in crmsync.")


def _is_over(text: str, now: datetime) -> bool:
    """Also what a clock that was wrong has written."""
    return abs(now - datetime.fromisoformat(json.loads(text)["asked_at"])) > KEPT


def _seal(question_id: str) -> str:
    """What question and answer belong to."""
    return f"question:{question_id}"


def _kept(uow: UnitOfWork, question_id: str) -> dict[str, Any] | None:
    text = uow.facts.get(_NAME + question_id)
    return dict(json.loads(text)) if text else None


def _keep(uow: UnitOfWork, question_id: str, value: Mapping[str, Any]) -> None:
    uow.facts.set(_NAME + question_id, json.dumps(value))
