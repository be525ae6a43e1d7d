"""What a seller reads at a deal: one word for its state, and one sentence that explains it.

No sentence holds a code, a name of the program, a vendor's own words or a person. Whoever adds a class of error that
can stop a run adds its sentence here; None says that sellers are shown nothing of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from textwrap import shorten

from crmsync import errors
from crmsync.domain.dead_letters import DeadLetter, LetterStatus
from crmsync.domain.runs import Run, RunStatus
from crmsync.errors import CrmsyncError

REASON_MAX = 255  # a text field of a CRM
DOES_NOT_ANSWER, IS_CLOSED = "does not answer", "can't be used now"  # what ails a system
RETRYING_AFTER = timedelta(minutes=1)  # most replays are over by then, and then nobody has to see them


class Status(StrEnum):
    """How a deal stands. An invoice that was credited or written off says that in the same field: see payments."""

    SYNCED = "Synced"
    WAITING = "Waiting"
    RETRYING = "Retrying"
    NEEDS_ATTENTION = "Needs attention"
    NOT_SYNCED = "Not synced"


@dataclass(frozen=True, slots=True)
class Telling:
    """What a deal says, or should say. *reason* is "" where all is well."""

    status: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run stands: *system* as people call it, whether that is the CRM itself, and what ails it, if anything."""

    system: str = ""
    is_crm: bool = False
    trouble: str = ""

    @property
    def name(self) -> str:
        return self.system or "another system"


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a run waits for a person."""

    place: Place
    field_errors: Mapping[str, str]


Sentence = str | Callable[[Stop], str]

_ADMINISTRATOR = "Your administrator has been notified. Nothing to do."
_FINANCE = "Somebody in finance has to decide"
_CORRECT = "Correct the deal and close it again."
_UNNAMED = f"Something in the deal is missing or wrong. {_CORRECT}"


def _invalid(stop: Stop) -> str:
    found = [sentence for field, problem in stop.field_errors.items() if (sentence := problem_of(field, problem))]
    if not found:
        return _UNNAMED
    return f"{cut(' '.join(found), REASON_MAX - len(_CORRECT) - 1)} {_CORRECT}"


def _rejected(stop: Stop) -> str:
    if stop.place.is_crm:
        return f"{stop.place.name} does not let this deal be changed. {_ADMINISTRATOR}"
    return f"{stop.place.name} does not accept the deal as it is. Somebody in finance has to check it."


def _locked(stop: Stop) -> str:
    what = "the deal" if stop.place.is_crm else "a record that it needs"
    return f"Waiting until {what} is no longer locked in {stop.place.name}. Nothing to do."


SENTENCES: Mapping[type[CrmsyncError], Sentence | None] = {
    errors.ConfigurationError: f"The connection of the systems is not set up completely. {_ADMINISTRATOR}",
    # what passes by itself
    errors.RetryableError: "Waiting for {system}. Nothing to do.",
    errors.VendorUnavailableError: "Waiting for {system}, which does not answer. Nothing to do.",
    errors.CertificateError: "Waiting for {system}, to which no secure connection is possible now. Nothing to do.",
    errors.RateLimitedError: "Waiting for {system}, which accepts no more calls for now. Nothing to do.",
    errors.ConcurrentUpdateError: _locked,
    errors.AccountRefusedError: f"Waiting for {{system}}, which refuses our sign-in. {_ADMINISTRATOR}",
    # what an administrator mends
    errors.PermanentError: f"{{system}} did not take the deal. {_ADMINISTRATOR}",
    errors.AuthenticationError: f"A permission is missing in {{system}}. {_ADMINISTRATOR}",
    errors.UnexpectedAnswerError: f"{{system}} gave an answer that was not understood. {_ADMINISTRATOR}",
    errors.BugError: f"The deal could not be processed. {_ADMINISTRATOR}",
    # what somebody corrects
    errors.BadDataError: _UNNAMED,
    errors.InvalidDealError: _invalid,
    errors.NoAddressError: "There is not an e-mail address to which the invoice can be mailed. Give the deal a contact "
    "role with one and close it again.",
    errors.RejectedError: _rejected,
    errors.RecordNotFoundError: "{system} no longer has a record that the deal needs. "
    "Somebody in finance has to check it.",
    errors.MappingError: "{system} does not know a value in the deal or its account, such as a currency or "
    "a country. Somebody in finance has to check it.",
    # what somebody decides
    errors.ReviewNeededError: f"{_FINANCE} how this deal goes on.",
    errors.AmbiguousMatchError: f"{_FINANCE}: which customer in {{system}} is this account?",
    errors.AmountMismatchError: f"{_FINANCE}: the amounts in {{system}} and in the deal differ.",
    errors.DealChangedError: "The deal was changed after it had been ordered. "
    f"{_FINANCE} what happens to its order and invoice.",
    errors.DocumentGoneError: f"The order or invoice was cancelled in {{system}}. {_FINANCE} whether it is made again.",
    errors.AlreadyOrderedError: "The deal carries an order or invoice number that somebody has typed in. "
    "Clear the number and close the deal again, or ask finance.",
    errors.OrderHeldError: "The order was made in {system}, but it can't be delivered or billed yet. "
    "Somebody in finance has to release it.",
    # Thousands at once, of which none may be meant: they are told as one, and a word in each would change them all.
    **dict.fromkeys((errors.HeldDealError, errors.OldDealError, errors.UnusualBurstError)),
    errors.NoStockError: None,  # stops no deal
    errors.OutcomeUnknownError: "It is not certain whether {system} has taken the order or invoice. "
    "Somebody in finance has to check there.",
}

_DEAL_PROBLEMS = {
    "is_won": "The deal is not closed as won.",
    "customer": "The deal has no account.",
    "amount.currency": "The deal has no currency.",
    "lines": "The deal has no products.",
}
_PRODUCT_PROBLEMS = {
    "product_code": "Product {} has no code.",
    "quantity": "The quantity of product {} must be more than zero.",
    "total": "The total of product {} is negative.",
}
_PRODUCT = re.compile(r"lines\[(\d{1,5})\]\.(\w+)")
_SUMS = re.compile(r"is (?P<amount>[\d.,-]+ [A-Z]{3}), but the products add up to (?P<products>[\d.,-]+ [A-Z]{3})")


def problem_of(field: str, problem: str) -> str:
    """One field at fault of a deal, for sellers; "" where there is no sentence for it.

    >>> problem_of("amount", "is 10,000.00 USD, but the products add up to 12,500.00 USD")
    'The products add up to 12,500.00 USD, but the deal says 10,000.00 USD.'
    >>> problem_of("lines[2].product_code", "the product has no code")
    'Product 2 has no code.'
    """
    if field == "amount":
        sums = _SUMS.fullmatch(problem)
        if sums:
            return f"The products add up to {sums['products']}, but the deal says {sums['amount']}."
        return "The amount of the deal must be more than zero." if problem.startswith("must be more than") else ""
    product = _PRODUCT.fullmatch(field)
    if product:
        return _PRODUCT_PROBLEMS.get(product[2], "").format(product[1])
    return _DEAL_PROBLEMS.get(field, "")


def cut(text: str, longest: int = REASON_MAX) -> str:
    """*text*, or its beginning up to a word.

    >>> cut("Correct the deal and close it again.", 20)
    'Correct the deal…'
    """
    return shorten(text, longest, placeholder="…")


def sentence(error: str, stop: Stop) -> str | None:
    """What a seller reads of a run that died of the class named *error*; None: sellers are shown nothing."""
    found = SENTENCES[_known(error)]
    if found is None:
        return None
    text = found(stop) if callable(found) else found.format(system=stop.place.name)
    return cut(f"{text[:1].upper()}{text[1:]}")


def untold() -> list[str]:
    """The names of the error classes of which sellers are shown nothing."""
    return sorted(each.__name__ for each, found in SENTENCES.items() if found is None)


def passing() -> list[str]:
    """The names of the classes that pass by themselves: their runs wait, and nobody has to do anything."""
    return sorted(each.__name__ for each in SENTENCES if issubclass(each, errors.RetryableError) or each.is_outage)


def _known(name: str) -> type[CrmsyncError]:
    """The class of that name, or the nearest above it that has a sentence; one of another release is like a bug."""
    found = getattr(errors, name, None)
    above: Iterator[type] = iter(found.__mro__ if isinstance(found, type) else ())
    return next((each for each in above if each in SENTENCES), errors.BugError)


def telling_of(
    run: Run, letter: DeadLetter | None, place: Place, *, settled: str, now: datetime, is_held: bool
) -> Telling | None:
    """What the deal of *run* should say now; None: nothing new.

    *settled* is what a deal says that is done; *is_held*: the run has waited by itself for so long that people should
    know. *place* is where the run stopped or waits.
    """
    if run.status is RunStatus.DONE:
        return Telling(settled)
    if run.status is RunStatus.DISCARDED:
        return Telling(Status.NOT_SYNCED, "It was decided that no order and no invoice are made from this deal.")
    if run.status not in (RunStatus.STOPPED, RunStatus.ACTIVE):
        return None
    if letter is not None and letter.is_unsettled and letter.is_passing:
        return _told(Status.WAITING, letter, place) if is_held and not place.is_crm else None
    if run.status is RunStatus.STOPPED:
        return _stopped(letter, place) if letter is not None else None
    if is_held:
        return _waiting(place)
    is_replayed = letter is not None and letter.status is LetterStatus.REPLAYING
    if is_replayed and letter is not None and now - letter.updated_at >= RETRYING_AFTER:
        return Telling(Status.RETRYING, "It is being tried again. Nothing to do.")
    return None


def _stopped(letter: DeadLetter, place: Place) -> Telling | None:
    if place.is_crm and letter.error == errors.RecordNotFoundError.__name__:
        return None  # there is no deal to write to
    return _told(Status.NEEDS_ATTENTION, letter, place)


def _told(status: Status, letter: DeadLetter, place: Place) -> Telling | None:
    reason = sentence(letter.error, Stop(place, letter.field_errors))
    return Telling(status, reason) if reason is not None else None


def _waiting(place: Place) -> Telling | None:
    if place.is_crm:
        return None
    why = f", which {place.trouble}" if place.trouble else ""
    return Telling(Status.WAITING, cut(f"Waiting for {place.name}{why}. Nothing to do."))
