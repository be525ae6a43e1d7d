"""`crmsync config`: what the environment comes to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import click

from crmsync.cli import screen
from crmsync.cli.options import json_option
from crmsync.connectors.registry import VENDORS
from crmsync.log import without_password
from crmsync.settings import Secret, Settings


@click.command
@json_option
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


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for field in fields(value):
        name, inner = f"{prefix}{field.name}", getattr(value, field.name)
        if is_dataclass(inner) and not isinstance(inner, Secret):
            yield from _flat(inner, f"{name}.")
        else:
            yield name, inner


def _text(name: str, value: Any) -> str:
    if value is None:
        return "not configured" if name in {vendor.settings for vendor in VENDORS.values()} else ""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
