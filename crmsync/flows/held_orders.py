"""Reports an order that can't be delivered or billed to a person before the customer is billed."""

from __future__ import annotations

from crmsync.alerts.content import held_order_alert
from crmsync.domain.documents import Document
from crmsync.errors import OrderHeldError
from crmsync.worker.attempt import Attempt

REVIEW, ALERT = "review", "alert"


def check_holds(attempt: Attempt, order: Document, *, system: str) -> None:
    """Put what came with the order into the run's history; what holds it back is decided by CRMSYNC_HELD_ORDERS.

    Raises: OrderHeldError.
    """
    holds = ", ".join(order.all_holds)
    remarks = ", ".join(order.remarks)
    attempt.remark = "; ".join(filter(None, (f"made with the remark {remarks}" if remarks else "", holds)))
    policy = attempt.company.options.held_orders
    if not holds or attempt.is_accepted():
        return
    if policy == REVIEW:
        raise OrderHeldError(
            f"The order {order.number} was made, but {holds}.",
            system=system,
            code=remarks or None,
            advice="Complete or release it in that system, then replay; with --accept the deal is billed as it is.",
        )
    if policy == ALERT:
        _alert(attempt, order, holds, system)


def _alert(attempt: Attempt, order: Document, holds: str, system: str) -> None:
    run = attempt.run
    content = held_order_alert(
        run,
        system,
        order=order.number,
        holds=holds,
        command=attempt.services.settings.pasteable(f"crmsync runs show {run.subject_key}"),
    )
    with attempt.services.store.begin() as uow:
        connection = attempt.company.orders.connection
        uow.alerts.add_once(run.tenant, f"held:{connection}:{order.key}", content, connection=connection)
