"""The references by which our documents are found again in other systems."""

from __future__ import annotations

from crmsync.domain.keys import unguarded
from crmsync.options import REFERENCE_PREFIX as PREFIX

_KIND = 3  # characters of an id of the CRM that tell what it is of


def document_reference(deal_key: str, generation: int = 1, *, prefix: str = PREFIX) -> str:
    """The reference of a deal's order and invoice; a document made again after a void gets the next generation.

    Ids of two CRMs may be the same: where both lead to one ERP, a *prefix* of its own tells the deals of one of them.

    >>> document_reference("006xx0000012abcAAA"), document_reference("006xx0000012abcAAA", 2)
    ('SF-006xx0000012abcAAA', 'SF-006xx0000012abcAAA-2')
    """
    return f"{prefix}{deal_key}" if generation == 1 else f"{prefix}{deal_key}-{generation}"


def forms_of(reference: str) -> list[str]:
    """A document's reference and its shorter forms, the longest first: each is of this deal and generation alone.

    >>> forms_of("SF-006xx0000012abcAAA-2")
    ['SF-006xx0000012abcAAA-2', '006xx0000012abcAAA-2', '006xx0000012abc-2']
    """
    bare = reference.removeprefix(PREFIX)
    key, dash, generation = bare.partition("-")
    return list(dict.fromkeys((reference, bare, f"{unguarded(key)}{dash}{generation}")))


def fitted(reference: str, most: int) -> str:
    """The longest form of a document's reference that has at most so many characters; "" where there is none.

    >>> [fitted("SF-006xx0000012abcAAA", most) for most in (35, 18, 12)]
    ['SF-006xx0000012abcAAA', '006xx0000012abcAAA', '']
    """
    return next((form for form in forms_of(reference) if len(form) <= most), "")


def customer_reference(customer_key: str, currency: str = "") -> str:
    """The reference of a customer: its key in the CRM, in capitals, because an ERP may store capitals only.

    A key whose case matters has a guard against its loss. Where a customer has one currency, an account has a customer
    for each, and *currency* tells them apart.

    >>> customer_reference("001xx000003dgb2aaa"), customer_reference("001xx000003dgb2aaa", "EUR")
    ('001XX000003DGB2AAA', '001XX000003DGB2AAA-EUR')
    """
    return f"{customer_key.upper()}-{currency}" if currency else customer_key.upper()


def is_of_customer(text: str, customer_key: str) -> bool:
    """Whether *text* is a reference of this customer, in whatever currency.

    >>> is_of_customer("001XX000003DGB2AAA-EUR", "001xx000003dgb2aaa"), is_of_customer("001XX", "001xx000003dgb2aaa")
    (True, False)
    """
    reference = customer_reference(customer_key)
    return text.upper() == reference or text.upper().startswith(f"{reference}-")


def other_customer(text: str, customer_key: str) -> str:
    """The key, in capitals, of another customer of the CRM of which *text* is a reference; "" for any other text.

    >>> other_customer("001XX000003DGB9AAA-EUR", "001xx000003dgb2aaa"), other_customer("crmsync", "001xx000003dgb2aaa")
    ('001XX000003DGB9AAA', '')
    """
    key, kind = text.upper().partition("-")[0], customer_key[:_KIND].upper()
    is_key = len(key) == len(customer_key) and key.startswith(kind) and key.isalnum()
    return key if is_key and not is_of_customer(text, customer_key) else ""
