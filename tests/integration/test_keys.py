"""The key that seals is changed while everything goes on: what another has sealed is opened until it is sealed anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from crmsync.cli.main import cli
from crmsync.domain.tokens import AccessToken
from crmsync.environment import Secret
from crmsync.settings import Settings
from crmsync.store import Store, schema
from crmsync.store.keys import KeyRing, key_id_of, renew_kept_key
from crmsync.store.resealing import reseal
from crmsync.store.vault import SharedTokens, Vault
from tests.fakes import AnyAccount

OLD, NEW = Secret("the old key of thirty-two letters"), Secret("the new key of thirty-two letters")
SOMEBODY = "con_a\nhttps://sap.example.com"


def ring(key: Secret, previous: Secret | None = None) -> KeyRing:
    return KeyRing.of(key, previous, Path("/nowhere"))


# -- the ring


def test_what_the_key_before_has_sealed_opens_and_what_another_has_does_not() -> None:
    sealed = ring(OLD).seal("geheim")

    assert ring(NEW, OLD).open(sealed) == "geheim"
    assert ring(NEW).open(sealed) is None
    assert not ring(NEW, OLD).is_sealed_anew(sealed)


def test_what_is_sealed_for_one_opens_for_nobody_else() -> None:
    sealed = ring(OLD).seal_for("geheim", SOMEBODY)

    assert ring(NEW, OLD).open_for(sealed, SOMEBODY) == "geheim"
    assert ring(OLD).open_for(sealed, "con_b\nhttps://sap.example.com") is None
    assert ring(OLD).open_for(sealed, "con_a\nhttps://elsewhere.example") is None
    assert ring(NEW).open_for(sealed, SOMEBODY) is None


@pytest.mark.parametrize("damage", [lambda text: text[:-6], lambda text: text.replace(":", ":A"), lambda text: ""])
def test_what_was_changed_does_not_open(damage: Callable[[str], str]) -> None:
    sealed = ring(OLD).seal_for("geheim", SOMEBODY)

    assert ring(OLD).open_for(damage(sealed), SOMEBODY) is None


def test_the_id_of_a_key_stands_before_what_it_has_sealed_and_tells_nothing_of_it() -> None:
    sealed = ring(NEW, OLD).seal_for("geheim", SOMEBODY)

    assert key_id_of(sealed) == ring(NEW).ids[0] != ring(OLD).ids[0]
    assert "geheim" not in sealed
    assert sealed != ring(NEW, OLD).seal_for("geheim", SOMEBODY), "no two are alike"


def test_a_fingerprint_is_known_by_either_key() -> None:
    mark = ring(OLD).mark(Secret("credentials"))

    assert mark in ring(NEW, OLD).marks(Secret("credentials"))
    assert mark not in ring(NEW, OLD).marks(Secret("others"))


# -- keys of the state directory


def test_a_process_finds_the_key_that_another_has_made_since(tmp_path: Path) -> None:
    running, mark = Vault(None, tmp_path), Vault(None, tmp_path).mark(Secret("credentials"))
    before = running.seal("of before")

    renew_kept_key(tmp_path)
    other = Vault(None, tmp_path)

    assert running.open(other.seal("of after")) == "of after"
    assert running.open(before) == other.open(before) == "of before"
    assert other.is_mark_of(Secret("credentials"), mark)
    assert running.mark(Secret("credentials")) != mark


def test_a_process_that_has_not_noticed_seals_what_the_others_open(tmp_path: Path) -> None:
    running = Vault(None, tmp_path)

    renew_kept_key(tmp_path)

    assert Vault(None, tmp_path).open(running.seal("geheim")) == "geheim"
    assert (tmp_path / "secret.key.previous").stat().st_mode & 0o077 == 0


# -- what is kept


def kept_token(store: Store, vault: Vault) -> SharedTokens:
    tokens = SharedTokens(store, vault, AnyAccount())
    token = AccessToken("geheim", store.clock() + timedelta(hours=1), "https://x.example")
    tokens.renew("zoho_books", stale=None, fetch=lambda: token, limit=None)
    return tokens


def test_everything_is_sealed_anew(store: Store, tmp_path: Path) -> None:
    credentials = Secret("credentials")
    kept_token(store, Vault(OLD, tmp_path))
    with store.begin() as uow:
        uow.accounts.confirm("zoho_books", identity="organization 1", credentials=ring(OLD).mark(credentials))

    found = reseal(store, ring(NEW, OLD), [credentials])

    assert (found.sealed, found.unreadable) == (1, 0)
    token = SharedTokens(store, Vault(NEW, tmp_path), AnyAccount()).read("zoho_books")
    assert token is not None
    assert token.value == "geheim"
    with store.read() as uow:
        known = uow.accounts.get("zoho_books")
    assert known is not None
    assert known.credentials == ring(NEW).mark(credentials)
    assert reseal(store, ring(NEW, OLD), [credentials]) == found, "a second time changes nothing"


def test_what_no_key_opens_is_counted_and_left(store: Store, tmp_path: Path) -> None:
    kept_token(store, Vault(OLD, tmp_path))

    assert reseal(store, ring(NEW), []).unreadable == 1
    assert SharedTokens(store, Vault(OLD, tmp_path), AnyAccount()).read("zoho_books") is not None


# -- the command


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


@pytest.fixture
def own_store() -> Store:
    """The one that a command without configuration opens."""
    made = Store(Settings.from_env().database_url)
    schema.migrate(made)
    return made


def test_a_key_of_the_state_directory_is_made_anew_twice_and_nothing_is_lost(own_store: Store) -> None:
    home = Settings.from_env().home
    kept_token(own_store, Vault(None, home))
    first = (home / "secret.key").read_text()

    for _ in "12":
        assert json.loads(run("secrets", "rotate", "--json").output)["sealed"] == 1

    assert first not in ((home / "secret.key").read_text(), (home / "secret.key.previous").read_text())
    assert SharedTokens(own_store, Vault(None, home), AnyAccount()).read("zoho_books") is not None
    with own_store.read() as uow:
        assert [entry.verb for entry in uow.audit.newest(None, object_type="key", limit=9)] == ["rotate", "rotate"]
    own_store.close()


def test_a_key_of_the_environment_is_changed_there_first(own_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Settings.from_env().home
    kept_token(own_store, Vault(OLD, home))
    monkeypatch.setenv("CRMSYNC_SECRET_KEY", NEW.reveal())

    refused = run("secrets", "rotate")
    assert refused.exit_code != 0
    assert "CRMSYNC_SECRET_KEY_PREVIOUS" in refused.output

    monkeypatch.setenv("CRMSYNC_SECRET_KEY_PREVIOUS", OLD.reveal())
    done = run("secrets", "rotate")
    assert "unset it" in done.output
    assert SharedTokens(own_store, Vault(NEW, home), AnyAccount()).read("zoho_books") is not None
    own_store.close()
