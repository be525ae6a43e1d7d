"""Connections that people make: as rows, with sealed secrets, each an account of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from crmsync import connections
from crmsync.cli import check_systems
from crmsync.cli.main import cli
from crmsync.connection_book import BELIEVED_SECONDS
from crmsync.connection_trial import try_out
from crmsync.connectors import registry
from crmsync.domain.audit import Act, Origin
from crmsync.domain.breaker import FailedCall
from crmsync.domain.connections import (
    Connection,
    ConnectionChangedError,
    ConnectionInUseError,
    InvalidConnectionError,
    NameTakenError,
    OtherAccountRefusedError,
    ReadOnlyConnectionError,
    Status,
    UnknownConnectionError,
    Wanted,
)
from crmsync.domain.ledger import EntryKey
from crmsync.errors import ConnectionPausedError, OtherAccountError, ProcessFaultError
from crmsync.lab.sandbox import Sandbox
from crmsync.services import Services
from crmsync.settings import Settings
from tests.fakes import start_run
from tests.system import big_sandbox

ADA = Act("ada", Origin.API, "we have a new ERP")
NOBODY_LISTENS = "redis://127.0.0.1:1/0"


def change(verb: Callable[..., Any], using: Services, *args: Any, **options: Any) -> Any:
    """In a transaction of its own."""
    with using.store.begin() as uow:
        return verb(using, uow, *args, **options)


@pytest.fixture(scope="module")
def two_sandboxes() -> Iterator[tuple[Sandbox, Sandbox]]:
    with big_sandbox() as one, big_sandbox() as other:
        yield one, other


@pytest.fixture
def sandbox(two_sandboxes: tuple[Sandbox, Sandbox]) -> Sandbox:
    two_sandboxes[0].reset()
    return two_sandboxes[0]


@pytest.fixture
def other(two_sandboxes: tuple[Sandbox, Sandbox]) -> Sandbox:
    two_sandboxes[1].reset()
    return two_sandboxes[1]


Start = Callable[..., Services]


@pytest.fixture
def start(database_url: str, tmp_path: Path) -> Iterator[Start]:
    """Services as a process makes them; addresses of this machine are allowed, for there the stand-ins are."""
    made: list[Services] = []

    def start(env: dict[str, str] | None = None, **changes: str) -> Services:
        fixed = {
            "CRMSYNC_HOME": str(tmp_path / "home"),
            "DATABASE_URL": database_url,
            "REDIS_URL": NOBODY_LISTENS,
            "CRMSYNC_ALLOW_HTTP": "true",
            "CRMSYNC_ALLOW_PRIVATE_ADDRESSES": "true",
        }
        if not made and "postgresql" in database_url:
            from crmsync.store import Store, schema

            store = Store(database_url)
            schema.migrate(store)
            store.close()
        made.append(Services.from_settings(Settings.from_env({**(env or {}), **fixed, **changes})))
        return made[-1]

    yield start
    for services in made:
        services.store.close()


@pytest.fixture
def using(start: Start) -> Services:
    return start()


def values_of(sandbox: Sandbox, system: str) -> dict[str, Any]:
    """What the sandbox gives by variable, by the names that rows have."""
    env = sandbox.environment()
    declared = registry.system(system).declared
    return {each.name: env[each.variable] for each in declared if env.get(each.variable)}


def create(
    using: Services, sandbox: Sandbox, system: str = "s4hana", *, tenant: str = "acme", **more: Any
) -> Connection:
    wanted = Wanted(**{"name": f"Our {system}", "settings": values_of(sandbox, system), **more})
    return change(connections.create, using, ADA, tenant, system, wanted)


def hear_of_it(using: Services) -> None:
    """As if the two seconds were over for which a process believes what it last read."""
    for known, _ in list(using.book._read.values()):
        using.book._read[known.connection.id] = known, -BELIEVED_SECONDS * 10


def column(using: Services, name: str) -> list[Any]:
    with using.store.read() as uow:
        return list(uow.connection.execute(text(f"SELECT {name} FROM connections")).scalars())


# -- what is kept, and what is told


def test_what_is_made_is_listed_with_the_environments_own_and_without_secrets(start: Start, sandbox: Sandbox) -> None:
    using = start(dict(sandbox.environment()))
    made = create(using, sandbox)

    found = connections.all_of(using, None)

    assert [each.id for each in found] == ["salesforce", "s4hana", "zoho_books", made.id]
    assert [each.id for each in connections.all_of(using, "default")] == ["salesforce", "s4hana", "zoho_books"]
    assert connections.all_of(using, "acme", system="s4hana") == [made]
    assert connections.all_of(using, "acme", status="inactive") == []
    secrets = {value for name, value in sandbox.environment().items() if "SECRET" in name or "KEY" in name}
    assert not [each for each in secrets if each and each in repr(found)]
    assert made.secret_names == ("client_secret",)


def test_no_secret_lies_open_in_the_store(using: Services, sandbox: Sandbox) -> None:
    create(using, sandbox)

    secret = values_of(sandbox, "s4hana")["client_secret"]
    with using.store.read() as uow:
        rows = [dict(row._mapping) for row in uow.connection.execute(text("SELECT * FROM connections"))]
        audited = [(each.verb, each.before, each.after, each.tenant) for each in uow.audit.newest(None, limit=9)]
    assert secret not in repr(rows)
    assert secret not in repr(audited)
    assert [each[0] for each in audited] == ["create"]
    assert audited[0][3] == "acme"


PROBLEMS: dict[str, tuple[str, Wanted, set[str]]] = {
    "an unknown system": ("hubspot", Wanted(name="x"), {"erp_system"}),
    "everything at once": ("s4hana", Wanted(direction="up", interval_seconds=1), {
        "name", "direction", "interval_seconds", "base_url", "client_id", "client_secret", "sales_organization",
    }),
    "another way to sign in": ("s4hana", Wanted(name="x", auth_kind="oauth1"), {"auth_kind", "auth"}),
}  # fmt: skip


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_is_wrong_is_told_all_at_once_by_name(using: Services, name: str) -> None:
    system, wanted, expected = PROBLEMS[name]

    with pytest.raises(InvalidConnectionError) as refused:
        change(connections.create, using, ADA, "acme", system, wanted)

    assert expected <= set(refused.value.field_errors)


def test_a_name_is_taken_once_in_a_tenant(using: Services, sandbox: Sandbox) -> None:
    first, second = create(using, sandbox), create(using, sandbox, name="Another")

    with pytest.raises(NameTakenError):
        create(using, sandbox)
    with pytest.raises(NameTakenError):
        change(connections.update, using, ADA, "acme", second.id, Wanted(name=first.name))
    assert create(using, sandbox, tenant="globex").name == first.name


def test_another_tenants_connection_is_not_there(using: Services, sandbox: Sandbox) -> None:
    made = create(using, sandbox)

    for attempt in (
        lambda: connections.show(using, "globex", made.id),
        lambda: change(connections.update, using, ADA, "globex", made.id, Wanted(name="x")),
        lambda: change(connections.pause, using, ADA, "globex", made.id),
        lambda: change(connections.rotate, using, ADA, "globex", made.id, {"client_secret": "x"}),
        lambda: change(connections.delete, using, ADA, "globex", made.id),
        lambda: try_out(using, "globex", made.id),
    ):
        with pytest.raises(UnknownConnectionError):
            attempt()


def test_one_of_the_environment_is_changed_there(start: Start, sandbox: Sandbox) -> None:
    using = start(dict(sandbox.environment()))

    for attempt in (
        lambda: change(connections.update, using, ADA, "default", "s4hana", Wanted(name="x")),
        lambda: change(connections.pause, using, ADA, "default", "s4hana"),
        lambda: change(connections.delete, using, ADA, None, "s4hana"),
    ):
        with pytest.raises(ReadOnlyConnectionError):
            attempt()
    assert connections.show(using, "default", "s4hana").is_of_environment
    with pytest.raises(UnknownConnectionError):
        connections.show(using, "acme", "s4hana")


def test_a_lost_update_is_refused(using: Services, sandbox: Sandbox) -> None:
    made = create(using, sandbox)
    change(connections.update, using, ADA, "acme", made.id, Wanted(name="First"), expected_version=made.version)

    with pytest.raises(ConnectionChangedError):
        change(connections.update, using, ADA, "acme", made.id, Wanted(name="Second"), expected_version=made.version)
    assert connections.show(using, "acme", made.id).name == "First"


def test_of_two_changes_at_once_one_is_refused(using: Services, sandbox: Sandbox) -> None:
    """Both have read the same version: who comes second is told, and nothing of the first is undone."""
    made = create(using, sandbox)
    with using.store.read() as uow:
        kept = uow.connections.get("acme", made.id)
    assert kept is not None

    with using.store.begin() as uow:
        outcomes = [
            uow.connections.change(replace(kept.connection, name=name), sealed=kept.sealed, key_id="")
            for name in ("First", "Second")
        ]

    assert outcomes == [True, False]
    assert connections.show(using, "acme", made.id).name == "First"


# -- what it is for


def test_each_is_an_account_of_its_own(using: Services, sandbox: Sandbox, other: Sandbox) -> None:
    """Two of one system at once: with tokens, breakers, notes and an account of each."""
    one = create(using, sandbox, "zoho_books", name="One")
    two = create(using, other, "zoho_books", name="Two", tenant="globex")

    for each in (one, two):
        using.connector(each.id).find_invoices("SF-006xx0000012abcAAA")  # type: ignore[attr-defined]

    with using.store.read() as uow:
        known = uow.accounts.all(None)
        tokens = [uow.tokens.get(each.id) for each in (one, two)]
    assert {one.id, two.id} == set(known)
    assert known[one.id].identity != known[two.id].identity
    assert None not in tokens
    assert using.connector(one.id) is not using.connector(two.id)
    assert [using.system_of(each.id) for each in (one, two)] == ["Zoho Books", "Zoho Books"]
    assert connections.show(using, "acme", one.id).last_success_at is not None


def test_a_change_reaches_every_process_without_a_restart(start: Start, sandbox: Sandbox) -> None:
    here, there = start(), start()
    made = create(here, sandbox)
    before = there.connector(made.id)

    values = {**values_of(sandbox, "s4hana"), "division": "01"}
    change(connections.update, here, ADA, "acme", made.id, Wanted(settings=values))

    assert there.connector(made.id) is before, "believed for a moment"
    hear_of_it(there)
    assert there.connector(made.id) is not before
    assert there.connector(made.id)._settings.division == "01"  # type: ignore[attr-defined]
    assert there.at_hand(made.id) is there.connector(made.id)


@pytest.mark.parametrize("how", ["paused", "switched off"])
def test_what_is_paused_refuses_with_the_reason_and_goes_on_when_it_is_resumed(
    using: Services, sandbox: Sandbox, how: str
) -> None:
    made = create(using, sandbox)
    using.connector(made.id)

    if how == "paused":
        change(connections.pause, using, ADA, "acme", made.id)
    else:
        change(connections.update, using, ADA, "acme", made.id, Wanted(sync_enabled=False))

    with pytest.raises(ConnectionPausedError, match=f"Our s4hana.*{'paused' if how == 'paused' else ''}") as refused:
        using.connector(made.id)
    assert made.id in (refused.value.advice or "")
    assert using.at_hand(made.id) is None
    if how == "paused":
        change(connections.resume, using, ADA, "acme", made.id)
    else:
        change(connections.update, using, ADA, "acme", made.id, Wanted(sync_enabled=True))
    assert using.connector(made.id)


def test_who_connects_asks_once_how_the_connection_is_now(
    using: Services, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = create(using, sandbox)
    connector, asked, get = using.connector(made.id), [], using.book.get
    monkeypatch.setattr(using.book, "get", lambda connection: (asked.append(connection), get(connection))[1])

    assert using.connector(made.id) is connector
    assert asked == [made.id]


def test_it_is_tried_out_with_a_sign_in_of_its_own(using: Services, sandbox: Sandbox) -> None:
    made = create(using, sandbox, "zoho_books")

    found = try_out(using, "acme", made.id)

    assert found.success, found
    assert found.latency_seconds > 0
    assert connections.show(using, "acme", made.id).last_success_at is not None


def test_a_trial_names_the_permission_that_is_missing(using: Services, sandbox: Sandbox) -> None:
    values = {**values_of(sandbox, "salesforce"), "order_number_field": "No_Such_Field__c"}
    made = create(using, sandbox, "salesforce", settings=values)

    found = try_out(using, "acme", made.id)

    assert not found.success
    assert "No_Such_Field__c" in found.message + found.missing[0]
    assert connections.show(using, "acme", made.id).status is Status.ERROR


def test_a_trial_that_fails_says_why_and_the_connection_shows_it(using: Services, sandbox: Sandbox) -> None:
    values = {**values_of(sandbox, "zoho_books"), "refresh_token": "1000.of.another"}
    made = create(using, sandbox, "zoho_books", settings=values)

    found = try_out(using, "acme", made.id)

    shown = connections.show(using, "acme", made.id)
    assert not found.success
    assert "sign-in" in found.message
    assert (shown.status, shown.last_error) == (Status.EXPIRED, found.message)
    assert "1000.of.another" not in repr(found) + repr(shown)
    change(
        connections.rotate,
        using,
        ADA,
        "acme",
        made.id,
        {"refresh_token": values_of(sandbox, "zoho_books")["refresh_token"]},
    )
    assert try_out(using, "acme", made.id).success
    assert connections.show(using, "acme", made.id).status is Status.ACTIVE


def test_what_is_made_while_another_signs_in_stays_paused(using: Services, sandbox: Sandbox) -> None:
    """A trial is no decision of a person's."""
    made = create(using, sandbox, "zoho_books")
    change(connections.pause, using, ADA, "acme", made.id)

    assert try_out(using, "acme", made.id).success
    assert connections.show(using, "acme", made.id).status is Status.INACTIVE


