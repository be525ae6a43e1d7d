"""The references by which our documents are found again in other systems."""

from __future__ import annotations

from base64 import b32encode
from hashlib import sha256

from crmsync.domain.keys import unguarded
from crmsync.options import REFERENCE_PREFIX as PREFIX

_DIGEST_MIN = 11  # characters of a digest: 55 bits
_KIND = 3  # characters of an id of the CRM that tell what it is of


def document_reference(deal_key: str, generation: int = 1, *, prefix: str = PREFIX) -> str:
    """The reference of a deal's order and invoice; a document made again after a void gets the next generation.

    Ids of two CRMs may be the same: where both lead to one ERP, a *prefix* marks the deals of one of them.

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


def customer_reference(customer_key: str, currency: str = "", *, prefix: str = "") -> str:
    """The reference of a customer: its key in the CRM, in capitals, because an ERP may store capitals only.

    A key whose case matters has a guard against its loss. Where a customer has one currency, an account has a customer
    for each, and *currency* distinguishes them. A *prefix* marks the customers of one CRM.

    >>> customer_reference("001xx000003dgb2aaa"), customer_reference("001xx000003dgb2aaa", "EUR", prefix="AC-")
    ('001XX000003DGB2AAA', 'AC-001XX000003DGB2AAA-EUR')
    """
    reference = f"{prefix}{customer_key.upper()}"
    return f"{reference}-{currency}" if currency else reference


def shortened(reference: str, most: int) -> str:
    """A customer's reference in at most so many characters: its prefix, and in place of the key a digest of it.

    "" where there is no prefix, or no room for a digest that no other customer of the company has.

    >>> shortened("AC-001XX000003DGB2AAA", 20), shortened("AC-001XX000003DGB2AAA", 21), shortened("001XX", 4)
    ('AC-KH3LMDBCXD4RJTTYR', 'AC-001XX000003DGB2AAA', '')
    """
    if len(reference) <= most:
        return reference
    prefix, dash, key = reference.partition("-")
    room = most - len(prefix) - 1
    if not (dash and key) or room < _DIGEST_MIN:
        return ""
    return f"{prefix}-{b32encode(sha256(key.encode()).digest()).decode()[:room]}"


def is_of_customer(text: str, reference: str) -> bool:
    """Whether *text* is this *reference* of a customer, as long or shortened, in whatever currency.

    >>> is_of_customer("001XX000003DGB2AAA-EUR", "001XX000003DGB2AAA"), is_of_customer("001XX", "001XX000003DGB2AAA")
    (True, False)
    >>> is_of_customer("AC-KH3LMDBCXD4RJTTYR", "AC-001XX000003DGB2AAA")
    True
    """
    upper, wanted = text.upper(), reference.upper()
    return upper in (wanted, shortened(wanted, len(upper)) or wanted) or upper.startswith(f"{wanted}-")


def other_customer(text: str, customer_key: str, *, prefix: str = "") -> str:
    """The key, in capitals, of another customer of the same CRM of which *text* is a reference; "" for any other text.

    Of a reference that was shortened its key is not known: then it is the reference itself.

    >>> other_customer("001XX000003DGB9AAA-EUR", "001xx000003dgb2aaa"), other_customer("crmsync", "001xx000003dgb2aaa")
    ('001XX000003DGB9AAA', '')
    >>> other_customer("001XX000003DGB9AAA", "001xx000003dgb2aaa", prefix="AC-")
    ''
    >>> other_customer("AC-001XX000003DGB9AAA", "001xx000003dgb2aaa", prefix="AC-")
    '001XX000003DGB9AAA'
    """
    upper = text.upper()
    if not upper.startswith(prefix) or is_of_customer(text, customer_reference(customer_key, prefix=prefix)):
        return ""
    key, kind = upper.removeprefix(prefix).partition("-")[0], customer_key[:_KIND].upper()
    if len(key) == len(customer_key) and key.startswith(kind) and key.isalnum():
        return key
    return upper if prefix and len(key) >= _DIGEST_MIN else ""
