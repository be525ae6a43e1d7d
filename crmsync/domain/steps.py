"""What a step declares: its name for people, its cost in calls, and the systems it writes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Calls = Mapping[str, int]  # by role


@dataclass(frozen=True, slots=True)
class About:
    """*title* and *doing* are for people: "Match ERP customer", "reading the stock"; "": as it is called in the code.

    *calls* are those of a usual run, whose customers are linked; *most_calls* about those of one where all is new, if
    that are more. *writes* is the role that it makes or changes something in. *customer_of* is the role whose customer
    it finds, which a person may have to name.
    """

    title: str = ""
    doing: str = ""
    calls: Calls = field(default_factory=dict)
    most_calls: Calls = field(default_factory=dict)
    writes: str = ""
    customer_of: str = ""


def title_of(name: str) -> str:
    """A name of the code as people read it.

    >>> title_of("order_to_invoice")
    'Order to invoice'
    """
    return name.replace("_", " ").capitalize()
