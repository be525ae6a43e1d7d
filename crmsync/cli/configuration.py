"""`crmsync config`: what the environment comes to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import click

from crmsync.cli import screen
from crmsync.settings import Secret, Settings

VENDORS = ("salesforce", "sap", "zoho_books")

_PASSWORD = re.compile(r"(://[^:/@\s]*):[^/\s]+@|((?:password|token)=)[^&\s]+")


@click.command
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def config(*, as_json: bool) -> None:
    """Show the effective configuration, with secrets as ***."""
    values = effective(Settings.from_env())
    if as_json:
        screen.print_json(values)
    else:
        screen.console().print(screen.pairs(values))


def effective(settings: Settings) -> dict[str, str]:
    """Every setting by its dotted name; a vendor that is not configured is one line."""
    return {name: without_password(_text(name, value)) for name, value in _flat(settings)}


def without_password(address: str) -> str:
    """*address* as it may be shown.

    >>> without_password("postgresql://crm:p@ss@db/crmsync"), without_password("redis://:secret@host/0")
    ('postgresql://crm:***@db/crmsync', 'redis://:***@host/0')
    """
    return _PASSWORD.sub(lambda found: f"{found[1]}:***@" if found[1] else f"{found[2]}***", address)


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for field in fields(value):
        name, inner = f"{prefix}{field.name}", getattr(value, field.name)
        if is_dataclass(inner) and not isinstance(inner, Secret):
            yield from _flat(inner, f"{name}.")
        else:
            yield name, inner


def _text(name: str, value: Any) -> str:
    if value is None:
        return "not configured" if name in VENDORS else ""
    return " ".join(value) if isinstance(value, tuple) else str(value)
