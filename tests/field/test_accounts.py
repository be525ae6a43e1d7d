"""Cases from the field: what is remembered belongs to the account that it came from, and to no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner

from crmsync.celery import _check_or_end
from crmsync.cli.main import cli
from crmsync.connectors.registry import claims
from crmsync.domain.accounts import Account, Claim, place_of, refused_at_start
from crmsync.domain.tokens import AccessToken
from crmsync.errors import (
    AuthenticationError,
    ConfigurationError,
    NotNowError,
    OtherAccountError,
    VendorUnavailableError,
)
from crmsync.lab.sandbox import Sandbox
from crmsync.services import Services
from crmsync.settings import Settings
from tests.system import System, big_sandbox, until

TEST_ORG, PRODUCTION = "00DTT000000TestEAA", "00DPP000000ProdEAA"


@contextmanager
def org(organization: str) -> Iterator[Sandbox]:
    with big_sandbox() as sandbox:
        sandbox.salesforce.organization["Id"] = organization
        yield sandbox


@pytest.fixture(scope="module")
def two_sandboxes() -> Iterator[tuple[Sandbox, Sandbox]]:
    with big_sandbox() as one, big_sandbox() as other:
        yield one, other


def anew(sandbox: Sandbox, organization: str) -> Sandbox:
    sandbox.reset()
    sandbox.salesforce.organization["Id"] = organization
    return sandbox


@pytest.fixture
def test_org(two_sandboxes: tuple[Sandbox, Sandbox]) -> Sandbox:
    return anew(two_sandboxes[0], TEST_ORG)


@pytest.fixture
def production(two_sandboxes: tuple[Sandbox, Sandbox]) -> Sandbox:
    return anew(two_sandboxes[1], PRODUCTION)


Start = Callable[..., Services]


@pytest.fixture
def start(database_url: str, tmp_path: Path, redis_url: str) -> Iterator[Start]:
    """Services as a process makes them, with the environment of a sandbox and changes to it."""
    made = []

    def start(sandbox: Sandbox, **changes: str) -> Services:
        fixed = {"CRMSYNC_HOME": str(tmp_path / "home"), "DATABASE_URL": database_url, "REDIS_URL": redis_url}
        settings = Settings.from_env({**sandbox.environment(), **fixed, **changes})
        _check_or_end(settings)
        made.append(Services.from_settings(settings))
        return made[-1]

    yield start
    for services in made:
        services.store.close()


@pytest.fixture
def redis_url() -> str:
    """A Redis that nobody needs: without one, the budgets let everything through."""
    return "redis://127.0.0.1:1/0"


def work(services: Services) -> None:
    """One call to each system."""
    list(services.company().deals.api.won_deals(datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC)))
    services.company().orders.api.find_orders("SF-006xx0000012abcAAA")
    services.company().invoices.api.find_invoices("SF-006xx0000012abcAAA")


def accounts(services: Services) -> dict[str, str]:
    with services.store.read() as uow:
        return {name: account.identity for name, account in uow.accounts.all(None).items()}


def alerts(services: Services) -> list[str]:
    with services.store.read() as uow:
        return [row.content["headline"] for row in uow.alerts.newest(None, limit=9) if row.closed_at is None]


MOVES = {
    "another SAP system": {"SAP_BASE_URL": "https://s4.example.com"},
    "another SAP client": {"SAP_CLIENT": "200"},
    "another organization of the books": {"ZOHO_ORGANIZATION_ID": "99999"},
    "another data center": {"ZOHO_ACCOUNTS_URL": "https://accounts.zoho.eu"},
    "another organization of the CRM": {"SF_ORGANIZATION_ID": PRODUCTION},
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES.keys())
def test_P1__a_store_that_meets_another_account_says_so_and_stops(
    test_org: Sandbox, start: Start, move: dict[str, str]
) -> None:
    work(start(test_org))
    with pytest.raises(SystemExit, match=r"(?s)belong to different accounts.*This store belongs to .* the credentials"):
        start(test_org, **move)


def test_P1__a_system_behind_another_path_of_one_gateway_is_another_account(test_org: Sandbox, start: Start) -> None:
    work(start(test_org))
    with pytest.raises(SystemExit, match="s4-production"):
        start(test_org, SAP_BASE_URL=f"{test_org.sap.url}/s4-production")


@pytest.mark.parametrize(
    "address",
    [
        "https://S4.Example.com",
        "https://s4.example.com/",
        "https://s4.example.com:443",
        "https://s4.example.com.",
    ],
)
def test_P1__an_address_that_is_written_in_another_way_is_the_same_account(test_org: Sandbox, address: str) -> None:
    def identities(url: str) -> list[str]:
        environment = {**test_org.environment(), "SAP_BASE_URL": url, "ZOHO_ACCOUNTS_URL": url}
        return [claim.identity for claim in claims(Settings.from_env(environment)).values()]

    assert identities(address) == identities("https://s4.example.com")


@pytest.mark.parametrize("variable", ["SAP_BASE_URL", "ZOHO_ACCOUNTS_URL"])
def test_P1__an_account_is_not_shown_with_a_password(test_org: Sandbox, variable: str) -> None:
    address = "https://somebody:a-password@s4.example.com"
    assert "password" not in place_of(address)
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env({**test_org.environment(), variable: address})
    assert "a-password" not in str(caught.value)


def test_P1__a_process_that_asks_no_system_is_refused_as_well(test_org: Sandbox, start: Start) -> None:
    services = start(test_org)
    work(services)
    settings = Settings.from_env({**test_org.environment(), "DATABASE_URL": services.settings.database_url})
    Services.from_settings(settings).store.close()
    moved = {**test_org.environment(), "DATABASE_URL": services.settings.database_url, "SAP_CLIENT": "200"}
    with pytest.raises(ConfigurationError, match="client 200"):
        Services.from_settings(Settings.from_env(moved))


def test_P1__nothing_is_bound_by_credentials_that_never_worked(test_org: Sandbox, start: Start) -> None:
    """Whoever has misspelt a host at the first start only has to correct it."""
    mistaken = start(test_org, SAP_BASE_URL="http://127.0.0.1:1", ZOHO_ACCOUNTS_URL="http://127.0.0.1:1")
    with pytest.raises(VendorUnavailableError):
        mistaken.company().orders.api.find_orders("SF-006xx0000012abcAAA")
    with pytest.raises(VendorUnavailableError):
        mistaken.company().invoices.api.find_invoices("SF-006xx0000012abcAAA")
    services = start(test_org)
    with services.store.begin() as uow:
        uow.breakers.succeeded("zoho_books", "list invoices")  # which would look again by itself, within seconds
    work(services)
    assert set(accounts(services)) == {"salesforce", "s4hana", "zoho_books"}


def crm_of(sandbox: Sandbox) -> dict[str, str]:
    found = {name: value for name, value in sandbox.environment().items() if name.startswith("SF_")}
    return found | {"SF_ORGANIZATION_ID": ""}


def test_P1__another_organization_is_found_at_the_start_where_only_a_sign_in_tells_it(
    test_org: Sandbox, production: Sandbox, start: Start
) -> None:
    services = start(test_org, SF_ORGANIZATION_ID="")
    work(services)
    before = kept_token(services)
    with pytest.raises(SystemExit, match=r"organization 00DTT000000Test, .* organization 00DPP000000Prod"):
        start(test_org, **crm_of(production))
    assert kept_token(services) == before, "a token of another organization was kept"
    assert alerts(services) == ["Salesforce is another account now"]


def kept_token(services: Services) -> AccessToken | None:
    return services._tokens().read("salesforce")


@pytest.mark.parametrize("named", ["", TEST_ORG])
def test_P1__the_alert_ends_when_the_credentials_of_before_come_back(
    test_org: Sandbox, production: Sandbox, start: Start, named: str
) -> None:
    """Although the token of before is still good, so that nobody signs in."""
    services = start(test_org, SF_ORGANIZATION_ID=named)
    work(services)
    with pytest.raises(SystemExit):
        start(test_org, **crm_of(production))
    assert alerts(services) == ["Salesforce is another account now"]
    work(start(test_org, SF_ORGANIZATION_ID=named))
    assert alerts(services) == []


def test_P1__no_system_is_worked_with_before_changed_credentials_are_confirmed(
    test_org: Sandbox, production: Sandbox, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that could not ask at its start must not order, either, what the test org's deal says."""
    work(start(test_org, SF_ORGANIZATION_ID=""))
    test_org.faults.add("salesforce", "down", "token", times=1)
    production.faults.add("salesforce", "down", "token", times=2)
    services = start(test_org, **crm_of(production))  # the first fault lets it start
    with pytest.raises(NotNowError, match="must be confirmed first"):
        services.company().orders.api.find_orders("SF-006xx0000012abcAAA")
    for _ in range(2):
        with pytest.raises(OtherAccountError):
            services.company().orders.api.find_orders("SF-006xx0000012abcAAA")
    assert alerts(services) == ["Salesforce is another account now"]


