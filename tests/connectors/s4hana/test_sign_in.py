"""Signing in by password or token."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from crmsync.connectors.s4hana.client import connect
from crmsync.connectors.signing_in.auth import Fetch
from crmsync.connectors.system import Tools
from crmsync.domain.tokens import AccessToken, RenewalLimit
from crmsync.settings import Secret, Settings

from ..conftest import LoadFixture
from .conftest import HOST, ORDERS, Build, Sap, behaviour, settings

TOKEN_URL = f"{HOST}/sap/bc/sec/oauth2/token"
ORDER = f"{ORDERS}/A_SalesOrder('4711')"


class Memory:
    """A token store of one process."""

    def __init__(self) -> None:
        self.tokens: dict[str, AccessToken] = {}

    def read(self, connection: str) -> AccessToken | None:
        return self.tokens.get(connection)

    def renew(self, connection: str, *, stale: str | None, fetch: Fetch, limit: RenewalLimit | None) -> AccessToken:
        self.tokens[connection] = fetch()
        return self.tokens[connection]


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def by_oauth(store: Memory) -> Any:
    oauth = {"auth": "oauth2", "client_id": "CRMSYNC", "client_secret": Secret("s3cret"), "token_url": TOKEN_URL}
    return connect("s4hana", settings(**oauth), Tools(token_store=store, behaviour=behaviour()))


def test_a_password_is_sent_with_every_call(sap: Sap, build: Build, fixture: LoadFixture) -> None:
    sap.answers("GET", ORDER, fixture("order__read"))

    build().read_order("4711")

    assert sap.sent[0].headers["Authorization"] == basic("CRMSYNC", "pass-word")


def test_a_token_is_fetched_with_client_credentials(sap: Sap, fixture: LoadFixture) -> None:
    store = Memory()
    sap.answers("POST", TOKEN_URL, {"access_token": "abc", "token_type": "Bearer", "expires_in": 3600})
    sap.answers("GET", ORDER, fixture("order__read"))

    by_oauth(store).read_order("4711")

    token_call, call = sap.sent
    assert token_call.headers["Authorization"] == basic("CRMSYNC", "s3cret")
    assert "grant_type=client_credentials" in str(token_call.body)
    assert call.headers["Authorization"] == "Bearer abc"
    assert list(store.tokens) == ["s4hana"]


def test_a_refused_token_is_renewed_once(sap: Sap, fixture: LoadFixture) -> None:
    sap.answers("POST", TOKEN_URL, {"access_token": "old", "token_type": "Bearer"})
    sap.answers("GET", ORDER, None, status=401)
    sap.answers("POST", TOKEN_URL, {"access_token": "new", "token_type": "Bearer"})
    sap.answers("GET", ORDER, fixture("order__read"))

    by_oauth(Memory()).read_order("4711")

    assert sap.sent[-1].headers["Authorization"] == "Bearer new"


def test_nor_ask_for_a_token_again_and_again(sap: Sap) -> None:
    sap.answers("POST", TOKEN_URL, {"error": "invalid_client"}, status=401)

    (check,) = by_oauth(Memory()).check()

    assert "refused to sign in" in check.detail
    assert "s3cret" not in check.detail


def test_a_tax_category_needs_the_country_that_goods_are_sent_from() -> None:
    env = {
        "HOME": "/nowhere",
        "SAP_BASE_URL": HOST,
        "SAP_CLIENT_ID": "c",
        "SAP_CLIENT_SECRET": "s",
        "SAP_SALES_ORGANIZATION": "1010",
        "SAP_CUSTOMER_TAX_CATEGORY": "TTX1",
        "SAP_LOCK_CODES": "V1/1 R1/2",
    }

    with pytest.raises(Exception, match="SAP_DEPARTURE_COUNTRY"):
        Settings.from_env(env)

    sap = Settings.from_env({**env, "SAP_DEFAULT_COUNTRY": "DE"}).systems.get("s4hana")
    assert sap is not None
    assert (sap.departure_country, sap.lock_codes) == ("DE", ("V1/1", "R1/2"))
