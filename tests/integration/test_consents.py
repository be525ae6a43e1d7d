"""Consent in the browser from end to end: the API, the stand-ins' pages, the way back, and a worker's exchange."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit, urlunsplit

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from crmsync import people
from crmsync.connection_trial import try_out
from crmsync.consent_exchange import exchange
from crmsync.domain.access import Role
from crmsync.domain.audit import Act, Origin
from crmsync.domain.consents import fingerprint
from crmsync.errors import CrmsyncError
from crmsync.lab.sandbox import Sandbox
from crmsync.lab.sandbox.world import LOAD
from crmsync.services import Services
from crmsync.store import tables
from crmsync.web.app import create_app
from crmsync.worker import consents as work
from tests.fakes import FakeClock

ADA = Act("ada", Origin.CLI)
CALLBACK = "https://crm.acme.test/api/erp/oauth/callback"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(companies=2, **LOAD) as made:
        yield made


@pytest.fixture(autouse=True)
def environment(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CRMSYNC_ALLOW_HTTP", "CRMSYNC_ALLOW_PRIVATE_ADDRESSES"):
        monkeypatch.setenv(name, "true")
    monkeypatch.setenv("CRMSYNC_PUBLIC_URL", "https://crm.acme.test")
    monkeypatch.setenv("CRMSYNC_DEFAULT_CURRENCY", "USD")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")  # nobody counts here how often somebody asks


@dataclass
class Office:
    """Somebody with a token of a tenant, and a browser without one. A worker has finished before a page is shown."""

    services: Services
    sandbox: Sandbox
    api: FlaskClient
    browser: FlaskClient
    tenant: str
    sent: list[str]

    def make(self, name: str = "salesforce", **more: str) -> str:
        """A connection to an account of the sandbox that lacks what consent brings. Returns its id."""
        account = self.sandbox.accounts[name]
        held = {**account.secrets(), "client_secret": account.profile.client_secret}
        lacks = ("private_key", "refresh_token")
        settings = {key: value for key, value in account.settings().items() if key != "username"}
        body = {
            "erp_system": account.system,
            "name": name,
            "auth_kind": "refresh_token",
            "settings": {**settings, **more},
            "secrets": {key: value for key, value in held.items() if key not in lacks},
        }
        made = self.api.post("/api/erp/connections", json=body)
        assert made.status_code == 201, made.text
        return str(made.get_json()["id"])

    def authorize(self, of: str) -> str:
        answer = self.api.get(f"/api/erp/connections/{of}/authorize")
        assert answer.status_code == 200, answer.text
        return str(answer.get_json()["authorize_url"])

    def come_back(self, address: str) -> TestResponse:
        """The browser follows the redirect of the system."""
        parts = urlsplit(address)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == CALLBACK
        return self.browser.get(f"{parts.path}?{parts.query}")

    def shown(self, of: str) -> dict[str, Any]:
        return dict(self.api.get(f"/api/erp/connections/{of}").get_json())


@pytest.fixture
def office(services: Services, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Office]:
    app, sent = create_app(services), []

    def send(using: Services, request: Any) -> None:
        sent.append(request.id)
        exchange(using, request.id)

    monkeypatch.setattr(work, "send", send)

    def of(tenant: str = "acme", role: Role = Role.ADMIN) -> Office:
        return Office(services, sandbox, _api(app, services, tenant, role), app.test_client(), tenant, sent)

    return of


def _api(app: Flask, services: Services, tenant: str, role: Role) -> FlaskClient:
    with services.store.begin() as uow:
        made = people.create_token(uow, ADA, name=f"{role} of {tenant}", role=role, tenant=tenant)
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {made.text}"
    return client


def consent(page: str, decision: str = "Allow") -> str:
    """What a person does at the page: read it, choose. Returns where the browser is sent."""
    shown = requests.get(page, timeout=5)
    assert shown.status_code == 200, shown.text
    fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', shown.text.replace("&amp;", "&")))
    fields.pop("decision")
    bare = page.partition("?")[0]
    chosen = requests.get(bare, params={**fields, "decision": decision}, timeout=5, allow_redirects=False)
    assert chosen.status_code == 302, chosen.text
    return chosen.headers["Location"]


def with_query(address: str, **changed: str | None) -> str:
    parts = urlsplit(address)
    found = {**dict(parse_qsl(parts.query)), **changed}
    kept = urlencode({name: value for name, value in found.items() if value is not None})
    return urlunsplit(parts._replace(query=kept))


def parameter(address: str, name: str) -> str:
    return parse_qs(urlsplit(address).query)[name][0]


def dump(services: Services) -> str:
    with services.store.read() as uow:
        return str(
            [
                [tuple(row) for row in uow.connection.execute(table.select())]
                for table in tables.metadata.tables.values()
            ]
        )


@pytest.mark.parametrize("name", ["salesforce", "zoho"])
def test_a_connection_works_once_somebody_has_consented(
    office: Callable[..., Office], services: Services, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.DEBUG, logger="crmsync")
    at = office()
    of = at.make(name)
    assert at.shown(of)["status"] == "inactive"
    refused = at.api.post(f"/api/erp/connections/{of}/resume", json={})
    assert refused.status_code == 409
    assert f"crmsync connections authorize {of}" in refused.get_json()["detail"]

    page = at.authorize(of)
    back = consent(page)
    answer = at.come_back(back)

    assert answer.status_code == 200, answer.text
    assert "crmsync is connected" in answer.text
    shown = at.shown(of)
    assert (shown["status"], "refresh_token" in shown["secrets_set"], shown["version"]) == ("active", True, 2)
    assert try_out(services, "acme", of).message == "It signs in, and everything that runs need is there."
    with services.store.read() as uow:
        entry = next(each for each in uow.audit.newest(None, limit=5) if each.verb == "consent")
    assert (entry.name, entry.tenant, entry.object_key) == ("admin of acme", "acme", of)
    secret = services.book.get(of).settings.refresh_token.reveal()
    told = caplog.text + answer.text + dump(services)
    for each in (secret, parameter(back, "code"), parameter(page, "state")):
        assert each not in told


def test_what_a_page_is_asked_is_what_the_rules_of_oauth_want(office: Callable[..., Office]) -> None:
    at = office()
    salesforce, zoho = at.authorize(at.make("salesforce")), at.authorize(at.make("zoho"))

    assert len(parameter(salesforce, "state")) >= 43
    assert parameter(salesforce, "code_challenge_method") == "S256"
    assert len(parameter(salesforce, "code_challenge")) == 43
    assert parameter(salesforce, "scope") == "api refresh_token"
    assert parameter(salesforce, "redirect_uri") == CALLBACK
    assert (parameter(zoho, "access_type"), parameter(zoho, "prompt")) == ("offline", "consent")
    assert parameter(zoho, "scope").startswith("ZohoBooks.settings.READ,")
    assert "code_challenge" not in zoho


def test_a_browser_is_sent_to_the_page_itself(office: Callable[..., Office]) -> None:
    at = office()
    address = f"/api/erp/connections/{at.make()}/authorize"

    by_query = at.api.get(f"{address}?redirect=true")
    by_accept = at.api.get(address, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})

    for each in (by_query, by_accept):
        assert each.status_code == 303
        assert each.headers["Location"].startswith(at.sandbox.accounts["salesforce"].url)
        assert each.headers["Cache-Control"] == "no-store"


def test_a_person_who_denies_is_told_so_and_nothing_has_changed(office: Callable[..., Office]) -> None:
    at = office()
    of = at.make()

    answer = at.come_back(consent(at.authorize(of), "Deny"))

    assert answer.status_code == 400
    assert "Consent was refused, so nothing has changed." in answer.text
    assert (at.shown(of)["status"], at.sent) == ("inactive", [])


# -- who attacks it


def test_a_state_is_good_once(office: Callable[..., Office]) -> None:
    at = office()
    back = consent(at.authorize(at.make()))
    assert at.come_back(back).status_code == 200

    again = at.come_back(back)

    assert again.status_code == 400
    assert "used already" in again.text
    assert len(at.sent) == 1


@pytest.mark.parametrize("state", ["", "short", "A" * 43, "A" * 5000, "'; DROP TABLE consents; --"])
def test_a_state_that_nobody_has_acts_on_nothing(office: Callable[..., Office], services: Services, state: str) -> None:
    at = office()
    at.authorize(at.make())
    before = dump(services)

    answer = at.browser.get(f"/api/erp/oauth/callback?{urlencode({'state': state, 'code': 'x'})}")

    assert answer.status_code == 400
    assert dump(services) == before


def test_a_callback_after_ten_minutes_is_too_late(office: Callable[..., Office], clock: FakeClock) -> None:
    at = office()
    of = at.make()
    back = consent(at.authorize(of))
    clock.advance(601)

    answer = at.come_back(back)

    assert answer.status_code == 400
    assert at.sent == []
    assert at.shown(of)["status"] == "inactive"


def test_a_state_of_another_tenants_connection_changes_only_that_connection(office: Callable[..., Office]) -> None:
    ours, theirs = office("acme"), office("globex")
    of, other = ours.make("salesforce"), theirs.make("salesforce-2")

    assert ours.api.get(f"/api/erp/connections/{other}/authorize").status_code == 404
    stolen = with_query(consent(ours.authorize(of)), state=parameter(theirs.authorize(other), "state"))
    answer = ours.come_back(stolen)

    assert answer.status_code == 400, "the code is of another client: the vendor does not take it"
    assert ours.shown(of)["status"] == theirs.shown(other)["status"] == "inactive"


def test_a_code_of_another_connection_of_the_same_app_is_not_taken(office: Callable[..., Office]) -> None:
    """Injected into a flow of one's own: PKCE's verifier is another."""
    at = office()
    of = at.make("salesforce")
    with_code, with_state = consent(at.authorize(of)), at.authorize(of)

    answer = at.come_back(with_query(with_code, state=parameter(with_state, "state")))

    assert answer.status_code == 400
    assert at.shown(of)["status"] == "inactive"
    assert "does not take the code" in at.shown(of)["last_error"]


def test_a_page_that_was_asked_with_another_address_to_come_back_to_gets_no_token(
    office: Callable[..., Office],
) -> None:
    at = office()
    of = at.make()
    back = consent(with_query(at.authorize(of), redirect_uri="https://mallory.example/callback"))

    answer = at.browser.get(f"/api/erp/oauth/callback?{urlsplit(back).query}")

    assert answer.status_code == 400
    assert at.shown(of)["status"] == "inactive"


def test_without_the_verifier_nothing_is_exchanged(office: Callable[..., Office], services: Services) -> None:
    at = office()
    of = at.make()
    back = consent(at.authorize(of))
    mine = tables.consents.c.state_hash == fingerprint(parameter(back, "state"))
    with services.store.begin() as uow:
        uow.connection.execute(update(tables.consents).where(mine).values(sealed=""))

    answer = at.come_back(back)

    assert answer.status_code == 400
    assert at.sent == []


def test_a_connection_that_was_changed_meanwhile_gets_no_code(
    office: Callable[..., Office], services: Services
) -> None:
    """Else who may change it could have the code sent to an address of their own."""
    at = office()
    of = at.make()
    back = consent(at.authorize(of))
    other = at.sandbox.accounts["salesforce-2"]
    settings = {**at.shown(of)["settings"], "login_url": other.settings()["login_url"]}
    body = {"settings": settings, "secrets": {"client_secret": "x", "webhook_secret": "a-webhook-secret"}}
    changed = at.api.put(f"/api/erp/connections/{of}", json=body, headers={"If-Match": "*"})
    assert changed.status_code == 200, changed.text

    answer = at.come_back(back)

    assert answer.status_code == 400
    assert "was changed since" in answer.text
    assert at.sent == []


def test_an_answer_of_another_server_is_not_taken(office: Callable[..., Office]) -> None:
    """RFC 9207's `iss`, and Zoho's own way to say it, which a user of another data centre meets."""
    at = office()
    for name, said in (("salesforce", "iss"), ("zoho", "accounts-server")):
        of = at.make(name)
        back = with_query(consent(at.authorize(of)), **{said: "https://mallory.example"})

        answer = at.come_back(back)

        assert answer.status_code == 400
        assert "another server" in answer.text
        assert at.shown(of)["status"] == "inactive"
    assert at.sent == []


def test_a_consent_of_another_account_is_refused(office: Callable[..., Office], services: Services) -> None:
    at = office()
    of = at.make("salesforce")
    with services.store.begin() as uow:
        uow.accounts.confirm(of, identity="organization 00D000000000999", credentials="x")
    before = services.book.get(of).settings.refresh_token

    answer = at.come_back(consent(at.authorize(of)))

    assert answer.status_code == 400
    assert "00D000000000999" in answer.text
    services.book.forget(of)
    assert services.book.get(of).settings.refresh_token == before
    assert at.shown(of)["status"] == "inactive"


def test_somebody_of_another_organisation_of_zoho_can_not_consent(office: Callable[..., Office]) -> None:
    at = office()
    of = at.make("zoho", organization_id="999")

    answer = at.come_back(consent(at.authorize(of)))

    assert answer.status_code == 400
    assert "is not in the organization 999" in answer.text


def test_a_message_that_comes_again_exchanges_nothing(office: Callable[..., Office], services: Services) -> None:
    at = office()
    of = at.make()
    at.come_back(consent(at.authorize(of)))
    before = dump(services)

    exchange(services, at.sent[0])
    exchange(services, "cst_unknown")

    assert dump(services) == before


def test_a_link_that_is_only_looked_at_uses_nothing_up(office: Callable[..., Office]) -> None:
    at = office()
    back = consent(at.authorize(at.make()))

    assert at.browser.head(f"/api/erp/oauth/callback?{urlsplit(back).query}").status_code == 204
    assert at.come_back(back).status_code == 200


# -- who can't be asked


def test_what_has_no_page_says_so(office: Callable[..., Office], services: Services, monkeypatch: Any) -> None:
    at = office()
    sap = at.sandbox.accounts["sap"]
    body = {"erp_system": "s4hana", "name": "ERP", "settings": sap.settings(), "secrets": sap.secrets()}
    erp = at.api.post("/api/erp/connections", json=body).get_json()["id"]

    answer = at.api.get(f"/api/erp/connections/{erp}/authorize")

    assert (answer.status_code, answer.get_json()["type"]) == (409, "urn:crmsync:problem:no-consent-page")
    assert "has no page for consent" in answer.get_json()["detail"]


def test_without_a_public_address_the_variable_is_named(office: Callable[..., Office], services: Services) -> None:
    at = office()
    of = at.make()
    services.settings = replace(services.settings, public_url="")

    answer = at.api.get(f"/api/erp/connections/{of}/authorize")

    assert answer.status_code == 409
    assert "CRMSYNC_PUBLIC_URL" in answer.get_json()["detail"]


def test_only_an_admin_asks_for_consent(office: Callable[..., Office]) -> None:
    of = office().make()

    assert office(role=Role.OPERATOR).api.get(f"/api/erp/connections/{of}/authorize").status_code == 403


def test_the_code_is_thrown_away_when_it_is_used(office: Callable[..., Office], services: Services) -> None:
    at = office()
    at.come_back(consent(at.authorize(at.make())))

    with services.store.read() as uow:
        (row,) = uow.connection.execute(select(tables.consents)).all()
    assert (row.status, row.sealed) == ("done", "")


# -- when it ends


@pytest.mark.parametrize("name", ["salesforce", "zoho"])
def test_a_consent_that_is_taken_back_shows_and_can_be_given_again(
    office: Callable[..., Office], services: Services, sandbox: Sandbox, name: str
) -> None:
    """Said by whatever call meets it; and said once, however many do."""
    at = office()
    of = at.make(name)
    at.come_back(consent(at.authorize(of)))
    account = sandbox.accounts[name]
    (account.oauth if name == "salesforce" else account.accounts).revoke()

    for _ in range(2):
        with pytest.raises(CrmsyncError):
            work_with(services, of)
    shown = at.shown(of)

    assert shown["status"] == "expired"
    assert shown["last_error"].startswith(f"{services.system_of(of)} refused to sign in")
    assert at.come_back(consent(at.authorize(of))).status_code == 200
    work_with(services, of)
    assert at.shown(of)["status"] == "active"


def test_another_refusal_is_an_error_and_is_over_with_the_next_call(
    office: Callable[..., Office], services: Services, sandbox: Sandbox, clock: FakeClock
) -> None:
    at = office()
    of = at.make("zoho")
    at.come_back(consent(at.authorize(of)))
    services.book.forget(of)
    account = sandbox.accounts["zoho"]
    secret, account.profile.client_secret = account.profile.client_secret, "another"
    try:
        with pytest.raises(CrmsyncError):
            work_with(services, of)
    finally:
        account.profile.client_secret = secret
    assert at.shown(of)["status"] == "error"
    at_first = at.shown(of)["last_error_at"]

    clock.advance(3600)
    work_with(services, of)

    assert (at.shown(of)["status"], at.shown(of)["last_error_at"]) == ("active", at_first)


def work_with(services: Services, of: str) -> None:
    """As a run does: one call of the connection."""
    connector: Any = services.connector(of)
    if hasattr(connector, "read_time_zone"):
        connector.read_time_zone()
    else:
        list(connector.won_deals(services.store.clock() - timedelta(days=1), services.store.clock()))


def test_that_a_consent_has_ended_is_written_once(
    office: Callable[..., Office], services: Services, clock: FakeClock
) -> None:
    at = office()
    of = at.make("zoho")
    at.come_back(consent(at.authorize(of)))
    services._barred(of, "It has ended.", "invalid_grant")
    first = at.shown(of)

    clock.advance(60)
    services._barred(of, "It has ended.", "invalid_grant")

    assert (first["status"], first["last_error"]) == ("expired", "It has ended.")
    assert at.shown(of) == first