# -- secrets belong to what they were given for


def test_a_row_that_is_copied_to_another_connection_does_not_open(using: Services, sandbox: Sandbox) -> None:
    one, two = create(using, sandbox, name="One"), create(using, sandbox, name="Two", tenant="globex")

    with using.store.begin() as uow:
        copy = "UPDATE connections SET secrets = (SELECT secrets FROM connections WHERE id = :one) WHERE id = :two"
        uow.connection.execute(text(copy), {"one": one.id, "two": two.id})

    using.book.forget(two.id)
    with pytest.raises(ProcessFaultError, match="can't be opened"):
        using.connector(two.id)


@pytest.mark.parametrize("change", ['{"base_url": "https://evil.example.com"', "tenant"])
def test_an_address_that_was_changed_in_the_store_gets_no_secret(
    using: Services, sandbox: Sandbox, change: str
) -> None:
    made = create(using, sandbox)
    with using.store.begin() as uow:
        kept = uow.connections.get(None, made.id)
        assert kept is not None
        if change == "tenant":
            uow.connection.execute(text("UPDATE connections SET tenant = 'globex'"))
        else:
            changed = replace(kept.connection, settings={**made.settings, "base_url": "https://evil.example.com"})
            assert uow.connections.change(changed, sealed=kept.sealed, key_id="")

    using.book.forget(made.id)
    with pytest.raises(ProcessFaultError, match="can't be opened"):
        using.connector(made.id)


