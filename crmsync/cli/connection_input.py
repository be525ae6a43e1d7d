"""What people give for a connection on the command line: settings, and secrets that no list of processes shows."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crmsync.cli.options import can_ask

if TYPE_CHECKING:
    from crmsync.domain.connections import Connection, Wanted

_SECRET_BYTES_MAX = 65_536


def _with(command: Callable[..., Any], *options: Callable[..., Any]) -> Callable[..., Any]:
    for option in options:
        command = option(command)
    return command


def secret_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How secrets are given: not on the command line, where every process sees them."""
    return _with(
        command,
        click.option("--secret-file", "files", multiple=True, metavar="NAME=PATH", help="A secret that a file holds."),
        click.option("--secrets-stdin", is_flag=True, help="Read secrets from stdin: a JSON object, by name."),
    )


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How settings and secrets are given."""
    one = click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="A setting; may be repeated.")
    return secret_options(one(command))


def sync_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Whether, how often and in which direction a connection is used."""
    return _with(
        command,
        click.option("--sync/--no-sync", "sync", default=None, help="Whether runs may use it."),
        click.option("--interval", type=int, metavar="SECONDS", help="How often it is scanned for changes."),
        click.option("--direction", help="inbound, outbound or bidirectional."),
    )


def wanted_of(
    system: str,
    *,
    name: str | None,
    pairs: tuple[str, ...],
    files: tuple[str, ...],
    secrets_stdin: bool,
    sync: bool | None,
    interval: int | None,
    direction: str | None,
    before: Connection | None = None,
    unset: tuple[str, ...] = (),
    asks: bool = False,
) -> Wanted:
    """What a connection to *system* shall be: what is given, else as *before*. Raises: click.BadParameter."""
    from crmsync.connectors import registry
    from crmsync.domain.connections import Wanted

    found = registry.systems().get(system)
    declared = found.declared if found else ()
    are_secret = {each.name for each in declared if each.is_secret}
    settings = pairs_of(pairs, "--set")
    if shown := are_secret & settings.keys():
        names = ", ".join(sorted(shown))
        what = f"{names} would be visible in the list of processes: use --secret-file or --secrets-stdin"
        raise click.BadParameter(what, param_hint="--set")
    given: dict[str, str | None] = {**secrets_of(files, from_stdin=secrets_stdin)}
    if asks and not secrets_stdin and can_ask():
        given |= _asked(
            each.name for each in declared if each.is_secret and each.is_required and each.name not in given
        )
    kept = {name: value for name, value in (before.settings if before else {}).items() if name not in unset}
    given |= dict.fromkeys(are_secret & set(unset))
    return Wanted(
        name=name,
        settings={**kept, **settings},
        secrets=given,
        sync_enabled=sync,
        interval_seconds=interval,
        direction=direction,
    )


def pairs_of(texts: Iterable[str], option: str) -> dict[str, str]:
    """Values by name of texts `NAME=VALUE`. Raises: click.BadParameter, which names the *option*."""
    found = {}
    for text in texts:
        name, is_pair, value = text.partition("=")
        if not is_pair or not name.strip():
            raise click.BadParameter(f"expected NAME=VALUE, not {text}", param_hint=option)
        found[name.strip()] = value
    return found


def secrets_of(files: Iterable[str], *, from_stdin: bool) -> dict[str, str]:
    """Secrets by name, from stdin and from *files* (`NAME=PATH`). Raises: click.BadParameter."""
    return {**_from_stdin(from_stdin), **{name: _read(path) for name, path in pairs_of(files, "--secret-file").items()}}


def _read(path: str) -> str:
    try:
        text = Path(path).expanduser().read_bytes()[: _SECRET_BYTES_MAX + 1].decode("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{path} can't be read as text", param_hint="--secret-file") from error
    if not text or len(text) > _SECRET_BYTES_MAX:
        what = "is empty" if not text else "is too large for a secret"
        raise click.BadParameter(f"{path} {what}", param_hint="--secret-file")
    return text


def _from_stdin(is_wanted: bool) -> dict[str, str]:
    if not is_wanted:
        return {}
    try:
        found = json.loads(sys.stdin.read(_SECRET_BYTES_MAX))
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise click.BadParameter(
            'expected a JSON object of strings, such as {"client_secret": "…"}', param_hint="stdin"
        )
    return found


def _asked(names: Iterable[str]) -> dict[str, str]:
    return {name: click.prompt(name, hide_input=True, err=True) for name in names}
