"""Checks a deal again after documents were made: what is still valid, and what a person must decide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crmsync.domain.changes import GRAVE, Change, changes, changes_since
from crmsync.domain.deals import Deal
from crmsync.domain.documents import Document
from crmsync.domain.learned import DealInShort, DealRead
from crmsync.domain.ledger import Entry, EntryState, matching_number, number_of
from crmsync.domain.meanings import Concern
from crmsync.domain.money import Money
from crmsync.errors import AmountMismatchError, CrmsyncError, DealChangedError, DocumentGoneError

DOCUMENT_STEPS: Mapping[str, str] = {"order": "create_order", "invoice": "create_invoice"}  # by kind
_CHANGES_TOLD = 5
_LEAVE = "Give it up: discard; a deal that was done stays done."
_VOIDED = {"order": "was rejected", "invoice": "is void"}


@dataclass(frozen=True, slots=True)
class Seen:
    """One of our documents: as the run went on with it, and as its system shows it now.

    *agreed* is None while its step has not ended, *found* where it does not exist any more.
    """

    entry: Entry
    system: str
    found: Document | None
    agreed: Document | None = None

    @property
    def is_gone(self) -> bool:
        return self.found is None or self.found.is_void

    @property
    def is_credited(self) -> bool:
        """Whether it stands, and nothing of it is owed: how a bill that was mailed is taken back."""
        return self.found is not None and self.found.is_credited and not self.is_gone

    @property
    def present(self) -> Document | None:
        """As it stands now, with what only the answer to its create contained."""
        return self.agreed.as_read(self.found) if self.agreed and self.found else self.found

    @property
    def name(self) -> str:
        return f"{self.entry.key.kind} {number_of(self.entry.document or {})}"

    @property
    def says(self) -> str:
        """'order 4711 is 10,000.00 USD', 'invoice INV-7 is void'."""
        if self.found is None:
            return f"{self.name} is gone"
        if self.found.is_void:
            return f"{self.name} {_VOIDED[self.entry.key.kind]}"
        mailed = " and was mailed" if self.found.is_mailed else ""
        credited = " and is fully credited" if self.is_credited else ""
        return f"{self.name} is {_told(self.found) or 'of unknown amount'}{mailed}{credited}"


@dataclass(frozen=True, slots=True)
class Agreed:
    """The reading of the deal that its documents stand for. *deal* is None where only this much of it was kept."""

    amount: Money | None = None
    account: str = ""
    deal: Deal | None = None
    is_won: bool = True

    @classmethod
    def of(cls, reading: Mapping[str, Any] | None) -> Agreed | None:
        """*reading* as fetch_deal learned it, or what retention left of that; None where nothing is known.

        Raises: NewerReleaseError.
        """
        if not reading:
            return None
        try:
            deal = DealRead.from_json(reading)
        except TypeError:
            short = DealInShort.from_json(reading)
            return cls(short.amount, short.customer.key, is_won=short.is_won)
        return cls(deal.amount, deal.customer.key, deal, deal.is_won)

    def differences(self, deal: Deal) -> list[Change]:
        """All that differs, as far as is known; the numbers that we write ourselves do not count."""
        if self.deal is not None:
            return [change for change in changes(self.deal, deal) if change.field not in _OURS]
        found = []
        if self.amount is not None and not self.amount.equals(deal.amount):
            found.append(Change("amount", str(self.amount), str(deal.amount), Concern.MONEY))
        if self.account and self.account != deal.customer.key:
            found.append(Change("account", self.account, deal.customer.key, Concern.ACCOUNT))
        if deal.is_won and not self.is_won:
            found.append(Change("won", "no", "yes", Concern.OTHER))
        return found


_OURS = frozenset({"order number", "invoice number"})


@dataclass(frozen=True, slots=True)
class Comparison:
    """A deal beside its documents. *problem*: why it can't be ordered as it is now, "" if it can.

    *seen* are its newest documents, *pending* the entries of those whose answer was lost, and which are there;
    *accepted* are the steps whose figures a person has accepted, of the deal as it was; who *goes_on* has accepted
    whatever stands beside the deal as it is.
    """

    deal: Deal
    agreed: Agreed | None
    seen: Sequence[Seen] = ()
    pending: Sequence[Entry] = ()
    problem: str = ""
    accepted: frozenset[str] = frozenset()
    goes_on: bool = False

    @property
    def changes(self) -> list[Change]:
        """What changed of money or account since the documents were made."""
        if self.agreed is not None:
            found = self.agreed.differences(self.deal)
        else:
            made = {seen.entry.key.kind: seen.agreed for seen in self.seen if seen.agreed}
            found = changes_since(made, "", self.deal)
        return [change for change in found if change.concern in GRAVE]

    @property
    def gone(self) -> list[Seen]:
        """Documents that do not stand, and of which nobody has decided; for a deal that was changed, or won again, all.

        People who left it so have decided for the deal as it was then.
        """
        is_won_again = self.agreed is not None and self.deal.is_won and not self.agreed.is_won
        is_open = is_won_again or bool(self.changes)
        return [seen for seen in self.seen if seen.is_gone and (is_open or seen.entry.state is EntryState.CONFIRMED)]

    @property
    def standing(self) -> list[Seen]:
        return [seen for seen in self.seen if not seen.is_gone]

    @property
    def wrong(self) -> list[Seen]:
        """Documents that stand and are not what the deal asks for."""
        return [seen for seen in self.standing if not self._is_right(seen)]

    @property
    def in_the_way(self) -> list[Seen]:
        """The wrong documents, each of which has to be taken back before it is made anew."""
        return [seen for seen in self.wrong if not seen.is_credited]

    @property
    def taken_back(self) -> list[Seen]:
        """What is made anew when a person says so. A credited one that is right may have been paid by its credit."""
        return [seen for seen in self.seen if seen.is_gone or (seen.is_credited and not self._is_right(seen))]

    def review(self, system: str, *, may_make: bool) -> CrmsyncError | None:
        """What a person must decide; None if the run may go on. *may_make*: a person wants made what is gone."""
        wrong, pending = self.in_the_way if may_make else self.wrong, self.pending if self.changes else ()
        if self.problem or wrong or pending:
            kind = DealChangedError if self.problem or self.changes else AmountMismatchError
            return kind(self._figures(), system=system, advice=self._advice([*wrong] or self.standing, pending))
        return None if may_make else self.gone_review()

    def gone_review(self) -> CrmsyncError | None:
        """Whether a person must decide about documents that do not stand any more."""
        if not self.gone:
            return None
        return DocumentGoneError(self._figures(), system=self.gone[0].system, advice=_gone_advice(self.gone))

    def _is_right(self, seen: Seen) -> bool:
        if seen.entry.state is EntryState.GONE and seen.is_credited:
            return True  # another takes its place
        told, grave = _told(seen.found), self.changes
        if self.goes_on or (DOCUMENT_STEPS[seen.entry.key.kind] in self.accepted and not grave):
            return True
        if told is None or any(change.concern is Concern.ACCOUNT for change in grave):
            return not grave
        if told.equals(self.deal.amount):
            was = self.agreed.amount if self.agreed else None
            # Of another amount before, it was corrected, or the deal was put right. Of the same one, it has old lines.
            return not grave or was is None or not told.equals(was)
        if seen.agreed is None:  # the step that makes it compares it itself; one that was credited is taken back
            return not (grave or seen.is_credited)
        return not grave and told == _told(seen.agreed)

    def _advice(self, standing: Sequence[Seen], pending: Sequence[Entry]) -> str:
        there = [f"{seen.name} in {seen.system}" for seen in standing if not seen.is_credited]
        there += [f"what is under {entry.key.reference} in {entry.key.connection}" for entry in pending]
        first = ["correct the deal in the CRM"] if self.problem else []
        credit = " (an invoice that was mailed may be fully credited instead)" if _is_any_bill(standing) else ""
        first += [f"void, reject or delete {' and '.join(there)}{credit}"] if there else []
        go_on = "Go on as it is: replay with --accept. " if standing or pending else ""
        return (
            f"{go_on}Make it again: {''.join(f'{each}, ' for each in first)}{'then ' if first else ''}replay. {_LEAVE}"
        )

    def _figures(self) -> str:
        """The deal is 12,500.00 USD; order 4711 is 10,000.00 USD, invoice INV-7 is 10,000.00 USD and was mailed."""
        first = f"{self.problem} The deal" if self.problem else "The deal"
        parts = [seen.says for seen in self.seen]
        parts += [f"an {entry.key.kind} whose answer was lost is under {entry.key.reference}" for entry in self.pending]
        return f"{first} is {self.deal.amount}; {', '.join(parts)}.{_told_changes(self.changes)}"


def foreign_numbers(deal: Deal, entries: Iterable[Entry]) -> dict[str, str]:
    """By kind, what the deal carries of documents that are not in *entries*: somebody ordered or billed it by hand."""
    ours = {(entry.key.kind, matching_number(number_of(entry.document or {}))) for entry in entries}
    shown = {"order": deal.order_number, "invoice": deal.invoice_number}
    return {kind: it for kind, it in shown.items() if it and (kind, matching_number(it)) not in ours}


def _told(document: Document | None) -> Money | None:
    return (document.net or document.total) if document else None


def _is_any_bill(standing: Sequence[Seen]) -> bool:
    """Whether one of them can be taken back by a credit note: a draft can't."""
    found = [each.found for each in standing if each.entry.key.kind == "invoice" and not each.is_credited]
    return any(it is not None and it.is_mailed for it in found)


def _told_changes(found: Sequence[Change]) -> str:
    """What the two amounts do not tell."""
    told = [change for change in found if change.field != "amount" and not change.is_personal]
    said = [f"{change.field} was {change.before or 'not there'}, is {change.after or 'gone'}" for change in told]
    more = f", and {len(said) - _CHANGES_TOLD} more" if len(said) > _CHANGES_TOLD else ""
    return f" Changed: {'; '.join(said[:_CHANGES_TOLD])}{more}." if said else ""


def _gone_advice(gone: Sequence[Seen]) -> str:
    names = " and ".join(seen.entry.key.kind for seen in gone)
    return f"Make the {names} again: replay. {_LEAVE}"
