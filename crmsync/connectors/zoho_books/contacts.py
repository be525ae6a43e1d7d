"""Finds customers among the contacts of Zoho Books, and builds new ones.

Lists show neither notes nor addresses nor tax numbers, so each candidate is read: it is asked only for a customer that
is not linked yet. No filter for tax numbers or custom fields is documented.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from crmsync.connectors.base import KeepAlive
from crmsync.connectors.zoho_books import schemas
from crmsync.connectors.zoho_books.api import BooksApi
from crmsync.connectors.zoho_books.schemas import ContactRow
from crmsync.domain.company_names import same_company_name
from crmsync.domain.customers import Candidate, Customer, suffixes
from crmsync.domain.references import is_of_customer
from crmsync.errors import RecordNotFoundError

CANDIDATES_MAX = 10
SHARED_MAX = 200  # customers of one e-mail address that are looked at: a reseller's, a holding's
LISTS_MAX = 50  # of 200 contacts each


class Contacts:
    """The customers among the contacts of one organization."""

    def __init__(self, api: BooksApi, *, own_field: str) -> None:
        self._api = api
        self._own_field = own_field

    def of_reference(self, reference: str, customer: Customer, *, currency: str) -> list[Candidate]:
        """Contacts of the customer's name whose notes or custom field carry *reference*.

        Names are unique, so there is one, if any; where the plain name is taken, ours may have any of the suffixes.
        """
        found: list[Candidate] = []
        for suffix in ("", *suffixes(customer, currency)):
            named = self._named(_name(customer, suffix))
            ours = [each for each in named if any(is_of_customer(text, reference) for text in each.references)]
            found = [each for each in ours if each.currency in ("", currency)]
            if found or not (named or suffix):
                break
        return found

    def of_name(self, customer: Customer) -> list[Candidate]:
        return self._named(_name(customer))

    def of_email(self, email: str, name: str) -> list[Candidate]:
        """Active customers whose primary contact person has this address; of many, those of this *name* come first."""
        wanted = email.lower()
        if not wanted or len(wanted) > schemas.EMAIL_MAX:
            return []
        same = (row for row in self._rows(email=wanted) if row.email.strip().lower() == wanted)
        usable = list(islice((row for row in same if row.is_customer and row.is_active), SHARED_MAX))
        usable.sort(key=lambda row: not any(same_company_name(name, other) for other in (row.name, row.company)))
        return [self._read(row.key) for row in usable[:CANDIDATES_MAX]]

    def of_keys(self, keys: Sequence[str], keep_alive: KeepAlive) -> dict[str, Candidate]:
        """One call for each; many are looked up in lists first, without their city, for a minute has 100 calls."""
        found = self._listed(keys, keep_alive) if len(keys) > CANDIDATES_MAX else {}
        for key in keys:
            if key in found:
                continue
            keep_alive()
            try:
                found[key] = self._read(key)
            except RecordNotFoundError:
                continue
        return found

    def _listed(self, keys: Sequence[str], keep_alive: KeepAlive) -> dict[str, Candidate]:
        """Those of *keys* that stand on the first lists, until all are found."""
        wanted, found = set(keys), dict[str, Candidate]()
        keep_alive()
        for page in islice(self._api.pages("/contacts"), LISTS_MAX):
            rows = (schemas.load(schemas.CONTACT, row, "contacts", operation="list contacts") for row in page.rows)
            found |= {row.key: self._candidate(row) for row in rows if row.key in wanted}
            if len(found) == len(wanted):
                break
            keep_alive()
        return found

    def _named(self, name: str) -> list[Candidate]:
        """Customers and vendors alike: a name is taken by either."""
        rows = (row for row in self._rows(contact_name=name) if _folded(row.name) == _folded(name))
        return [self._read(row.key) for row in islice(rows, CANDIDATES_MAX)]

    def _rows(self, **filters: str) -> Iterator[ContactRow]:
        for row in self._api.rows("/contacts", **filters):
            yield schemas.load(schemas.CONTACT, row, "contacts", operation="list contacts")

    def _read(self, key: str) -> Candidate:
        answer = self._api.call("read contact", "GET", f"/contacts/{key}")
        contact: ContactRow = schemas.read(schemas.CONTACT, answer, "contact", operation="read contact")
        return self._candidate(contact)

    def _candidate(self, contact: ContactRow) -> Candidate:
        return Candidate(
            key=contact.key,
            name=contact.name,
            city=contact.city,
            other_name=contact.company,
            emails=(contact.email,) if contact.email else (),
            tax_numbers=contact.tax_numbers,
            currency=contact.currency,
            is_person=contact.is_person,
            is_blocked=not contact.is_active,
            is_vendor=not contact.is_customer,
            references=tuple(self._references(contact)),
        )

    def _references(self, contact: ContactRow) -> list[str]:
        own = contact.custom_fields.get(self._own_field, "") if self._own_field else ""
        return [own, *contact.notes.split()]


def contact_body(customer: Customer, *, reference: str, suffix: str, payment_terms_days: int) -> dict[str, Any]:
    """A new contact, but for its currency."""
    return {
        **schemas.CONTACT_BODY.dump(customer),
        "contact_name": _name(customer, suffix),
        **_person_of(customer),
        "payment_terms": payment_terms_days,
        "notes": f"crmsync reference {reference}",
    }


def _name(customer: Customer, suffix: str = "") -> str:
    """The name of the contact, with room for what tells it from others of its name."""
    if not suffix:
        return schemas.cut(customer.name, schemas.CONTACT_NAME_MAX)
    end = f" ({schemas.cut(suffix, schemas.SUFFIX_MAX)})"
    return schemas.cut(customer.name, schemas.CONTACT_NAME_MAX - len(end)) + end


def _person_of(customer: Customer) -> dict[str, Any]:
    """The contact person who gets the mails. A person needs a first name: else the last or the company's."""
    if not customer.email:
        return {}
    names = [customer.first_name, customer.last_name] if customer.first_name else [customer.last_name or customer.name]
    cut = [schemas.cut(name, schemas.PERSON_NAME_MAX) for name in names if name]
    person = {**dict(zip(("first_name", "last_name"), cut, strict=False)), "email": customer.email.strip()}
    return {"contact_persons": [{**person, "is_primary_contact": True}]}


def _folded(name: str) -> str:
    """As Zoho compares names: without case; and without doubled spaces, which it drops."""
    return " ".join(name.split()).casefold()
