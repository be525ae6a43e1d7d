"""People, tokens, sessions and the audit in a real database: SQLite, and PostgreSQL where there is one."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from crmsync import people
from crmsync.domain import passwords
from crmsync.domain.access import Role, fingerprint, read_token
from crmsync.domain.audit import Act, Origin, verify
from crmsync.errors import CrmsyncError
from crmsync.people import PeopleError, UnknownError
from crmsync.store import Store, schema
from crmsync.store.people import IDLE, LINK, LONGEST
from tests.fakes import FakeClock

ADA = Act("ada", Origin.CLI, "a test")
PASSWORD = "correct horse battery staple"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(database_url: str, clock: FakeClock):  # type: ignore[no-untyped-def]
    store = Store(database_url, clock=clock)
    schema.migrate(store)
    yield store
    store.close()


def add(store: Store, name: str = "ada", role: Role = Role.ADMIN, tenant: str | None = None) -> None:
    with store.begin() as uow:
        people.add_user(uow, ADA, name, PASSWORD, role=role, tenant=tenant)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET name = 'eve'",
        "UPDATE audit SET reason = reason",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE id = 1",
    ],
)
def test_the_database_refuses_to_change_the_audit(store: Store, statement: str) -> None:
    add(store)

    with pytest.raises((DBAPIError, CrmsyncError)), store.begin() as uow:
        uow.connection.execute(text(statement))

    with store.read() as uow:
        assert [entry.name for entry in uow.audit.newest(None, limit=10)] == ["ada"]


def test_the_audit_is_not_emptied_or_replaced_either(store: Store) -> None:
    add(store)
    replaced = "INSERT OR REPLACE INTO audit SELECT * FROM audit" if store.is_sqlite else "TRUNCATE audit"

    with pytest.raises((DBAPIError, CrmsyncError)), store.begin() as uow:
        uow.connection.execute(text(replaced))


def test_what_many_do_at_once_is_one_chain(store: Store) -> None:
    barrier = threading.Barrier(6)

    def work(number: int) -> None:
        barrier.wait()
        with store.begin() as uow:
            uow.audit.add(ADA, "test", "thing", str(number))
            uow.audit.add(ADA, "test", "thing", f"{number} again")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with store.read() as uow:
        verdict = verify(uow.audit.in_order())
    assert (verdict.is_whole, verdict.count) == (True, 12)


def test_what_is_read_back_has_the_hash_that_was_written(store: Store) -> None:
    with store.begin() as uow:
        facts = {"amount": "12.50", "names": ["Ä", "b"], "none": None, "at": uow.now, "password_hash": "x"}
        uow.audit.add(ADA, "test", "thing", "ä/1", tenant="acme", before=facts, after={})

    with store.read() as uow:
        [entry] = uow.audit.newest(None, limit=10)
        assert verify(uow.audit.in_order()).is_whole
    assert "password_hash" not in entry.before
    assert entry.before["names"] == ["Ä", "b"]


def test_the_audit_of_a_tenant_has_its_own_entries_alone(store: Store) -> None:
    with store.begin() as uow:
        for tenant in ("acme", "globex", ""):
            uow.audit.add(ADA, "test", "thing", f"of {tenant}", tenant=tenant)

    with store.read() as uow:
        assert [entry.object_key for entry in uow.audit.newest(tenant="acme", limit=10)] == ["of acme"]
        assert len(uow.audit.newest(None, limit=10)) == 3


def test_a_rolled_back_act_leaves_no_entry(store: Store) -> None:
    def fail() -> None:
        with store.begin() as uow:
            people.create_token(uow, ADA, name="ci", role=Role.VIEWER)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    with store.read() as uow:
        assert (uow.audit.newest(None, limit=1), uow.api_tokens.newest(None)) == ([], [])


def test_a_token_is_kept_without_its_secret(store: Store) -> None:
    with store.begin() as uow:
        made = people.create_token(uow, ADA, name="ci", role=Role.OPERATOR, tenant="acme")

    parts = read_token(made.text)
    assert parts is not None
    with store.read() as uow:
        assert uow.api_tokens.secret_hash(parts.id) == fingerprint(parts.secret)
        rows = [
            str(row)
            for name in ("api_tokens", "audit")
            for row in uow.connection.execute(text(f"SELECT * FROM {name}"))
        ]
        caller = uow.api_tokens.get(parts.id).caller  # type: ignore[union-attr]
    assert parts.secret not in " ".join(rows)
    assert (caller.role, caller.tenant, caller.token_id) == (Role.OPERATOR, "acme", parts.id)


def test_a_token_ends_when_it_is_revoked_or_expires(store: Store, clock: FakeClock) -> None:
    with store.begin() as uow:
        revoked = people.create_token(uow, ADA, name="a", role=Role.VIEWER).token
        short = people.create_token(uow, ADA, name="b", role=Role.VIEWER, expires_at=uow.now + timedelta(days=1)).token
        assert short.is_valid(uow.now)
        assert people.revoke_token(uow, ADA, revoked.id).state(uow.now) == "revoked"

    clock.advance(86_400)
    with store.begin() as uow:
        assert uow.api_tokens.get(short.id).state(uow.now) == "expired"  # type: ignore[union-attr]
        with pytest.raises(PeopleError):
            people.create_token(uow, ADA, name="c", role=Role.VIEWER, expires_at=uow.now)
        with pytest.raises(UnknownError):
            people.revoke_token(uow, ADA, "nobody")


def test_a_token_that_is_revoked_twice_is_told_once(store: Store) -> None:
    with store.begin() as uow:
        token = people.create_token(uow, ADA, name="a", role=Role.VIEWER).token
        people.revoke_token(uow, ADA, token.id)
        people.revoke_token(uow, ADA, token.id)

    with store.read() as uow:
        assert [entry.verb for entry in uow.audit.newest(None, limit=10)] == ["token.revoke", "token.create"]


def test_a_name_is_one_person_however_it_is_written(store: Store) -> None:
    add(store, "Ada@Example.com")

    with store.read() as uow:
        assert uow.users.get("ada@example.com") is not None
    with pytest.raises(PeopleError):
        add(store, "ADA@example.com")


def test_the_last_admin_of_the_installation_stays_one(store: Store) -> None:
    add(store)
    add(store, "bob", tenant="acme")

    for change in (
        lambda uow: people.set_role(uow, ADA, "ada", Role.VIEWER),
        lambda uow: people.set_disabled(uow, ADA, "ada", True),
    ):
        with pytest.raises(PeopleError, match="only admin"), store.begin() as uow:
            change(uow)
    with store.read() as uow:
        assert uow.users.get("ada").role is Role.ADMIN  # type: ignore[union-attr]


@pytest.mark.parametrize("change", ["role", "password", "disabled"])
def test_who_is_changed_has_to_sign_in_again(store: Store, change: str) -> None:
    add(store)
    add(store, "bob")
    with store.begin() as uow:
        uow.sessions.open("k" * 40, "bob")
        assert uow.sessions.owner("k" * 40) is not None
        changes = {
            "role": lambda: people.set_role(uow, ADA, "bob", Role.VIEWER),
            "password": lambda: people.set_password(uow, ADA, "bob", PASSWORD + "2"),
            "disabled": lambda: people.set_disabled(uow, ADA, "bob", True),
        }
        changes[change]()
        assert uow.sessions.owner("k" * 40) is None


def test_who_is_disabled_has_no_password(store: Store) -> None:
    add(store)
    add(store, "bob")
    with store.begin() as uow:
        assert passwords.is_right(PASSWORD, uow.users.password_hash("bob"))
        people.set_disabled(uow, ADA, "bob", True)
        assert uow.users.password_hash("bob") is None


def test_who_may_less_keeps_no_token_that_may_more(store: Store) -> None:
    add(store)
    add(store, "bob", tenant="acme")
    with store.begin() as uow:
        bobs = {
            role: people.create_token(uow, Act("bob", Origin.API), name=role.value, role=role, tenant="acme").token.id
            for role in Role
        }
        people.create_token(uow, ADA, name="ada's", role=Role.ADMIN)

    def valid() -> set[str]:
        with store.read() as uow:
            return {token.name for token in uow.api_tokens.newest(None) if token.is_valid(uow.now)}

    with store.begin() as uow:
        people.set_role(uow, ADA, "bob", Role.OPERATOR)
    assert valid() == {"viewer", "operator", "ada's"}
    with store.begin() as uow:
        people.set_password(uow, ADA, "bob", f"another {PASSWORD}")
    assert valid() == {"viewer", "operator", "ada's"}
    with store.begin() as uow:
        people.set_disabled(uow, ADA, "bob", True)
    with store.begin() as uow:
        people.set_disabled(uow, ADA, "bob", False)
    assert valid() == {"ada's"}
    with store.read() as uow:
        revoked = [
            entry for entry in uow.audit.newest(None, object_type="token", limit=9) if entry.verb == "token.revoke"
        ]
    assert {(entry.object_key, entry.name) for entry in revoked} == {(token, "ada") for token in bobs.values()}


def test_a_session_ends_when_it_is_idle_or_old(store: Store, clock: FakeClock) -> None:
    with store.begin() as uow:
        uow.sessions.open("idle", "ada")
        uow.sessions.open("busy", "ada")

    while clock() - uow.now < LONGEST - timedelta(minutes=1):
        clock.advance(IDLE.total_seconds() / 2)
        with store.begin() as later:
            is_busy = later.sessions.owner("busy")
            later.sessions.seen("busy")
        if clock() - uow.now >= IDLE:
            with store.read() as later:
                assert later.sessions.owner("idle") is None
        if clock() - uow.now < LONGEST:
            assert is_busy
    with store.read() as later:
        assert later.sessions.owner("busy") is None, "not even one in use lasts for ever"


def test_a_link_signs_in_once_and_soon(store: Store, clock: FakeClock) -> None:
    with store.begin() as uow:
        uow.sessions.open("link", "ada", is_link=True)
        uow.sessions.open("late", "ada", is_link=True)
        assert uow.sessions.owner("link") is None, "a link is no session"
        assert (uow.sessions.take_link("link"), uow.sessions.take_link("link")) == ("ada", None)

    clock.advance(LINK.total_seconds())
    with store.begin() as uow:
        assert uow.sessions.take_link("late") is None
