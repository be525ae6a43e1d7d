"""Decides which deals go on without a question, before anything is made from them.

    in a flood? (no call) → read; won by now? → fit to be ordered? → won lately, since going live? → an address?

Each question that a person has answered with `--accept` is not asked again of that deal; the others still are.
"""

from __future__ import annotations

from dataclasses import replace

from crmsync.domain import deals
from crmsync.domain.admission import next_check_seconds, why_old
from crmsync.domain.customers import is_address
from crmsync.domain.dead_letters import is_answered
from crmsync.domain.deals import Deal
from crmsync.domain.learned import DealRead
from crmsync.errors import NoAddressError, NotYetError, OldDealError, RecordNotFoundError
from crmsync.flows import flood
from crmsync.flows.business_day import known_zone
from crmsync.worker import documents
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import AGREED

MADE = frozenset({"create_order", "create_invoice"})  # the steps after which it is too late to ask


def read(attempt: Attempt) -> Deal:
    """The deal as it stands in the CRM; one of a flood is not even read.

    Raises: UnusualBurstError; NotYetError while it may still be on its way; RecordNotFoundError.
    """
    if _is_new(attempt):
        flood.hold(attempt)
    try:
        deal = attempt.read_deal()
    except RecordNotFoundError as error:
        _look_again(attempt, "The deal is not visible yet", error.system)
        raise
    attempt.describe(
        title=f"{deal.customer.name} – {deal.name}", amount=deal.amount.amount, currency=deal.amount.currency
    )
    _wait_for_change(attempt, deal)
    return _mailed_by_hand(deal) if _needs_hand(attempt, deal) else deal


def check(attempt: Attempt, deal: Deal) -> None:
    """Check whether a deal may start.

    Raises: InvalidDealError; where nothing is made yet also UnusualBurstError, OldDealError, NoAddressError.
    """
    deals.check(deal)
    if _is_new(attempt):
        flood.ask_again(attempt)
        _hold_old(attempt, deal)
        _require_address(attempt, deal)


def _is_new(attempt: Attempt) -> bool:
    return not MADE & attempt.run.results.keys()


# -- whether it is there yet


def _wait_for_change(attempt: Attempt, deal: Deal) -> None:
    """Raises: NotYetError while the change that was announced may still be on its way."""
    system = attempt.company.deals.system
    if not deal.is_won:
        _look_again(attempt, "The deal is not won yet", system)
    if not deal.lines:
        _look_again(attempt, "The deal has no products yet", system)


def _look_again(attempt: Attempt, state: str, system: str | None) -> None:
    """Raises: NotYetError, unless the last announcement is too long ago."""
    with attempt.services.store.read() as uow:
        received_at = uow.deliveries.last_received_at(attempt.company.deals.connection, attempt.run.subject_key)
    announced_at = max(filter(None, (received_at, attempt.run.created_at)))
    wait = next_check_seconds(announced_at, uow.now, attempt.company.options.announced_grace_seconds)
    if wait is not None:
        message = f"{state}: what announced it may have come before the change itself."
        raise NotYetError(message, wait_seconds=wait, system=system)


# -- whether it is of today


def _hold_old(attempt: Attempt, deal: Deal) -> None:
    """Raises: OldDealError."""
    if is_answered(attempt.run.answers, attempt.run.step, OldDealError):
        return
    using = attempt.services
    reason = why_old(
        deal.dates,
        attempt.run.created_at,
        go_live=using.go_live(attempt.company),
        max_days=attempt.company.options.max_deal_age_days,
        zone=known_zone(using, attempt.company.invoices),
    )
    if reason and not _is_ordered(attempt):
        raise OldDealError(
            f"The deal {reason}.",
            system=attempt.company.deals.system,
            advice="If it should be ordered and billed anyway, replay with --accept; if not, discard it.",
        )


def _is_ordered(attempt: Attempt) -> bool:
    """Whether it was let in: documents of it were made, or may have been, also where they were taken back."""
    with attempt.services.store.read() as uow:
        return bool(documents.newest(uow.ledger.of_run(attempt.run.id)))


# -- whether its bill can be mailed


def _needs_hand(attempt: Attempt, deal: Deal) -> bool:
    """Whether there is no address, and a person has said that he mails the invoice: this one, or the one before it."""
    is_accepted = is_answered(attempt.run.answers, attempt.run.step, NoAddressError)
    agreed = DealRead.peek(attempt.run.progress.get(AGREED))
    was_so = agreed is not None and agreed.is_mailed_by_hand
    return (is_accepted or was_so) and not is_address(deal.customer.email)


def _mailed_by_hand(deal: Deal) -> Deal:
    without = replace(deal.customer, email="")  # what is no address, no other system takes either
    return replace(deal, customer=without, is_mailed_by_hand=True)


def _require_address(attempt: Attempt, deal: Deal) -> None:
    """Raises: NoAddressError, unless there is one, or the books have one, or a person mails the invoice."""
    if is_address(deal.customer.email) or deal.is_mailed_by_hand:
        return
    if deal.customer.email or not _books_have_address(attempt, deal):
        raise _no_address(attempt, deal)


def _books_have_address(attempt: Attempt, deal: Deal) -> bool:
    """Whether the customer is known in the books, with an address there. A call, for a deal that tells none."""
    with attempt.services.store.read() as uow:
        link = uow.links.get(
            attempt.company.invoices.connection,
            attempt.company.deals.connection,
            deal.customer.key,
            deal.amount.currency,
        )
    if link is None:
        return False
    known = attempt.company.invoices.api.read_customers([link.key], attempt.keep_alive).get(link.key)
    return known is not None and any(map(is_address, known.emails))


def _no_address(attempt: Attempt, deal: Deal) -> NoAddressError:
    problem = "is not an e-mail address to which mail can be sent" if deal.customer.email else "is missing"
    return NoAddressError(
        field_errors={"customer.email": problem},
        system=attempt.company.deals.system,
        advice="Give the deal a contact role whose contact has an e-mail address (or the account one, where a field "
        "for it is configured), and close it again; or replay with --accept: then order and invoice are made, and a "
        "person mails the invoice.",
    )
