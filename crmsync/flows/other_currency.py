"""Payments in another currency than the deal's: written to the deal in words, not as a number, with one alert."""

from __future__ import annotations

from crmsync.alerts.content import other_currency_alert
from crmsync.domain.deals import Deal
from crmsync.domain.learned import InvoiceMade
from crmsync.domain.payments import PaymentFigures
from crmsync.domain.runs import Run
from crmsync.worker import starting
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import FLOWS, learned


def status_of(figures: PaymentFigures, deal_run: Run) -> str:
    """What the deal says in place of a number; "" where it has one."""
    return f"{figures.amount} paid" if _is_other(figures, deal_run) else ""


def check(attempt: Attempt, deal_run: Run, figures: PaymentFigures, *, invoice: str) -> None:
    """Alert people while it is so, and close the alert when it no longer is."""
    if not _is_other(figures, deal_run):
        close(attempt)
        return
    content = other_currency_alert(
        deal_run,
        attempt.company.invoices.system,
        invoice=invoice,
        currency=figures.amount.currency,
        command=attempt.services.settings.pasteable(f"crmsync runs show {deal_run.subject_key}"),
    )
    with attempt.services.store.begin() as uow:
        connection = attempt.company.invoices.connection
        uow.alerts.add_once(attempt.run.tenant, _cause(attempt), content, connection=connection)


def look_again(attempt: Attempt, deal: Deal) -> None:
    """Where the deal has another currency than when it was read last, the number that it has of payments is wrong."""
    invoice = learned(attempt.run, "create_invoice", InvoiceMade)
    if invoice is None or deal.amount.currency == attempt.run.currency:
        return
    using, flow = attempt.services, FLOWS["invoice_to_deal"]
    # Its own run is not held meanwhile: that of the invoice starts this one, and two would wait for each other.
    with using.store.begin() as uow:
        to_enqueue = starting.start(
            uow,
            flow,
            attempt.company,
            invoice.key,
            correlation_id=attempt.run.correlation_id,
            queued_for=using.settings.behaviour.queued_for,
        )
    starting.enqueue(flow, to_enqueue)


def close(attempt: Attempt) -> None:
    """Nothing of another currency is paid, or another invoice counts."""
    with attempt.services.store.read() as uow:
        is_told = uow.alerts.is_open(_cause(attempt))
    if is_told:
        with attempt.services.store.begin() as uow:
            uow.alerts.close(_cause(attempt))


def _is_other(figures: PaymentFigures, deal_run: Run) -> bool:
    return figures.number_in(deal_run.currency) is None


def _cause(attempt: Attempt) -> str:
    return f"other_currency:{attempt.company.invoices.connection}:{attempt.run.subject_key}"
