"""Waits for what becomes of a consent: the browser, the receiver and a worker write it into the store."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from crmsync.domain.consents import ConsentRequest, ConsentStatus

if TYPE_CHECKING:
    from crmsync.services import Services

LOOK_SECONDS = 0.5
_TOO_LATE = "Nobody has consented within ten minutes."


def awaited(using: Services, asked: ConsentRequest, *, sleep: Callable[[float], None] = time.sleep) -> ConsentRequest:
    """*asked* as it ends, by consent, refusal, or time."""
    while True:
        with using.store.read() as uow:
            kept = uow.consents.get(asked.id)
            is_too_late = uow.now >= asked.expires_at
        if kept is not None and kept.request.status.is_over:
            return kept.request
        if kept is None or is_too_late:
            return replace(asked, status=ConsentStatus.FAILED, message=_TOO_LATE)
        sleep(LOOK_SECONDS)