def test_P1__a_sandbox_that_was_refreshed_is_another_organization(start: Start) -> None:
    """The credentials are the same; the token that ends is the moment at which it shows."""
    with org(TEST_ORG) as sandbox:
        services = start(sandbox, SF_ORGANIZATION_ID="")
        work(services)
        sandbox.salesforce.organization["Id"] = PRODUCTION
        sandbox.expire_tokens("salesforce")
        calls = sandbox.calls()["salesforce"]["overhead"]
        for _ in range(3):
            with pytest.raises(OtherAccountError, match="organization 00DPP000000Prod"):
                work(services)
        assert sandbox.calls()["salesforce"]["overhead"] == calls + 1, "each attempt signed in again"
        assert alerts(services) == ["Salesforce is another account now"]


def test_P1__an_organization_under_another_address_is_the_same_account(start: Start) -> None:
    with org(TEST_ORG) as before, org(TEST_ORG) as after:
        work(start(before, SF_ORGANIZATION_ID=""))
        services = start(before, **crm_of(after))
        work(services)
        assert accounts(services)["salesforce"] == "organization 00DTT000000Test"


@pytest.mark.parametrize("changed", ["SF_CLIENT_ID", "SF_USERNAME", "SAP_CLIENT_SECRET", "ZOHO_CLIENT_SECRET"])
def test_P1__a_token_is_never_used_with_other_credentials(test_org: Sandbox, start: Start, changed: str) -> None:
    """So the doctor finds out that they are wrong, although a good token is at hand."""
    work(start(test_org))
    services = start(test_org, **{changed: "wrong-credentials"})
    connection = {"SF": "salesforce", "SAP": "s4hana", "ZOHO": "zoho_books"}[changed.partition("_")[0]]
    with pytest.raises(AuthenticationError):
        work(services)
    assert not services.connector(connection).check()[0].is_ok


