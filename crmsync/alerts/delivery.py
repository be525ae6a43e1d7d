"""Takes alerts from the outbox to people; one that can't be delivered stays and is tried again."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from typing import Any, Protocol

from crmsync.alerts.slack import Messenger
from crmsync.errors import RetryableError

logger = logging.getLogger(__name__)

BATCH = 20
CLAIM_SECONDS = 60.0  # longer than one delivery may take; after it another sender may try
LONGEST_WAIT_SECONDS = 300.0


class Outbox(Protocol):
    """What delivery needs of the store."""

    def begin(self) -> AbstractContextManager[Any]: ...


def deliver(outbox: Outbox, messenger: Messenger) -> int:
    """Deliver what is due; returns how many. A failure ends the round: the rest is due again later."""
    for delivered in range(BATCH):
        with outbox.begin() as uow:
            due = uow.alerts.claim_due(limit=1, seconds=CLAIM_SECONDS)
        if not due or not _told(outbox, messenger, due[0]):
            return delivered
    return BATCH


def _told(outbox: Outbox, messenger: Messenger, alert: Any) -> bool:
    """False, and the alert waits, if it could not be delivered."""
    try:
        message_id = messenger.tell(alert.content, occurrences=alert.occurrences, message_id=alert.message_id)
    except RetryableError as error:
        _postpone(outbox, alert, error)
        return False
    with outbox.begin() as uow:
        uow.alerts.told(
            alert.id, occurrences=alert.occurrences, message_id=message_id, wait_seconds=messenger.update_seconds
        )
    return True


def _postpone(outbox: Outbox, alert: Any, error: RetryableError) -> None:
    """Let this alert wait, and with it all that are due: what Slack asks for concerns every message."""
    logger.warning("alerts wait: %s", error, extra={"action": "alert_failed"})
    asked = error.retry_after_seconds or 0.0
    with outbox.begin() as uow:
        for waiting in (alert, *uow.alerts.claim_due(limit=BATCH, seconds=CLAIM_SECONDS)):
            wait = max(asked, min(LONGEST_WAIT_SECONDS, 5.0 * 2**waiting.attempts))
            uow.alerts.not_told(waiting.id, attempts=waiting.attempts + 1, wait_seconds=wait)