def test_who_changes_an_address_gives_the_secrets_again(using: Services, sandbox: Sandbox) -> None:
    """Otherwise whoever may change a connection has its secrets sent to an address of their own."""
    made = create(using, sandbox)
    values = {**made.settings, "token_url": "https://evil.example.com/token"}

    with pytest.raises(InvalidConnectionError) as refused:
        change(connections.update, using, ADA, "acme", made.id, Wanted(settings=values))
    assert set(refused.value.field_errors) == {"client_secret"}

    again = {"client_secret": "another one"}
    changed = change(connections.update, using, ADA, "acme", made.id, Wanted(settings=values, secrets=again))
    assert changed.settings["token_url"] == "https://evil.example.com/token"


def test_secrets_that_are_not_given_stay(using: Services, sandbox: Sandbox) -> None:
    made = create(using, sandbox)

    change(connections.update, using, ADA, "acme", made.id, Wanted(settings={**made.settings, "division": "01"}))

    assert using.book.get(made.id).settings.client_secret.reveal() == values_of(sandbox, "s4hana")["client_secret"]


def test_a_doors_secret_is_made_here_once_and_the_one_before_it_stays_good(using: Services, sandbox: Sandbox) -> None:
    made = create(using, sandbox, "zoho_books")
    before = values_of(sandbox, "zoho_books")["webhook_secret"]

    changed, shown = change(connections.rotate, using, ADA, "acme", made.id, {}, made=["webhook_secret"])

    found = using.book.get(made.id).settings.webhook_secrets
    assert [each.reveal() for each in found] == [shown["webhook_secret"], before]
    assert changed.version == made.version + 1
    with pytest.raises(InvalidConnectionError):
        change(connections.rotate, using, ADA, "acme", made.id, {}, made=["refresh_token"])


