"""What may be deleted of finished work, and what must stay so that nothing is done twice."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from crmsync.domain.customers import Customer
from crmsync.domain.kept import VERSION
from crmsync.domain.personal import masked, personal_values

_DEAL = "fetch_deal"


def forgotten_before(now: datetime, days: int) -> datetime | None:
    """What came to its end before this instant is reduced to what must stay; None: nothing ever is."""
    return now - timedelta(days=days) if days else None


def reduced(results: Mapping[str, Any]) -> dict[str, Any]:
    """What the steps of a run that is over learned, without persons: keys, numbers and amounts.

    Of the deal only its key, its amount, its account's key and whether it was won stay; who goes on reads it anew.

    >>> reduced({"fetch_deal": {"key": "006", "name": "Sensors", "customer": {"key": "001", "email": "ida@acme.test"}},
    ...          "create_order": {"number": "4711", "customer": "001"}})
    {'fetch_deal': {'key': '006', 'customer': {'key': '001'}}, 'create_order': {'number': '4711', 'customer': '001'}}
    """
    known = _known(results.get(_DEAL))
    return {step: _deal(it) if step == _DEAL else masked(_nameless(it), known) for step, it in results.items()}


def _nameless(learned: Any) -> Any:
    """Of a customer that was matched only its number and how it was found."""
    if not isinstance(learned, Mapping) or "customer_key" not in learned:
        return learned
    return {name: value for name, value in learned.items() if name not in ("name", "city")}


def _deal(read: Any) -> dict[str, Any]:
    if not isinstance(read, Mapping):
        return {}
    customer = read.get("customer")
    key = customer.get("key") if isinstance(customer, Mapping) else None
    return {name: read[name] for name in (VERSION, "key", "amount", "is_won") if name in read} | (
        {"customer": {"key": key}} if key else {}
    )


def _known(read: Any) -> Collection[str]:
    try:
        return personal_values(Customer.from_json(read["customer"]))
    except (KeyError, TypeError):  # reduced already, or read by another release
        return ()