def test_P1__each_command_that_is_advised_can_be_pasted() -> None:
    told = refused_at_start(
        {name: Claim(name, "new", ()) for name in ("s4hana", "zoho_books")},
        {name: Account(name, "old", "", datetime.now(UTC)) for name in ("s4hana", "zoho_books")},
    )

    assert told is not None
    assert "`crmsync accounts adopt s4hana` and `crmsync accounts adopt zoho_books`" in (told.advice or "")


def test_P1__a_person_may_say_that_it_is_the_same_account(
    test_org: Sandbox, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = start(test_org)
    work(services)
    address = test_org.sap.url.replace("127.0.0.1", "localhost")
    moved = {"SAP_BASE_URL": address, "DATABASE_URL": services.settings.database_url}
    for name, value in {**test_org.environment(), **moved}.items():
        monkeypatch.setenv(name, value)
    refused = CliRunner().invoke(cli, ["runs", "list"])
    assert refused.exit_code == 2
    assert "crmsync accounts adopt s4hana" in " ".join(refused.output.split())
    adopted = CliRunner().invoke(cli, ["accounts", "adopt", "s4hana", "--yes"])
    assert adopted.exit_code == 0, adopted.output
    work(start(test_org, **moved))
    assert accounts(services)["s4hana"].startswith("localhost:")


def test_P1__a_person_may_say_so_of_an_organization(
    test_org: Sandbox, production: Sandbox, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = start(test_org, SF_ORGANIZATION_ID="")
    work(services)
    for name, value in {**test_org.environment(), **crm_of(production)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DATABASE_URL", services.settings.database_url)
    adopted = CliRunner().invoke(cli, ["accounts", "adopt", "salesforce"], input="y\n")
    assert adopted.exit_code == 0, adopted.output
    assert accounts(services)["salesforce"] == "organization 00DPP000000Prod"
    assert kept_token(services) is None
    listed = CliRunner().invoke(cli, ["accounts", "list", "--json"])
    assert "00DPP000000Prod" in listed.output


def test_P1__an_installation_from_before_is_bound_to_what_it_works_with_now(test_org: Sandbox, start: Start) -> None:
    services = start(test_org, SF_ORGANIZATION_ID="")
    with services.store.begin() as uow:
        uow.tokens.begin_renewal("salesforce", seconds=1)
        old = services.vault.seal("00DOO0000000000!of an earlier release")
        kept = {"value": old, "instance_url": "http://127.0.0.1:1", "credentials": ""}
        uow.tokens.save("salesforce", expires_at=uow.now + timedelta(hours=1), **kept)
    work(services)
    assert accounts(services) == {
        "salesforce": "organization 00DTT000000Test",
        "s4hana": f"127.0.0.1:{test_org.sap.url.rpartition(':')[2]}, the default client",
        "zoho_books": f"organization {test_org.profile.zoho.organization_id} at {test_org.zoho.url.partition('//')[2]}",
    }


def test_P1__an_environment_that_contradicts_its_own_sign_in_is_refused(test_org: Sandbox, start: Start) -> None:
    services = start(test_org, SF_ORGANIZATION_ID=PRODUCTION)
    with pytest.raises(OtherAccountError, match="The environment names Salesforce organization 00DPP000000Prod"):
        work(services)
    assert "salesforce" not in accounts(services)


@pytest.mark.acceptance
def test_P1__a_deal_of_the_test_org_is_never_billed_in_production(tmp_path: Path) -> None:
    """Both orgs have a deal of one id. The one of the test org waits for its order when the credentials move."""
    with org(TEST_ORG) as test_org, org(PRODUCTION) as production:
        deal = test_org.deals.create("Acme Ltd", amount=Decimal("100.00"))
        twin = production.deals.create("Acme Ltd", amount=Decimal("9900.00"))
        assert deal.id == twin.id
        test_org.faults.add("sap", "down")
        with System(tmp_path, test_org) as system:
            system.start("web", "worker")
            assert system.close(deal.id) == 200
            until(lambda: system.run_of(deal).results.get("fetch_deal"), what="the deal of the test org is read")
        with System(tmp_path, production) as system:
            assert system.start("worker").processes.pop("worker").wait(60) != 0
            assert system.run("crmsync", "doctor").returncode == 1
            assert "This store belongs to" in system.run("crmsync", "doctor").stdout
            assert production.ledger()["orders"] == production.ledger()["invoices"] == []
