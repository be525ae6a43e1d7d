"""Decides which customer of another system matches a customer of the CRM: by strong keys, otherwise a person decides.

    our reference → the same tax number → the same e-mail address together with the same name

The address alone names a candidate: a reseller, a holding or an accountant may receive the mails of many companies. An
address at a freemail domain is no key at all. A tax number that differs is stronger than address and name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from crmsync.domain.company_names import same_company_name
from crmsync.domain.customers import Candidate, Customer
from crmsync.domain.mail_domains import is_freemail
from crmsync.domain.references import customer_reference, is_of_customer, other_customer
from crmsync.domain.tax_numbers import Verdict, compare_all

Accounts = Mapping[str, Sequence[str]]
"""Which accounts of the CRM are linked to each customer there already."""


class Evidence(StrEnum):
    """What two records have in common, the strongest thing first."""

    REFERENCE = "reference"
    TAX_NUMBER = "tax number"
    EMAIL_AND_NAME = "e-mail and name"
    EMAIL = "e-mail"
    NONE = "nothing"
    CONTRADICTED = "another tax number"


@dataclass(frozen=True, slots=True)
class Doubt:
    """A candidate, and in words why it is not simply taken."""

    candidate: Candidate
    why: str

    @property
    def text(self) -> str:
        return f"{self.candidate.label} ({self.why})"


@dataclass(frozen=True, slots=True)
class Choice:
    """The customer that certainly is the right one, or those that may be; neither: there is none yet."""

    match: Candidate | None = None
    matched_by: str = ""
    doubts: tuple[Doubt, ...] = ()


def search_email(customer: Customer) -> str:
    """The e-mail address to search the customer by; "" for none, or one that anybody may have."""
    email = customer.email.strip()
    return "" if is_freemail(email) else email


def evidence(customer: Customer, candidate: Candidate, *, prefix: str = "") -> Evidence:
    """What the two have in common. *prefix* begins the references of the customers of this CRM."""
    reference = customer_reference(customer.key, prefix=prefix)
    if any(is_of_customer(text, reference) for text in candidate.references):
        return Evidence.REFERENCE
    verdict = compare_all(customer.tax, candidate.tax_numbers)
    if verdict is Verdict.SAME:
        return Evidence.TAX_NUMBER
    if verdict is Verdict.DIFFERENT:
        return Evidence.CONTRADICTED
    wanted = search_email(customer).casefold()
    if not wanted or wanted not in {each.strip().casefold() for each in candidate.emails}:
        return Evidence.NONE
    names = [candidate.name, candidate.other_name]
    has_name = any(same_company_name(customer.name, name) for name in names if name)
    return Evidence.EMAIL_AND_NAME if has_name else Evidence.EMAIL


def choose(
    customer: Customer, candidates: Iterable[Candidate], linked: Accounts, *, currency: str, prefix: str = ""
) -> Choice:
    """The one that fits, or what a person has to choose from. One in another *currency* can't be it, nor a vendor."""
    usable = [each for each in candidates if not (each.is_vendor or is_in_other_currency(each, currency))]
    found = {each.key: (each, evidence(customer, each, prefix=prefix)) for each in usable}
    for wanted in (Evidence.REFERENCE, Evidence.TAX_NUMBER):
        same = [each for each, shown in found.values() if shown is wanted]
        if same:
            return _of_strong(customer, same, wanted, linked)
    by_email = {Evidence.EMAIL_AND_NAME, Evidence.EMAIL}
    return _of_email(customer, [pair for pair in found.values() if pair[1] in by_email], linked, prefix)


def _of_strong(customer: Customer, same: Sequence[Candidate], by: Evidence, linked: Accounts) -> Choice:
    """Two accounts of one company have one customer: that is right, and is said."""
    if len(same) > 1:
        return Choice(doubts=tuple(Doubt(each, f"same {by}") for each in same))
    others = others_of(customer.key, same[0].key, linked) if by is Evidence.TAX_NUMBER else ()
    return Choice(same[0], f"{by}, as {others[0]}" if others else str(by))


def _of_email(customer: Customer, found: Sequence[tuple[Candidate, Evidence]], linked: Accounts, prefix: str) -> Choice:
    named = [each for each, by in found if by is Evidence.EMAIL_AND_NAME]
    free = [each for each in named if not _claims(customer, each, linked, prefix)]
    if len(free) == 1:
        return Choice(free[0], str(Evidence.EMAIL_AND_NAME))
    return Choice(doubts=tuple(Doubt(each, _why(customer, each, by, linked, prefix)) for each, by in found))


def _why(customer: Customer, candidate: Candidate, by: Evidence, linked: Accounts, prefix: str) -> str:
    told = "same e-mail and name" if by is Evidence.EMAIL_AND_NAME else "same e-mail, another name"
    return ", and ".join([told, *_claims(customer, candidate, linked, prefix)])


def others_of(account: str, key: str, linked: Accounts) -> Sequence[str]:
    """The other accounts that *key* is linked to."""
    return [each for each in linked.get(key, ()) if each != account]


def _claims(customer: Customer, candidate: Candidate, linked: Accounts, prefix: str) -> list[str]:
    """In words, which other accounts it is the customer of: by a link, or, where that was lost, by our reference."""
    links = others_of(customer.key, candidate.key, linked)
    keys = dict.fromkeys(other_customer(text, customer.key, prefix=prefix) for text in candidate.references)
    made_for = [key for key in keys if key and key not in {each.upper() for each in links}]
    claims = {"linked to": links, "made for": made_for}
    return [f"{how} {', '.join(accounts)}" for how, accounts in claims.items() if accounts]


def is_in_other_currency(candidate: Candidate, currency: str) -> bool:
    return bool(currency) and candidate.currency not in ("", currency)


def is_sibling(customer: Customer, candidate: Candidate, linked: Accounts, *, currency: str, prefix: str = "") -> bool:
    """Whether *candidate* is this customer in another currency; another account's is not so by address and name."""
    if candidate.is_vendor or not is_in_other_currency(candidate, currency):
        return False
    by = evidence(customer, candidate, prefix=prefix)
    is_free = not _claims(customer, candidate, linked, prefix)
    return by in (Evidence.REFERENCE, Evidence.TAX_NUMBER) or (by is Evidence.EMAIL_AND_NAME and is_free)


def namesakes(
    customer: Customer, candidates: Iterable[Candidate], linked: Accounts, *, currency: str, prefix: str = ""
) -> tuple[Doubt, ...]:
    """Those that hold the customer's name, and why none of them is simply taken."""
    return tuple(Doubt(each, f"same name, {_why_not(customer, each, linked, currency, prefix)}") for each in candidates)


def _why_not(customer: Customer, candidate: Candidate, linked: Accounts, currency: str, prefix: str) -> str:
    if candidate.is_vendor:
        return "but a vendor"
    reasons = {
        "inactive": candidate.is_blocked,
        f"billed in {candidate.currency}": is_in_other_currency(candidate, currency),
        "another tax number": evidence(customer, candidate, prefix=prefix) is Evidence.CONTRADICTED,
    }
    found = [why for why, is_so in reasons.items() if is_so] + _claims(customer, candidate, linked, prefix)
    return ", ".join(found) or "and no other key"
