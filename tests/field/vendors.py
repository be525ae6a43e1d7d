"""The connectors as a process has them, against a server of the test's own; and answers as the vendors give them."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from crmsync.companies import usage_of
from crmsync.connectors.base import Check
from crmsync.connectors.limits.budget import UNLIMITED, Budget
from crmsync.connectors.s4hana import client as s4hana
from crmsync.connectors.s4hana.client import S4Hana
from crmsync.connectors.salesforce.client import Salesforce
from crmsync.connectors.system import Tools
from crmsync.connectors.way_out.transport import new_session
from crmsync.connectors.zoho_books.client import ZohoBooks
from crmsync.settings import Settings
from tests.builders import private_pem
from tests.fakes import Signed
from tests.field.raw_server import answer

DEAL = "006xx0000012abcAAA"
DEAL_PATH = f"/services/data/v68.0/sobjects/Opportunity/{DEAL}"
QUERY_PATH = "/services/data/v68.0/query"
SAP_ROOT = "/sap/opu/odata/sap"
ORDER_SERVICE = f"{SAP_ROOT}/API_SALES_ORDER_SRV/"
ORDERS = f"{ORDER_SERVICE}A_SalesOrder"
PARTNER_SERVICE = f"{SAP_ROOT}/API_BUSINESS_PARTNER/"
PARTNERS = f"{PARTNER_SERVICE}A_BusinessPartner"
BOOKS = "/books/v3"


def json_answer(content: Any, status: str = "200 OK", *headers: str) -> bytes:
    return answer(json.dumps(content).encode(), status, headers)


def csrf_token(value: str = "token-1") -> bytes:
    return json_answer({"d": {"EntitySets": []}}, "200 OK", f"x-csrf-token: {value}")


def sap_refusal(code: str, text: str, *details: tuple[str, str], status: str = "400 Bad Request") -> bytes:
    """An error answer of SAP; *details* are code and text of what it lists inside."""
    inner = [{"code": code, "message": text, "severity": "error", "target": ""} for code, text in details]
    error = {"code": code, "message": {"lang": "en", "value": text}, "innererror": {"errordetails": inner}}
    return json_answer({"error": error}, status)


def salesforce_refusal(code: str, text: str, *, status: str = "400 Bad Request", **more: Any) -> bytes:
    return json_answer([{"message": text, "errorCode": code, **more}], status)


class NoStore:
    """For connections that sign in with a password."""


def sap(url: str, budget: Budget = UNLIMITED, **changes: Any) -> S4Hana:
    env = {
        "SAP_BASE_URL": url,
        "SAP_AUTH": "basic",
        "SAP_USER": "CRMSYNC",
        "SAP_PASSWORD": "pass-word",
        "SAP_SALES_ORGANIZATION": "1010",
    }
    settings = Settings.from_env({"HOME": "/nowhere", **env, **changes})
    assert settings.systems.get("s4hana") is not None
    store: Any = NoStore()
    return s4hana.connect(
        "s4hana",
        settings.systems["s4hana"],
        Tools(token_store=store, behaviour=settings.behaviour, budget=budget),
    )


def salesforce(url: str, budget: Budget = UNLIMITED, authorizer: Any = None, **changes: Any) -> Salesforce:
    """Signed in at *url*, unless another *authorizer* is given."""
    env = {
        "SF_LOGIN_URL": url,
        "SF_CLIENT_ID": "client",
        "SF_USERNAME": "user",
        "SF_PRIVATE_KEY": private_pem(),
        "CRMSYNC_DEFAULT_CURRENCY": "USD",
    }
    settings = Settings.from_env({"HOME": "/nowhere", **env, **changes})
    assert settings.systems.get("salesforce") is not None
    return Salesforce(
        session=new_session(),
        authorizer=authorizer or Signed(url),
        settings=settings.systems.get("salesforce"),
        behaviour=settings.behaviour,
        budget=budget,
        usage=partial(usage_of, settings.behaviour),
    )


def zoho(url: str, budget: Budget = UNLIMITED, authorizer: Any = None, **changes: Any) -> ZohoBooks:
    env = {
        "ZOHO_ACCOUNTS_URL": url,
        "ZOHO_API_URL": url,
        "ZOHO_CLIENT_ID": "client",
        "ZOHO_CLIENT_SECRET": "secret",
        "ZOHO_REFRESH_TOKEN": "refresh",
        "ZOHO_ORGANIZATION_ID": "10",
    }
    settings = Settings.from_env({"HOME": "/nowhere", **env, **changes})
    assert settings.systems.get("zoho_books") is not None
    return ZohoBooks(
        session=new_session(),
        authorizer=authorizer or Signed(url),
        settings=settings.systems.get("zoho_books"),
        behaviour=settings.behaviour,
        budget=budget,
        usage=partial(usage_of, settings.behaviour),
    )


def zoho_check(url: str, api_domain: str) -> list[Check]:
    """What doctor says of a connection whose token is of *api_domain*."""
    books = zoho(url)
    books._api_domain = lambda: api_domain
    return books.check()


def zoho_answer(code: int, status: str = "400 Bad Request", text: str = "…", **more: Any) -> bytes:
    return json_answer({"code": code, "message": text, **more}, status)


def write_back(crm: Salesforce) -> None:
    crm.write_back(DEAL, order_number="1", invoice_number="2", status="Synced")
