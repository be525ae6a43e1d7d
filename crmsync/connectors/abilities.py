"""Compares a connector with what a role asks of it, so that no run is the first to find out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from inspect import Parameter, Signature, get_annotations, isfunction, signature
from typing import Any

from crmsync.connectors.base import Catalogue, Connector, Deals, Invoices, Orders, Payments, Stock

ANY = ""
"""What is asked of every connector, whatever its roles."""
_PROTOCOLS: Mapping[str, type[Any]] = {
    ANY: Connector,
    "deals": Deals,
    "catalogue": Catalogue,
    "orders": Orders,
    "stock": Stock,
    "invoices": Invoices,
    "payments": Payments,
}


def lacking(connector: Any, role: str) -> list[str]:
    """What *connector* lacks for *role*, as people would write it: `send_invoice()`, `time_zone`."""
    kind: Any = type(connector)
    values = [name for name, called in _asked(role).items() if called is None and not hasattr(connector, name)]
    return [*values, *_lacking_methods(kind, role)]


@cache
def _lacking_methods(kind: type[Any], role: str) -> tuple[str, ...]:
    methods = {name: called for name, called in _asked(role).items() if called is not None}
    found = ((name, _problem(getattr(kind, name, None), called)) for name, called in methods.items())
    return tuple(f"{name}(){problem}" for name, problem in found if problem is not None)


@cache
def _asked(role: str) -> Mapping[str, Signature | None]:
    """The names that a role asks for, each with how it is called; None for a value."""
    found: dict[str, Signature | None] = {}
    for protocol in reversed(_PROTOCOLS[role].__mro__):
        if getattr(protocol, "_is_protocol", False):
            members = {**dict.fromkeys(get_annotations(protocol)), **vars(protocol)}
            asked = {name: each for name, each in members.items() if not name.startswith("_")}
            found |= {name: signature(each) if isfunction(each) else None for name, each in asked.items()}
    return found


def _problem(method: Any, called: Signature) -> str | None:
    """Why *method* can't be *called* like this, "" where there is none, and None if it can."""
    if not callable(method):
        return ""
    try:
        own = signature(method)
    except (ValueError, TypeError):  # of a callable that does not tell it
        return None
    for some in (list(called.parameters.values()), [each for each in called.parameters.values() if _is_needed(each)]):
        by_name = {each.name: None for each in some if each.kind is Parameter.KEYWORD_ONLY}
        try:
            own.bind(*[None] * (len(some) - len(by_name)), **by_name)
        except TypeError as error:
            return f" as it is called ({error})"
    return None


def _is_needed(parameter: Parameter) -> bool:
    return parameter.default is Parameter.empty
