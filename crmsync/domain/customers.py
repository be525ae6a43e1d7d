"""A customer as the CRM knows it, and as it was found in another system."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar

from crmsync.domain.kept import Kept
from crmsync.domain.meanings import UNCOMPARED, Concern, Meaning, means
from crmsync.domain.tax_numbers import TaxNumber

_OF_COMPANY = means(Concern.CUSTOMER)
EMAIL_MAX = 254  # RFC 5321
_EMAIL = re.compile(r"[!-?A-~]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")


def is_address(email: str) -> bool:
    """Whether *email* has the form of one address to which a mail can be sent.

    >>> [is_address(text) for text in ("ap@acme.test", "", "ap@acme", "ap@acme.test; cfo@acme.test", "ü@acme.test")]
    [True, False, False, False, False]
    """
    return len(email) <= EMAIL_MAX and _EMAIL.fullmatch(email) is not None


@dataclass(frozen=True, slots=True)
class Address(Kept):
    street: str = ""
    city: str = field(default="", metadata=_OF_COMPANY)
    postal_code: str = field(default="", metadata=_OF_COMPANY)
    region: str = field(default="", metadata=_OF_COMPANY)
    country: str = field(default="", metadata=_OF_COMPANY)  # as the CRM has it: a name or an ISO 3166 code

    unsaid: ClassVar[Meaning] = Meaning(Concern.CUSTOMER, is_personal=True)


@dataclass(frozen=True, slots=True)
class Customer(Kept):
    """A customer of the CRM; *key* is its id there."""

    key: str = field(metadata=UNCOMPARED)  # another one is another customer
    name: str = field(default="", metadata=means(Concern.CUSTOMER, "company"))
    email: str = field(default="", metadata=means(Concern.CUSTOMER, "e-mail", is_personal=True))
    first_name: str = ""
    last_name: str = ""
    tax_number: str = ""
    address: Address = field(default=Address(), metadata=UNCOMPARED)  # but field by field

    unsaid: ClassVar[Meaning] = Meaning(Concern.CUSTOMER, is_personal=True)

    @property
    def is_person(self) -> bool:
        """Whether the account is named after the person who gets its mails: then its name is nobody else's business."""
        person = f"{self.first_name} {self.last_name}".split()
        return bool(person) and [each.casefold() for each in person] == self.name.casefold().split()

    @property
    def tax(self) -> TaxNumber:
        return TaxNumber(self.tax_number, self.address.country)


@dataclass(frozen=True, slots=True)
class CustomerMatch(Kept):
    """A customer in the ERP or in the books. *key* is what documents refer to; *matched_by* says why it fits."""

    key: str
    name: str
    matched_by: str
    city: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A customer of the ERP or of the books as a search or a look-up found it.

    *currency* is the only one that it can be billed in, "" where it has no such limit or that is not known.
    *references* are the texts that stand where we write ours.
    """

    key: str
    name: str
    city: str = ""
    other_name: str = ""
    emails: tuple[str, ...] = ()
    tax_numbers: tuple[TaxNumber, ...] = ()
    currency: str = ""
    is_person: bool = False
    is_blocked: bool = False
    is_vendor: bool = False  # who holds a name there, and can't be billed
    references: tuple[str, ...] = ()

    @property
    def shown_name(self) -> str:
        """What may be shown and kept: a person's name is not."""
        return "" if self.is_person else self.name

    @property
    def label(self) -> str:
        """
        >>> Candidate("1000123", "Muster GmbH", "Ulm").label, Candidate("7", "Ida Lee", is_person=True).label
        ('1000123 Muster GmbH, Ulm', '7')
        """
        words = f"{self.key} {self.shown_name}".strip()
        return f"{words}, {self.shown_city}" if self.shown_city else words

    @property
    def shown_city(self) -> str:
        return "" if self.is_person else self.city

    def matched(self, by: str) -> CustomerMatch:
        return CustomerMatch(self.key, self.shown_name, by, self.shown_city)


def suffixes(customer: Customer, currency: str) -> tuple[str, ...]:
    """What distinguishes a second customer of one name: its currency, its city, or what nobody else can have."""
    return currency, customer.address.city.strip() or customer.key, f"{customer.key} {currency}"
