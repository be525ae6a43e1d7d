"""SAP S/4HANA with a recorded other side; every request that a test sends is checked against SAP's metadata."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import responses

from crmsync.connectors.s4hana.client import S4Hana, connect
from crmsync.connectors.s4hana.settings import SapSettings
from crmsync.connectors.signing_in.auth import TokenStore
from crmsync.connectors.system import Tools
from crmsync.settings import Behaviour, Settings

from . import specs

HOST = "https://my300000-api.s4hana.test"
PARTNERS = f"{HOST}/sap/opu/odata/sap/API_BUSINESS_PARTNER"
ORDERS = f"{HOST}/sap/opu/odata/sap/API_SALES_ORDER_SRV"
STOCK = f"{HOST}/sap/opu/odata/sap/API_MATERIAL_STOCK_SRV"
PRODUCTS = f"{HOST}/sap/opu/odata/sap/API_PRODUCT_SRV"
SIMULATION = f"{HOST}/sap/opu/odata/sap/API_SALES_ORDER_SIMULATION_SRV"

Build = Callable[..., S4Hana]


class Sap(responses.RequestsMock):
    """The other side. Each answer is given once, in the order of registration."""

    def answers(self, method: str, url: str, content: Any = None, *, status: int = 200, **more: Any) -> None:
        json_content = {"json": content} if content is not None else {}
        self.add(method, url, status=status, **json_content, **more)

    def gives_token(self, service: str, token: str = "token-1", *cookies: str) -> None:
        headers = [("x-csrf-token", token)]
        for cookie in cookies or ("SAP_SESSIONID_T_100=one",):
            headers.append(("Set-Cookie", f"{cookie}; path=/; secure; HttpOnly"))
        self.answers("GET", f"{service}/", {"d": {"EntitySets": []}}, headers=headers)

    @property
    def sent(self) -> list[requests.PreparedRequest]:
        return [call.request for call in self.calls]

    def bodies(self) -> list[Any]:
        return [json.loads(request.body) for request in self.sent if request.method == "POST"]

    def queries(self) -> list[dict[str, str]]:
        return [
            {name: values[0] for name, values in parse_qs(urlsplit(request.url or "").query).items()}
            for request in self.sent
        ]


@pytest.fixture
def sap() -> Iterator[Sap]:
    with Sap(assert_all_requests_are_fired=True) as mock:
        yield mock
        sent = [request for request in mock.sent if "/odata/" in (request.url or "")]
    if specs.is_available():
        assert [problem for request in sent for problem in specs.problems(request)] == []


class NoTokens(TokenStore):
    """For connections that sign in with a password."""


@pytest.fixture
def build() -> Build:
    """Builds the connector for a user and a password, with other settings where a test names them."""
    return lambda **changes: connect(
        "s4hana", settings(**changes), Tools(token_store=NoTokens(), behaviour=behaviour())
    )


def settings(**changes: Any) -> SapSettings:
    env: Mapping[str, str] = {
        "SAP_BASE_URL": HOST,
        "SAP_AUTH": "basic",
        "SAP_USER": "CRMSYNC",
        "SAP_PASSWORD": "pass-word",
        "SAP_SALES_ORGANIZATION": "1010",
    }
    found = Settings.from_env({"HOME": "/nowhere", **env}).systems.get("s4hana")
    assert found is not None
    return replace(found, **changes)


def behaviour() -> Behaviour:
    return Settings.from_env({"HOME": "/nowhere"}).behaviour
