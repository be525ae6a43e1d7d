"""`crmsync secrets`: changes the key that encrypts secrets in the store, while everything runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from crmsync.cli import screen
from crmsync.cli.failures import ListingGroup
from crmsync.cli.options import accounted, json_option
from crmsync.cli.process import open_services
from crmsync.errors import ConfigurationError

if TYPE_CHECKING:
    from crmsync.domain.audit import Act
    from crmsync.services import Services
    from crmsync.settings import Secret, Settings

_HOW = (
    "Set CRMSYNC_SECRET_KEY to the new key and CRMSYNC_SECRET_KEY_PREVIOUS to the one before it, for all processes, "
    "restart them, then run this again. So that no process meets a key that it does not know, first give all of them "
    "the new key as CRMSYNC_SECRET_KEY_PREVIOUS."
)


@click.group(cls=ListingGroup)
def secrets() -> None:
    """The key that encrypts tokens, secrets of connections and what vendors' error messages said."""


@secrets.command
@accounted
@json_option
def rotate(*, who: Act, as_json: bool) -> None:
    """Encrypt everything with a new key; all processes may keep running meanwhile.

    A key in the state directory is generated again. Change a key of your own by its variables first.
    """
    from crmsync import connections
    from crmsync.store.resealing import reseal

    using = open_services()
    _make_new_key(using)
    found = reseal(using.store, using.vault.ring, _credentials(using)) + connections.reseal(using)
    with using.store.begin() as uow:
        uow.audit.add(who, "rotate", "key", using.vault.ring.ids[0], after=asdict(found))
    if as_json:
        screen.print_json({"key": using.vault.ring.ids[0], **asdict(found)})
        return
    out = screen.console()
    out.print(f"✓ {found.sealed} secrets are sealed with the key {using.vault.ring.ids[0]}.")
    if found.unreadable:
        out.print(f"{found.unreadable} were sealed with a key that is not set, and can't be decrypted.", style="yellow")
    out.print(_after(using.settings))


def _make_new_key(using: Services) -> None:
    """Raises: ConfigurationError for a key of the environment that has not been changed."""
    from crmsync import connections
    from crmsync.store.keys import renew_kept_key
    from crmsync.store.resealing import reseal

    settings = using.settings
    if settings.secret_key is None:
        # What is still sealed with the key before this one would be lost with it.
        reseal(using.store, using.vault.ring, _credentials(using))
        connections.reseal(using)
        renew_kept_key(settings.home)
        using.vault.reread()
    elif settings.secret_key_previous is None:
        missing = {"CRMSYNC_SECRET_KEY_PREVIOUS": "is missing: the key before CRMSYNC_SECRET_KEY"}
        raise ConfigurationError("The key has not been changed.", field_errors=missing, advice=_HOW)


def _credentials(using: Services) -> Iterator[Secret]:
    """Those that are withheld from this shell are marked anew at the next sign-in."""
    for claim in using.book.all_claims():
        if not any(not isinstance(each, str) and each.is_withheld for each in claim.credentials):
            yield claim.signs_in_with()


def _after(settings: Settings) -> str:
    if settings.secret_key is None:
        return "The key before it stays beside it as secret.key.previous until the next rotation."
    return "CRMSYNC_SECRET_KEY_PREVIOUS is no longer needed: unset it, and restart every process."