def test_every_secret_is_sealed_with_another_key_while_all_goes_on(start: Start, sandbox: Sandbox) -> None:
    old, new = "the old key of thirty-two letters", "the new key of thirty-two letters"
    running = start(CRMSYNC_SECRET_KEY=old, CRMSYNC_SECRET_KEY_PREVIOUS=new)
    made = create(running, sandbox)
    before = column(running, "key_id")

    rotating = start(CRMSYNC_SECRET_KEY=new, CRMSYNC_SECRET_KEY_PREVIOUS=old)
    found = connections.reseal(rotating)

    assert (found.sealed, found.unreadable) == (1, 0)
    assert column(running, "key_id") != before
    for each in (running, start(CRMSYNC_SECRET_KEY=new)):
        each.book.forget(made.id)
        assert each.book.get(made.id).settings.client_secret.reveal()
    with pytest.raises(ProcessFaultError):
        start(CRMSYNC_SECRET_KEY=old).connector(made.id)


# -- whose account


def test_other_settings_that_name_another_account_are_refused(using: Services, sandbox: Sandbox) -> None:
    made = create(using, sandbox, "zoho_books")
    using.connector(made.id).find_invoices("SF-006xx0000012abcAAA")  # type: ignore[attr-defined]
    values = {**made.settings, "organization_id": "99999"}

    with pytest.raises(OtherAccountRefusedError, match="has worked with Zoho Books organization"):
        change(connections.update, using, ADA, "acme", made.id, Wanted(settings=values))
    changed = change(connections.update, using, ADA, "acme", made.id, Wanted(settings=values), is_same_account=True)

    assert changed.settings["organization_id"] == "99999"
    with using.store.read() as uow:
        known = uow.accounts.get(made.id)
    assert known is not None
    assert "99999" in known.identity


