"""Delivers alerts from the outbox; an alert that can't be delivered stays there and is tried again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from crmsync.alerts.content import solved
from crmsync.alerts.whose import with_owner
from crmsync.errors import RetryableError

if TYPE_CHECKING:
    from crmsync.alerts.messenger import Messenger
    from crmsync.store import Store

logger = logging.getLogger(__name__)

BATCH = 20
CLAIM_SECONDS = 60.0  # longer than one delivery may take; after it another sender may try
LONGEST_WAIT_SECONDS = 300.0
LONGEST_ASKED_SECONDS = 3600.0

_delivering = threading.Lock()


def deliver(outbox: Store, messenger: Messenger) -> int:
    """Deliver what is due; returns how many. A failure ends the round: the rest is due again later.

    One thread of a process at a time: a Slack that hangs holds no second one.
    """
    if not _delivering.acquire(blocking=False):
        return 0
    try:
        return _deliver(outbox, messenger)
    finally:
        _delivering.release()


def _deliver(outbox: Store, messenger: Messenger) -> int:
    for delivered in range(BATCH):
        with outbox.begin() as uow:
            due = uow.alerts.claim_due(limit=1, seconds=CLAIM_SECONDS)
        if not due or not _told(outbox, messenger, due[0]):
            return delivered
    return BATCH


def _told(outbox: Store, messenger: Messenger, alert: Any) -> bool:
    """False, and the alerts wait, if Slack could not be reached. One that can't be sent delays no others."""
    try:
        with outbox.read() as uow:
            content = with_owner(uow, alert)
        message_id = _tell(messenger, alert, content)
    except RetryableError as error:
        _postpone(outbox, alert, error)
        return False
    except Exception:
        logger.exception("an alert can't be sent", extra={"action": "alert_unreadable", "alert": alert.id})
        with outbox.begin() as uow:
            uow.alerts.not_told(alert.id, attempts=alert.attempts + 1, wait_seconds=LONGEST_ASKED_SECONDS)
        return True
    with outbox.begin() as uow:
        uow.alerts.told(alert, message_id=message_id, wait_seconds=messenger.update_seconds)
    return True


def _tell(messenger: Messenger, alert: Any, whose: Mapping[str, Any]) -> str:
    """*whose* is its content, which says whose it is.

    Returns the message's id. What is only out of date is changed where it can be, else sent again if it matters.
    """
    content = whose if alert.closed_at is None else solved(whose, alert.closed_at)
    is_news = alert.told < alert.occurrences or (alert.closed_at is not None and alert.content.get("tells_end"))
    if not is_news and not alert.message_id:
        return ""
    return messenger.tell(content, occurrences=alert.occurrences, message_id=alert.message_id)


def _postpone(outbox: Store, alert: Any, error: RetryableError) -> None:
    """Let this alert wait, and with it all that are due: what Slack asks for concerns every message."""
    logger.warning("alerts wait: %s", error, extra={"action": "alert_failed"})
    asked = min(LONGEST_ASKED_SECONDS, error.retry_after_seconds or 0.0)
    with outbox.begin() as uow:
        for waiting in (alert, *uow.alerts.claim_due(limit=BATCH, seconds=CLAIM_SECONDS)):
            wait = max(asked, min(LONGEST_WAIT_SECONDS, 5.0 * 2 ** min(waiting.attempts, 10)))
            uow.alerts.not_told(waiting.id, attempts=waiting.attempts + 1, wait_seconds=wait)
