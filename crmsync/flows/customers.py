"""Finds or creates a deal's customer in another system, once for all deals of that customer.

    linked? → our reference? → same tax number? → same e-mail address and name? → create

What else may be the same is never guessed: where a weaker key or more than one customer fits, a person decides. Where a
customer has one currency, all this is done for each currency that an account buys in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from crmsync.company import Bound, Company
from crmsync.connectors.base import Customers
from crmsync.connectors.kit.rehearsal import is_rehearsed
from crmsync.domain.customers import Candidate, Customer, CustomerMatch, suffixes
from crmsync.domain.dead_letters import LINKS
from crmsync.domain.deals import Deal
from crmsync.domain.learned import CustomerMatched, DealRead
from crmsync.domain.ledger import EntryKey, EntryState
from crmsync.domain.links import CUSTOMER, Link
from crmsync.domain.matching import (
    Accounts,
    Choice,
    Doubt,
    choose,
    is_in_other_currency,
    is_sibling,
    namesakes,
)
from crmsync.domain.references import customer_reference
from crmsync.domain.runs import Run
from crmsync.errors import AmbiguousMatchError, NotNowError, RecordNotFoundError, RejectedError, RetryableError
from crmsync.flows import customer_doubts
from crmsync.store import UnitOfWork
from crmsync.worker import absence, customer_links
from crmsync.worker.attempt import Attempt
from crmsync.worker.customer_links import LinkRefusedError
from crmsync.worker.flow import result

DOUBTS_SHOWN = 5


def match_customer(
    attempt: Attempt, deal: Deal, bound: Bound[Customers], *, is_doubted: bool = False
) -> CustomerMatched:
    """The customer there; all is asked only for one that is not linked yet, or is gone.

    *is_doubted*: check whether one that is linked still exists. Raises: AmbiguousMatchError.
    """
    work = _Matching(attempt, deal, bound.connection, bound.api, is_doubted)
    link = work.answered() or work.still_there()
    if link is None:
        with attempt.lock(f"customer:{bound.connection}:{work.source}:{deal.customer.key}"):
            link = work.linked() or work.recognised() or work.link()
    return _learned(link)


def linked_customer(
    company: Company, uow: UnitOfWork, run: Run, *, role: str, document_step: str
) -> CustomerMatched | None:
    """What is learned of a customer that is linked, which costs no call; None where there is anything to be asked."""
    bound: Bound[Customers] = company.bound(role)
    deal, connector = result(run, "fetch_deal", DealRead), bound.at_hand
    is_answered = bool(run.answers.get(LINKS, {}).get(bound.connection))
    if connector is None or is_answered or customer_doubts.is_doubted(run, document_step=document_step):
        return None
    link = _linked(
        uow,
        bound.connection,
        company.deals.connection,
        deal.customer.key,
        customer_links.own_currency(connector, deal.amount.currency),
    )
    return _learned(link) if link is not None else None


def _linked(uow: UnitOfWork, connection: str, source: str, account: str, currency: str) -> Link | None:
    """The link of an account; where a customer has one currency, one whose currency is not known does not count."""
    link = uow.links.get(connection, source, account, currency)
    return link if link is not None and link.currency == currency else None


def customer_now(attempt: Attempt, deal: Deal, bound: Bound[Customers], *, matched_in: str) -> str:
    """The customer that the step *matched_in* found, or the one that a person has linked since.

    A run may wait for days between the two steps: people who correct a link mean its documents too.

    Raises: AmbiguousMatchError where the link was taken back.
    """
    known = attempt.result(matched_in, CustomerMatched).customer_key
    # What a rehearsal would link is not in the store.
    if is_rehearsed() or matched_in in attempt.fresh:
        return known
    with attempt.services.store.read() as uow:
        source = attempt.company.deals.connection
        link = uow.links.get(bound.connection, source, deal.customer.key, deal.amount.currency)
    if link is None:
        raise AmbiguousMatchError(
            f"The link of the account to {known} in {bound.system} was removed while the run was under way.",
            system=bound.system,
            advice="Replay to search for the customer again, or replay with --link and the number of the right one.",
        )
    if link.key != known:
        attempt.relearned[matched_in] = _learned(link).to_json()
    return link.key


def _learned(link: Link) -> CustomerMatched:
    return CustomerMatched(link.key, link.name, link.city, matched_by=link.origin)


@dataclass(frozen=True)
class _Matching:
    """The customer of one deal in one system."""

    attempt: Attempt
    deal: Deal
    connection: str
    connector: Customers
    is_doubted: bool

    @property
    def source(self) -> str:
        """The CRM's connection."""
        return self.attempt.company.deals.connection

    @property
    def customer(self) -> Customer:
        return self.deal.customer

    @property
    def prefix(self) -> str:
        """Begins the references of the customers of this CRM."""
        return self.attempt.company.options.customer_prefix

    @property
    def currency(self) -> str:
        return customer_links.own_currency(self.connector, self.deal.amount.currency)

    def answered(self) -> Link | None:
        """The customer that a person named in the control tower, whose process can't look it up.

        Raises: AmbiguousMatchError where there is none of that number, or it has another name.
        """
        answer = self.attempt.run.answers.get(LINKS, {}).get(self.connection)
        if not answer:
            return None
        using, currency = self.attempt.services, self.deal.amount.currency
        try:
            found = customer_links.sides(using, self.connection, self.source, answer["number"], self.customer, currency)
        except LinkRefusedError as error:
            if isinstance(error.__cause__, RetryableError | NotNowError):
                raise error.__cause__ from None
            raise AmbiguousMatchError(str(error), system=error.system, advice="Replay with another number.") from error
        if not (found.is_alike or self.customer.is_person or answer.get("is_seen")):
            raise AmbiguousMatchError(
                found.difference,
                system=found.system,
                advice="If it is the right one, name it again and confirm that the names differ; otherwise "
                "name another.",
            )
        with using.store.begin() as uow:
            customer_links.store(uow, [found], origin=customer_links.REPLAY, by=answer["by"])
        return found.link(customer_links.REPLAY, by=answer["by"])

    def linked(self) -> Link | None:
        with self.attempt.services.store.read() as uow:
            return _linked(uow, self.connection, self.source, self.customer.key, self.currency)

    def still_there(self) -> Link | None:
        """One that is linked. Where it is doubted, one that was deleted or merged there loses its link."""
        link = self.linked()
        if link is None or not self.is_doubted:
            return link
        if customer_doubts.seen(self.attempt, self.connector, link.key) is not None:
            return link
        self._take_back(link)
        return None

    def _take_back(self, link: Link) -> None:
        with self.attempt.services.store.begin() as uow:
            self.attempt.hold(uow)
            uow.links.remove(link)
        self.attempt.remark = f"{self.connector.system} has no customer {link.key} any more: found again"

    def recognised(self) -> Link | None:
        """A link of an earlier release does not state the currency: it is looked up once, and kept.

        Raises: RecordNotFoundError for a customer that is gone, unless it is doubted.
        """
        link = self._get()
        if link is None:
            return None
        seen = self.connector.read_customers([link.key], self.attempt.keep_alive).get(link.key)
        if seen is None and self.is_doubted:
            self._take_back(link)
            return None
        if seen is None:
            raise customer_doubts.vanished(RecordNotFoundError, self.connector, link.key)
        seen = self._shown([seen])[0]
        known_link = replace(link, currency=seen.currency or self.currency, name=seen.shown_name, city=seen.shown_city)
        with self.attempt.services.store.begin() as uow:
            uow.links.see(link, known_link)
        return known_link if known_link.currency == self.currency else None

    def link(self) -> Link:
        """Raises: AmbiguousMatchError where a person has to choose."""
        match = self._found() or self._create()
        is_person = self.customer.is_person
        link = Link(
            self.connection,
            self.source,
            self.customer.key,
            match.key,
            origin=match.matched_by,
            currency=self.currency,
            name="" if is_person else match.name,
            city="" if is_person else match.city,
        )
        with self.attempt.services.store.begin() as uow:
            uow.links.put(link)
        return link

    def _get(self) -> Link | None:
        with self.attempt.services.store.read() as uow:
            return uow.links.get(self.connection, self.source, self.customer.key, self.currency)

    def _found(self) -> CustomerMatch | None:
        """Our reference first: where that finds the customer, nothing else is asked."""
        choice = self._chosen(self._of_reference())
        if choice.match is None and not choice.doubts:
            choice = self._chosen(self.connector.find_customers_by_keys(self.customer))
        if choice.match is not None:
            return self._taken(choice.match, choice.matched_by)
        if choice.doubts and not self.attempt.is_accepted():
            raise self._ambiguous(choice.doubts)
        return None

    def _of_reference(self) -> list[Candidate]:
        reference = customer_reference(self.customer.key, prefix=self.prefix)
        return self.connector.find_customers_by_reference(reference, self.customer, currency=self.currency)

    def _chosen(self, candidates: Sequence[Candidate]) -> Choice:
        shown, accounts = self._shown(candidates), self._accounts(candidates)
        return choose(self.customer, shown, accounts, currency=self.currency, prefix=self.prefix)

    def _shown(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Who fits a person may be one, though the other system does not say so: no name is shown or kept."""
        return [replace(each, is_person=each.is_person or self.customer.is_person) for each in candidates]

    def _accounts(self, candidates: Sequence[Candidate]) -> Accounts:
        """Which accounts are linked to them already."""
        if not candidates:
            return {}
        with self.attempt.services.store.read() as uow:
            return uow.links.accounts_of(self.connection, self.source, [each.key for each in candidates])

    def _taken(self, found: Candidate, by: str) -> CustomerMatch:
        if found.is_blocked:
            raise RejectedError(
                f"The customer {found.label} has the same {by}, but is blocked or inactive in {self.connector.system}.",
                system=self.connector.system,
                advice="Unblock it there, or replay with --link and the number of another customer.",
            )
        return self.connector.adopt_customer(found.matched(by), self.customer, currency=self.deal.amount.currency)

    def _ambiguous(self, doubts: Sequence[Doubt]) -> AmbiguousMatchError:
        listed = "; ".join(each.text for each in doubts[:DOUBTS_SHOWN])
        more = f"; and {len(doubts) - DOUBTS_SHOWN} more" if len(doubts) > DOUBTS_SHOWN else ""
        count = f"{len(doubts)} customers" if len(doubts) > 1 else "One customer"
        place = f", {self.customer.address.city}" if self.customer.address.city else ""
        name = "" if self.customer.is_person else f" {self.customer.name}{place}"
        return AmbiguousMatchError(
            f"{count} of {self.connector.system} may be the account{name}: {listed}{more}.",
            system=self.connector.system,
            advice="Replay with --link and the number of the right one, or with --accept to make a new customer.",
        )

    # -- a new one

    def _create(self) -> CustomerMatch:
        """Where the name is taken: by us, after an answer was lost; by this customer in another currency; or not.

        Then the new one has a suffix, the first of those that may be that is not taken as well.
        """
        try:
            return self._create_named("")
        except AmbiguousMatchError:
            holders = self.connector.find_customers_by_name(self.customer)
            if not holders:
                raise
        choice = self._chosen(holders)
        if choice.match is not None:
            return self._taken(choice.match, choice.matched_by)
        holders, accounts = self._shown(holders), self._accounts(holders)
        of_us = {"currency": self.currency, "prefix": self.prefix}
        has_sibling = any(is_sibling(self.customer, each, accounts, **of_us) for each in holders)
        if not (has_sibling or self.attempt.is_accepted()):
            raise self._ambiguous(namesakes(self.customer, holders, accounts, **of_us))
        is_free = has_sibling or all(is_in_other_currency(each, self.currency) for each in holders)
        of_currency, *others = suffixes(self.customer, self.currency)
        return self._create_first([of_currency, *others] if is_free else others)

    def _create_first(self, suffixes: Sequence[str]) -> CustomerMatch:
        """By the first name that is free. Raises: AmbiguousMatchError where none is."""
        suffix, *rest = suffixes
        try:
            return self._create_named(suffix)
        except AmbiguousMatchError:
            if not rest:
                raise
        return self._create_first(rest)

    def _create_named(self, suffix: str) -> CustomerMatch:
        reference = customer_reference(self.customer.key, self.currency, prefix=self.prefix)

        def find() -> list[Mapping[str, Any]]:
            match = self._found()
            return [match.to_json()] if match else []

        def create() -> Mapping[str, Any]:
            made = self.connector.create_customer(
                self.customer,
                reference=reference,
                currency=self.deal.amount.currency,
                suffix=suffix,
                payment_terms_days=self.attempt.company.options.payment_terms_days,
            )
            return made.to_json()

        key = self._entry_key(EntryKey(self.connection, CUSTOMER, reference))
        made = self.attempt.create_once(key, find=find, create=create)
        return CustomerMatch.from_json(made)

    def _entry_key(self, key: EntryKey) -> EntryKey:
        """One that we made, and that is gone or in another currency now, is made anew: as the next generation.

        Raises: OutcomeSettlingError where it may not be listed yet: another run has just made it.
        """
        with self.attempt.services.store.read() as uow:
            entry = uow.ledger.get(key)
        if entry is None or entry.state is not EntryState.CONFIRMED:
            return key
        made = entry.document_key
        using, keep_alive = self.attempt.services, self.attempt.keep_alive
        found = absence.search(using, entry, lambda: self.connector.read_customers([made], keep_alive))
        if made in found and not is_in_other_currency(found[made], self.currency):
            return key
        return self._entry_key(replace(key, generation=key.generation + 1))
