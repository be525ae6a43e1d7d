"""Masks personal data in requests before they are shown at a terminal."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from crmsync.domain.customers import Address, Customer
from crmsync.domain.meanings import meanings

MASK = "***"

# As vendors name them: EmailAddress, to_mail_ids, StreetName, first_name, BPTaxNumber …
_FIELD = re.compile(
    r"mail|phone|mobile|fax|street|house_?number|(first|last|middle|full)_?name|attention|salutation"
    r"|(tax|gst|vat)_?(reg_?)?(no|number)$|^address$",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)*")


def personal_values(customer: Customer) -> frozenset[str]:
    """What is known to be a person's, to be found under whatever name a vendor has for it."""
    values = {*_personal(Customer, customer), *_personal(Address, customer.address)}
    values.add(f"{customer.first_name} {customer.last_name}")
    return frozenset(_folded(value) for value in values if value.strip())


def _personal(kind: type, value: object) -> Iterator[str]:
    return (getattr(value, field) for field, meaning in meanings(kind).items() if meaning.is_personal)


def masked(value: Any, known: Collection[str] = ()) -> Any:
    """*value*, as JSON, with *** for what its field, its form or *known* says is a person's.

    >>> masked({"contact_name": "Acme Ltd", "first_name": "Ida", "notes": "ask ida@acme.test", "rate": 235})
    {'contact_name': 'Acme Ltd', 'first_name': '***', 'notes': 'ask ***', 'rate': 235}
    """
    if isinstance(value, Mapping):
        return {name: _field(str(name), each, known) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [masked(each, known) for each in value]
    return _text(value, known) if isinstance(value, str) else value


def _field(name: str, value: Any, known: Collection[str]) -> Any:
    if not _FIELD.search(name):
        return masked(value, known)
    if isinstance(value, list):
        return [_field(name, each, known) for each in value]
    return masked(value, known) if isinstance(value, Mapping) else _hidden(value)


def _hidden(value: Any) -> Any:
    """What is empty, or only says yes or no, is nobody's."""
    return value if value in ("", None) or isinstance(value, bool) else MASK


def _text(text: str, known: Collection[str]) -> str:
    return MASK if _folded(text) in known else _EMAIL.sub(MASK, text)


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()
