"""The code of a consent is exchanged by a worker, for nobody else calls systems; no message holds it."""

from __future__ import annotations

from crmsync.celery import app
from crmsync.consent_exchange import exchange
from crmsync.domain.consents import GOOD_FOR, ConsentRequest, ConsentStatus
from crmsync.services import Services, services
from crmsync.worker.dead_letters import best_effort

QUEUE = "background"
_NO_BROKER = "The broker does not answer, so no worker can finish this. Ask for consent once more when it does."


def send(using: Services, request: ConsentRequest) -> None:
    """Let a worker exchange it, now: a code is good for a minute or two. Where none can be asked, it has failed."""
    expires = GOOD_FOR.total_seconds()
    is_sent = best_effort(
        lambda: app.send_task("background.exchange_code", args=(request.id,), queue=QUEUE, expires=expires, retry=False)
    )
    if not is_sent:
        with using.store.begin() as uow:
            uow.consents.end(request.id, ConsentStatus.FAILED, _NO_BROKER)


@app.task(name="background.exchange_code", queue=QUEUE)
def exchange_code(consent_id: str) -> None:
    """A message that nobody sent, or that comes again, does nothing."""
    exchange(services(), consent_id)
