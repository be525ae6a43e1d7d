"""What a step has learned, as a page tells it: in a few words beside the step, and as figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from crmsync.domain.money import Money
from crmsync.domain.runs import Run

# All that a screen may show of what a deal's step learned: the rest holds persons.
_OUTCOMES = ("number", "customer_key", "status")


def outcome(step: str, learned: Mapping[str, Any]) -> str:
    if step not in _TOLD:
        return next((str(learned[name]) for name in _OUTCOMES if learned.get(name)), "")
    try:
        return _TOLD[step](learned)
    except KeyError:  # nothing yet, or what an earlier release learned
        return ""


def _matched(found: Mapping[str, Any]) -> str:
    """A customer by number, name and city, and how it was found; what belongs to a person is not in it."""
    place = ", ".join(filter(None, (str(found.get("name", "")), str(found.get("city", "")))))
    by = f"(by {found['matched_by']})" if found.get("matched_by") else ""
    return " ".join(filter(None, (str(found["customer_key"]), place, by)))


# What a screen may tell of each step of the other flows, in a few words; with `read_` steps also while they are at it.
_TOLD: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "match_erp_customer": _matched,
    "match_books_customer": _matched,
    "find_invoices": lambda it: f"{len(it['ours'])} of ours, {it['foreign']} of others",
    "read_invoice": lambda it: str(it["number"]),
    "read_catalogue": lambda it: f"{it['products']:,} products",
    "read_stock": lambda it: f"{it['materials']:,} materials",
    "write_levels": lambda it: f"{it['written']:,} written" if "written" in it else f"{it['changed']:,} to write",
    "look_for_deals": lambda it: _looked(it),
    "look_for_payments": lambda it: _looked(it),
    "look_at_orders": lambda it: f"{it['seen']:,} seen, {it['changed']:,} not as they were made",
    "tell_seller": lambda it: str(it["status"]),
}


def _looked(it: Mapping[str, Any]) -> str:
    """Earlier releases counted as healed whatever was started."""
    missed = f", {it['healed']:,} of them missed" if "started" in it else ""
    return f"{it['seen']:,} seen, {it.get('started', it['healed']):,} started{missed}"


def figures(run: Run) -> list[tuple[str, str]]:
    """What a payment's, an invoice's or an inventory's run has learned; nothing of a deal's, which holds persons."""
    found: list[tuple[str, str]] = []
    for step, tell in _FIGURES.items():
        if step in run.results:
            found += tell(run.results[step])
    return [(name, value) for name, value in found if value]


def _of_invoice(read: Mapping[str, Any]) -> list[tuple[str, str]]:
    paid = read["figures"]
    currency = paid["amount"]["currency"]
    return [
        ("Invoice number", str(read["number"])),
        ("Paid", str(Money.from_json(paid["amount"]))),
        ("Balance", str(Money(Decimal(read["balance"]), currency)) if read["balance"] else ""),
        ("Payment received", "yes" if paid["is_received"] else "no"),
        ("Last payment", str(paid["paid_on"] or "")),
        ("Void", "yes" if read["is_void"] else ""),
        ("The deal says", str(paid.get("status", ""))),
    ]


def _of_payment(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        ("Payment number", str(found.get("number", ""))),
        ("Invoices of ours", str(len(found["ours"]))),
        ("Invoices of others", str(found["foreign"])),
        ("Deleted in the books", "yes" if found["is_gone"] else ""),
    ]


def _of_writing(wrote: Mapping[str, Any]) -> list[tuple[str, str]]:
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in wrote["reasons"].items())
    return [
        ("Written", f"{wrote['written']:,}"),
        ("Refused", f"{wrote['refused']:,}" + (f" ({reasons})" if reasons else "")),
        ("Newly low", f"{wrote['newly_low']:,}"),
        ("Lowest", ", ".join(f"{code}: {left}" for code, left in wrote["lowest"])),
    ]


def _of_looking(seen: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [("Looked up to", seen["until"][:19].replace("T", " ") + " UTC")]


_FIGURES: Mapping[str, Callable[[Mapping[str, Any]], list[tuple[str, str]]]] = {
    "find_invoices": _of_payment,
    "read_invoice": _of_invoice,
    "read_catalogue": lambda it: [
        ("Products read", f"{it['products']:,}, " + ("all of them" if it["is_whole"] else "those that changed"))
    ],
    "read_stock": lambda it: [("Materials", f"{it['materials']:,}"), ("Newly not in the ERP", f"{it['unknown']:,}")],
    "write_levels": _of_writing,
    "look_for_deals": _of_looking,
    "look_for_payments": _of_looking,
    "look_at_orders": _of_looking,
    "tell_seller": lambda it: [("The deal says", " – ".join(filter(None, (it.get("status"), it.get("reason")))))],
}