def test_credentials_that_the_sign_in_tells_are_anothers_are_refused_there(
    using: Services, sandbox: Sandbox, other: Sandbox
) -> None:
    sandbox.salesforce.organization["Id"] = "00DOO0000000001EAA"
    other.salesforce.organization["Id"] = "00DPP0000000002EAA"
    untold = {"organization_id": None}
    made = create(using, sandbox, "salesforce", settings={**values_of(sandbox, "salesforce"), **untold})
    now = datetime.now(UTC)
    list(using.connector(made.id).won_deals(now - timedelta(hours=1), now))  # type: ignore[attr-defined]

    change(
        connections.update, using, ADA, "acme", made.id, Wanted(settings={**values_of(other, "salesforce"), **untold})
    )

    with pytest.raises(OtherAccountError):
        list(using.connector(made.id).won_deals(now - timedelta(hours=1), now))  # type: ignore[attr-defined]


def test_a_person_says_that_an_account_which_only_the_sign_in_tells_is_the_one_of_before(
    using: Services, sandbox: Sandbox, other: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.salesforce.organization["Id"] = "00DOO0000000001EAA"
    other.salesforce.organization["Id"] = "00DPP0000000002EAA"
    untold, now = {"organization_id": None}, datetime.now(UTC)
    made = create(using, sandbox, "salesforce", settings={**values_of(sandbox, "salesforce"), **untold})
    list(using.connector(made.id).won_deals(now - timedelta(hours=1), now))  # type: ignore[attr-defined]
    change(
        connections.update, using, ADA, "acme", made.id, Wanted(settings={**values_of(other, "salesforce"), **untold})
    )
    for name, value in {
        "CRMSYNC_HOME": str(using.settings.home),
        "DATABASE_URL": using.settings.database_url,
        "CRMSYNC_ALLOW_HTTP": "true",
        "CRMSYNC_ALLOW_PRIVATE_ADDRESSES": "true",
    }.items():
        monkeypatch.setenv(name, value)

    told = CliRunner().invoke(cli, ["accounts", "adopt", made.id, "--yes"])

    assert "organization 00DPP0000000002 from now on" in told.output
    list(using.connector(made.id).won_deals(now - timedelta(hours=1), now))  # type: ignore[attr-defined]


# -- where it may lead


def test_an_address_in_the_clear_is_refused_unless_that_is_allowed(start: Start, sandbox: Sandbox) -> None:
    strict = start(CRMSYNC_ALLOW_HTTP="false")

    with pytest.raises(InvalidConnectionError) as refused:
        create(strict, sandbox)

    assert "https" in refused.value.field_errors["base_url"]


@pytest.mark.parametrize("system", ["s4hana", "zoho_books", "salesforce"])
def test_no_byte_goes_to_a_machine_of_this_network_unless_that_is_allowed(
    start: Start, sandbox: Sandbox, system: str
) -> None:
    strict = start(CRMSYNC_ALLOW_PRIVATE_ADDRESSES="false")
    made = create(strict, sandbox, system)
    calls = len(sandbox.calls())

    found = try_out(strict, "acme", made.id)

    assert not found.success
    assert "leads into this network" in found.message
    assert len(sandbox.calls()) == calls


# -- to be rid of it


def test_it_is_deleted_with_what_is_remembered_of_it_and_of_nothing_else(using: Services, sandbox: Sandbox) -> None:
    gone, stays = create(using, sandbox, "zoho_books", name="Gone"), create(using, sandbox, "zoho_books", name="Stays")
    for each in (gone, stays):
        using.connector(each.id).find_invoices("SF-006xx0000012abcAAA")  # type: ignore[attr-defined]

    rows = change(connections.delete, using, ADA, "acme", gone.id)

    assert rows == {"accounts": 1, "tokens": 1}
    with using.store.read() as uow:
        assert set(uow.accounts.all(None)) == {stays.id}
        assert [entry.verb for entry in uow.audit.newest(None, object_key=gone.id, limit=9)] == ["delete", "create"]
    with pytest.raises(UnknownConnectionError):
        using.connector(gone.id)


def test_one_that_runs_need_is_deleted_only_by_force(using: Services, sandbox: Sandbox) -> None:
    made = create(using, sandbox)
    with using.store.begin() as uow:
        run_id, *_ = start_run(
            uow, "order_to_invoice", "006", step="create_order", correlation_id="c", queued_until=uow.now
        )
        uow.ledger.reserve(EntryKey(made.id, "order", "SF-006"), run_id, certain_at=uow.now)

    with pytest.raises(ConnectionInUseError, match="1 run that is not over"):
        change(connections.delete, using, ADA, "acme", made.id)
    assert change(connections.delete, using, ADA, "acme", made.id, is_forced=True)["ledger"] == 1


def test_an_outage_is_told_of_the_connection_that_has_it(using: Services, sandbox: Sandbox) -> None:
    made = create(using, sandbox)
    breakers = using._breakers()

    breakers.failed(made.id, "SAP S/4HANA", FailedCall(is_probe=False, reason="The account is locked."))
    shown = connections.show(using, "acme", made.id)
    assert (shown.status, shown.last_error) == (Status.ERROR, "The account is locked.")

    breakers.succeeded(made.id, "SAP S/4HANA")
    assert connections.show(using, "acme", made.id).status is Status.ACTIVE


def test_the_word_for_what_is_withheld_is_no_secret(using: Services, sandbox: Sandbox) -> None:
    with pytest.raises(InvalidConnectionError) as refused:
        create(using, sandbox, secrets={"client_secret": "withheld-from-this-process"})

    assert refused.value.field_errors == {"client_secret": "is not a secret"}


def test_the_doctor_looks_at_each_and_leaves_what_is_paused_alone(using: Services, sandbox: Sandbox) -> None:
    works = create(using, sandbox, "zoho_books", name="Works")
    paused = create(using, sandbox, "zoho_books", name="Paused")
    change(connections.pause, using, ADA, "acme", paused.id)

    found = list(check_systems.of_connections(using))

    of_the_paused = [each for each in found if paused.id in each.area]
    of_the_other = [each for each in found if works.id in each.area]
    assert [each.is_ok for each in of_the_paused] == [True]
    assert "is paused" in of_the_paused[0].detail
    assert {each.name for each in of_the_other} >= {"organization", "clock"}
    assert all(each.is_ok for each in of_the_other)
