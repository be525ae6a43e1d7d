"""The keys under which our documents are found again in the systems of others."""

from __future__ import annotations


def document_reference(deal_key: str, generation: int = 1) -> str:
    """The reference of a deal's order and invoice; a document made again after a void gets the next generation.

    >>> document_reference("006xx0000012abcAAA"), document_reference("006xx0000012abcAAA", 2)
    ('SF-006xx0000012abcAAA', 'SF-006xx0000012abcAAA-2')
    """
    return f"SF-{deal_key}" if generation == 1 else f"SF-{deal_key}-{generation}"


def customer_reference(customer_key: str) -> str:
    """The reference of a customer: its CRM key, upper-cased, because the ERP stores 20 characters in upper case.

    The 18-character form of a Salesforce id is made to be safe against the loss of case.

    >>> customer_reference("001xx000003dgb2aaa")
    '001XX000003DGB2AAA'
    """
    return customer_key.upper()
