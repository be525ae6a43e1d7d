"""Systems are found by their entry points; one that is only installed changes nothing for anybody."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pytest
from click.testing import CliRunner, Result

from crmsync import broker, needs, spelling, systems
from crmsync.cli import up
from crmsync.cli.main import cli
from crmsync.company import default_roles
from crmsync.connectors import registry
from crmsync.connectors.base import Check
from crmsync.connectors.limits.budget import UNLIMITED
from crmsync.connectors.system import Tools
from crmsync.errors import ConfigurationError
from crmsync.services import Services
from crmsync.settings import Settings, known_names
from crmsync.store import Store
from crmsync.web import health
from crmsync.web.tower.words import label
from tests.unit.cli.test_up import CONFIGURED

MADE_UP = EntryPoint("ledgerly", "tests.made_up:SYSTEM", systems.GROUP)


def forget_what_was_found() -> None:
    for kept in (
        systems._loaded,
        systems.installed,
        needs.needs,
        needs.secrets,
        spelling._ours,
        spelling._other_prefixes,
    ):
        kept.cache_clear()


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if somebody had installed another vendor's package."""
    found = [*entry_points(group=systems.GROUP), MADE_UP]
    monkeypatch.setattr(systems, "entry_points", lambda *, group: found)
    forget_what_was_found()
    yield
    forget_what_was_found()


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


def test_ours_are_found_in_the_order_in_which_a_deal_meets_them() -> None:
    assert list(systems.installed()) == ["salesforce", "s4hana", "zoho_books"]


def test_every_role_of_the_default_company_is_one_that_its_system_can_fill() -> None:
    usual = default_roles()

    assert set(usual) == set(systems.ROLES)
    assert [role for role, connection in usual.items() if role not in registry.system(connection).roles] == []


@pytest.mark.usefixtures("made_up")
def test_a_system_that_is_configured_fills_the_roles_of_a_usual_one_that_is_not() -> None:
    offered = registry.system(MADE_UP.name).roles

    filled = default_roles([MADE_UP.name])

    assert {role for role, connection in filled.items() if connection == MADE_UP.name} == set(offered)
    assert default_roles([MADE_UP.name, *default_roles().values()]) == default_roles(), "the usual one comes first"


def test_an_installation_without_any_system_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systems, "entry_points", lambda *, group: [])
    forget_what_was_found()
    try:
        with pytest.raises(ConfigurationError, match="No system is installed"):
            systems.installed()
    finally:
        forget_what_was_found()


def test_who_asks_only_what_is_configured_does_without_requests_and_redis() -> None:
    """The receiver's memory counts."""
    asked = (
        "import sys; from crmsync.settings import Settings; from crmsync.connectors import registry;"
        "registry.in_use(Settings.from_env({'HOME': '/nowhere'}), ());"
        "print({'requests', 'redis', 'marshmallow', 'sqlalchemy'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True).stdout == "set()\n"


# -- installed and used by nobody


@pytest.mark.usefixtures("made_up")
def test_a_system_that_is_only_installed_does_not_degrade_readiness(store: Store) -> None:
    using = Services(Settings.from_env(CONFIGURED), store)

    own = {"store", "broker", "workers", "slack", "connections"}
    assert set(health.check_all(using)) == own | {"salesforce", "s4hana", "zoho_books"}


@pytest.mark.usefixtures("made_up")
def test_nor_is_it_a_line_of_the_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setattr(broker, "problem", lambda settings: None)
    monkeypatch.setattr(broker, "about", lambda settings: {"redis_version": "7.4.0"})
    monkeypatch.setattr(Services, "examine", lambda *_: iter([Check("sign-in", True)]))

    assert "Ledgerly" not in run("doctor").output


@pytest.mark.usefixtures("made_up")
def test_nor_does_the_start_ask_for_it() -> None:
    with pytest.raises(ConfigurationError) as refused:
        up.checked({"HOME": "/nowhere"})

    assert set(refused.value.field_errors) == {"SF_CLIENT_ID", "SAP_BASE_URL", "ZOHO_CLIENT_ID"}
    assert set(up.checked(CONFIGURED).systems) == {"salesforce", "s4hana", "zoho_books"}


@pytest.mark.usefixtures("made_up")
def test_the_configuration_says_that_it_is_not_configured() -> None:
    shown = json.loads(run("config", "--json").output)

    assert (shown["ledgerly"], shown["sap"]) == ("not configured", "not configured")


# -- installed and used


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize(
    ("process", "variable", "is_given"),
    [
        ("worker", "LEDGERLY_CLIENT_SECRET", True),
        ("worker", "LEDGERLY_WEBHOOK_SECRET", False),
        ("web", "LEDGERLY_CLIENT_SECRET", False),
        ("web", "LEDGERLY_WEBHOOK_SECRET", True),
        ("beat", "LEDGERLY_CLIENT_SECRET", False),
    ],
)
def test_its_secrets_reach_the_processes_that_need_them(process: str, variable: str, is_given: bool) -> None:
    given = needs.for_process(process, {variable: "a secret of it"})

    assert given == {variable: "a secret of it" if is_given else needs.WITHHELD}


@pytest.mark.usefixtures("made_up")
def test_its_variables_are_read_and_their_misspellings_told() -> None:
    assert "LEDGERLY_CLIENT_SECRET_FILE" in known_names()
    assert [each.name for each in spelling.unread({"LEDGERLY_SECRETS": "x"})] == ["LEDGERLY_SECRETS"]


@pytest.mark.usefixtures("made_up")
def test_it_is_connected_as_the_connection_that_was_asked_for(store: Store) -> None:
    env = {"LEDGERLY_CLIENT_ID": "abc", "LEDGERLY_CLIENT_SECRET": "secret", "HOME": "/nowhere"}
    settings = Settings.from_env(env)
    token_store: Any = None
    tools = Tools(token_store=token_store, behaviour=settings.behaviour, budget=UNLIMITED)

    made: Any = registry.connect("ledgerly", settings, tools)

    assert made.connection == "ledgerly"
    assert registry.claims(settings)["ledgerly"].identity == "abc"
    assert (registry.title("ledgerly"), label("ledgerly")) == ("Ledgerly", "Ledgerly")
    assert "ledgerly" in health.check_all(Services(settings, store))
