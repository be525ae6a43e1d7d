"""The shared token, and what `crmsync doctor` says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
import responses

from crmsync import errors
from crmsync.connectors.base import Check
from crmsync.connectors.system import Tools
from crmsync.connectors.zoho_books.client import ZohoBooks, connect
from crmsync.connectors.zoho_books.settings import ZohoBooksSettings
from crmsync.domain.tokens import AccessToken, RenewalLimit
from crmsync.settings import Behaviour

from ..conftest import LoadFixture
from .conftest import API, Build

TOKEN = "https://accounts.zoho.test/oauth/v2/token"
NO_ROWS = {"code": 0, "message": "success", "page_context": {"has_more_page": False}}
CURRENCIES = {**NO_ROWS, "currencies": []}
FORBIDDEN = {"code": 57, "message": "You are not authorized to perform this operation"}


class MemoryTokens:
    """A token store of one process; it keeps what it was asked."""

    def __init__(self) -> None:
        self.token: AccessToken | None = None
        self.asked: list[tuple[str, RenewalLimit | None]] = []

    def read(self, connection: str) -> AccessToken | None:
        return self.token

    def renew(
        self, connection: str, *, stale: str | None, fetch: Callable[[], AccessToken], limit: RenewalLimit | None
    ) -> AccessToken:
        self.asked.append((connection, limit))
        self.token = fetch()
        return self.token


@pytest.fixture
def tokens() -> MemoryTokens:
    return MemoryTokens()


@pytest.fixture
def connected(settings: ZohoBooksSettings, behaviour: Behaviour, tokens: MemoryTokens) -> ZohoBooks:
    return connect("zoho_books", settings, Tools(token_store=tokens, behaviour=behaviour))


def test_token_comes_from_the_refresh_token_and_goes_where_the_settings_say(
    zoho: responses.RequestsMock, connected: ZohoBooks, tokens: MemoryTokens, fixture: LoadFixture
) -> None:
    zoho.post(TOKEN, json=fixture("token__granted"))
    zoho.get(f"{API}/invoices/46", json=fixture("invoice__mailed"))

    connected.read_invoice("46")
    connected.read_invoice("46")

    assert {key: values[0] for key, values in parse_qs(zoho.calls[0].request.body).items()} == {
        "grant_type": "refresh_token",
        "refresh_token": "1000.refresh",
        "client_id": "1000.CLIENT",
        "client_secret": "client-secret",
    }
    assert zoho.calls[1].request.headers["Authorization"] == "Zoho-oauthtoken 1000.aaaa.bbbb"
    assert tokens.asked == [("zoho_books", RenewalLimit(8, 600))]


def test_token_without_lifetime_is_used_for_an_hour_less_a_margin(
    zoho: responses.RequestsMock, connected: ZohoBooks, tokens: MemoryTokens, fixture: LoadFixture
) -> None:
    zoho.post(TOKEN, json={"access_token": "1000.aaaa.bbbb"})
    zoho.get(f"{API}/invoices/46", json=fixture("invoice__mailed"))

    connected.read_invoice("46")

    assert tokens.token is not None
    left = tokens.token.expires_at - datetime.now(UTC)
    assert timedelta(minutes=54) < left <= timedelta(minutes=55)


@pytest.mark.parametrize(
    ("status", "answer", "error", "wait"),
    [
        (200, "token__refused", errors.AuthenticationError, None),
        (200, "token__too_many", errors.RateLimitedError, 600),
        (400, "token__too_many", errors.RateLimitedError, 600),
    ],
)
def test_refused_sign_in(
    zoho: responses.RequestsMock,
    connected: ZohoBooks,
    fixture: LoadFixture,
    status: int,
    answer: str,
    error: type[errors.CrmsyncError],
    wait: float | None,
) -> None:
    zoho.post(TOKEN, json=fixture(answer), status=status)

    with pytest.raises(error) as caught:
        connected.read_invoice("46")

    assert caught.value.is_definite
    assert getattr(caught.value, "retry_after_seconds", None) == wait
    assert "continuously" not in str(caught.value)


def test_doctor_says_which_currencies_have_too_few_decimals_for_exact_invoices(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture
) -> None:
    zoho.get(f"{API}/organizations", json=fixture("organizations__one"))
    for kind in ("contacts", "invoices", "customerpayments"):
        zoho.get(f"{API}/{kind}", json={**NO_ROWS, kind: []})
    kept = {"USD": 2, "JPY": 0, "KWD": 2, "HUF": 0}
    rows = [{"currency_id": code, "currency_code": code, "price_precision": digits} for code, digits in kept.items()]
    zoho.get(f"{API}/settings/currencies", json={**NO_ROWS, "currencies": rows})

    def of_deals_in(currency: str) -> Check:
        (check,) = [check for check in books(default_currency=currency).check() if check.name == "currencies"]
        return check

    names = "USD, JPY, KWD (only 2 decimals), HUF (only 0 decimals)"
    assert of_deals_in("USD") == Check("currencies", is_ok=True, detail=names)
    for currency, fewer in {"KWD": "KWD", "": "KWD, HUF"}.items():
        check = of_deals_in(currency)
        assert (check.is_ok, check.is_note) == (True, True)
        assert check.detail.startswith(f"{names}; {fewer} lacks decimals, and a deal whose lines need more")


def test_doctor_signs_in_and_reads_one_thing_per_permission(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture
) -> None:
    zoho.get(f"{API}/organizations", json=fixture("organizations__one"))
    for kind in ("contacts", "invoices", "customerpayments", "items"):
        zoho.get(f"{API}/{kind}", json={**NO_ROWS, kind: []})
    zoho.get(f"{API}/settings/currencies", json=CURRENCIES)
    zoho.get(f"{API}/settings/taxes", json={**NO_ROWS, "taxes": [{"tax_id": "7"}]})

    checks = books(item_lookup=True, tax_id="7").check()

    assert [(check.name, check.is_ok) for check in checks] == [
        ("organization", True),
        ("contacts", True),
        ("invoices", True),
        ("customer payments", True),
        ("invoice lines", False),
        ("currencies", True),
        ("tax", True),
        ("writing", True),
        ("quantities", True),
    ]
    assert checks[0].detail == "Crmsync Test, 10234695, USD, PST"
    assert (checks[-1].is_note, checks[-1].detail[:13]) == (True, "not checked: ")
    assert zoho.calls[0].request.params == {}
    assert zoho.calls[1].request.params["per_page"] == "1"


@pytest.mark.parametrize(
    ("refused", "scope"),
    [("invoices", "ZohoBooks.invoices.READ"), ("customerpayments", "ZohoBooks.customerpayments.READ")],
)
def test_doctor_names_the_missing_scope(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture, refused: str, scope: str
) -> None:
    zoho.get(f"{API}/organizations", json=fixture("organizations__one"))
    kinds = ("contacts", "invoices", "customerpayments")
    for kind in set(kinds) - {refused}:
        zoho.get(f"{API}/{kind}", json={**NO_ROWS, kind: []})
    zoho.get(f"{API}/{refused}", json=FORBIDDEN, status=401)

    zoho.get(f"{API}/settings/currencies", json=CURRENCIES)

    checks = books().check()

    assert [check.is_ok for check in checks] == [True, *(kind != refused for kind in kinds), True, True]
    assert f"Needs the scope {scope}." in next(check.detail for check in checks if not check.is_ok)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"organization_id": "999"}, "ZOHO_ORGANIZATION_ID"),
        ({"default_currency": "EUR"}, "of the binding) is EUR"),
    ],
    ids=["another organization", "another currency"],
)
def test_doctor_compares_the_organization_with_the_settings(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture, changes: dict[str, Any], words: str
) -> None:
    zoho.get(f"{API}/organizations", json=fixture("organizations__one"))
    for kind in ("contacts", "invoices", "customerpayments"):
        zoho.get(f"{API}/{kind}", json={**NO_ROWS, kind: []})
    zoho.get(f"{API}/settings/currencies", json=CURRENCIES)

    first = books(**changes).check()[0]

    assert not first.is_ok
    assert words in first.detail


def test_doctor_names_a_tax_that_the_organization_lacks(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture
) -> None:
    zoho.get(f"{API}/organizations", json=fixture("organizations__one"))
    for kind in ("contacts", "invoices", "customerpayments"):
        zoho.get(f"{API}/{kind}", json={**NO_ROWS, kind: []})
    zoho.get(f"{API}/settings/currencies", json=CURRENCIES)
    zoho.get(f"{API}/settings/taxes", json={**NO_ROWS, "taxes": [{"tax_id": "7"}]})

    (check,) = [check for check in books(tax_id="8").check() if not check.is_ok]

    assert check.detail == "The organization has no tax 8 (ZOHO_TAX_ID); it has 7."


def test_doctor_stops_where_the_sign_in_is_refused(
    zoho: responses.RequestsMock, connected: ZohoBooks, fixture: LoadFixture
) -> None:
    zoho.post(TOKEN, json=fixture("token__refused"))

    (only,) = connected.check()

    assert not only.is_ok
    assert "refused to sign in" in only.detail
    assert len(zoho.calls) == 1
