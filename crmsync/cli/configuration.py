"""`crmsync config`: shows the effective configuration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import click

from crmsync.cli import screen
from crmsync.cli.options import json_option
from crmsync.connectors.registry import systems
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
    """Every setting by its dotted name; a system that is not configured is one line."""
    found = {name: value for name, value in _flat(settings) if name != "systems"}
    for system in systems().values():
        own, name = settings.systems.get(system.name), system.config_name or system.name
        found |= dict(_flat(own, f"{name}.")) if own is not None else {name: "not configured"}
    return {name: without_password(_text(value)) for name, value in found.items()}


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for field in fields(value):
        name, inner = f"{prefix}{field.name}", getattr(value, field.name)
        if is_dataclass(inner) and not isinstance(inner, Secret):
            yield from _flat(inner, f"{name}.")
        else:
            yield name, inner


def _text(value: Any) -> str:
    if value is None:
        return ""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
