"""The roles of the ERP, implemented for SAP S/4HANA."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial

from crmsync import errors
from crmsync.connectors.base import Check, KeepAlive
from crmsync.connectors.kit.http import VendorClient
from crmsync.connectors.limits.budget import Budget
from crmsync.connectors.s4hana import orders, partners
from crmsync.connectors.s4hana.api import SapApi
from crmsync.connectors.s4hana.csrf import SessionAuthorizer, Tokens
from crmsync.connectors.s4hana.doctor import examine
from crmsync.connectors.s4hana.errors import SYSTEM, explain, explain_token_fetch, outcome, speaks
from crmsync.connectors.s4hana.messages import code_of
from crmsync.connectors.s4hana.odata import Address, Row, equals
from crmsync.connectors.s4hana.partner_search import PartnerSearch
from crmsync.connectors.s4hana.schemas import OrderSchema, Partner, PartnerSchema, SalesAreaSchema, load
from crmsync.connectors.s4hana.services import ORDERS, PARTNER_SERVICE, PARTNERS, SALES_AREAS
from crmsync.connectors.s4hana.settings import SapSettings
from crmsync.connectors.s4hana.stock import StockReader
from crmsync.connectors.signing_in import auth
from crmsync.connectors.signing_in.auth import Authorizer
from crmsync.connectors.signing_in.grants import client_credentials
from crmsync.connectors.system import Tools, Usage
from crmsync.connectors.way_out.answers import Explain, Speaks, speaks_anything
from crmsync.connectors.way_out.transport import Session, new_session
from crmsync.domain.breaker import PASSWORD_HOLD_SECONDS
from crmsync.domain.customers import Candidate, Customer, CustomerMatch
from crmsync.domain.documents import Document, OrderRequest
from crmsync.domain.matching import search_email
from crmsync.domain.stock import StockRow
from crmsync.domain.tokens import AccessToken

TOKEN_SECONDS = 3600  # where the token's answer does not say

_PARTNER = PartnerSchema()
_SALES_AREA = SalesAreaSchema()
_ORDER = OrderSchema()
_ORDER_FIELDS = ",".join(str(field.data_key) for field in _ORDER.fields.values())


class S4Hana:
    """Customers are business partners with the sales role and our sales area; orders are sales orders."""

    system = SYSTEM
    customers_have_one_currency = False  # an order may be in any currency

    def __init__(self, settings: SapSettings, api: SapApi, *, usage: Callable[[], Usage] = Usage) -> None:
        self._settings = settings
        self._usage = usage
        self._api = api
        self._search = PartnerSearch(api)
        self._stock = StockReader(api, types=settings.stock_types, plants=settings.stock_plants)

    def checks(self) -> Iterator[Check]:
        return examine(self._api, self._settings, reads_stock=self._usage().copies_stock)

    def check(self) -> list[Check]:
        return list(self.checks())

    def find_customers_by_reference(self, reference: str, customer: Customer, *, currency: str) -> list[Candidate]:
        return self._search.by_reference(reference)

    def find_customers_by_keys(self, customer: Customer) -> list[Candidate]:
        """Tax number first: where it finds anybody, the e-mail address is not asked."""
        return self._search.by_tax_number(customer.tax) or self._search.by_email(search_email(customer), customer.name)

    def find_customers_by_name(self, customer: Customer) -> list[Candidate]:
        """Always none: SAP takes any number of customers of one name."""
        return []

    def read_customers(self, keys: Sequence[str], keep_alive: KeepAlive) -> dict[str, Candidate]:
        return self._search.by_numbers(keys, keep_alive)

    def adopt_customer(self, match: CustomerMatch, customer: Customer, *, currency: str) -> CustomerMatch:
        """Give a partner that was found the sales role and our sales area; what it has stays as it is.

        Raises: RejectedError for a partner that is blocked.
        """
        row = self._search.complete("adopt_customer", match.key)
        partner: Partner = load(_PARTNER, row, operation="adopt_customer")
        if partner.is_blocked:
            raise _blocked(partner)
        if not self._has_sales_role(row):
            self._add_sales_role(str(row["BusinessPartner"]))
        key = partner.customer or self._customer_number("adopt_customer", partner)
        if not self._has_sales_area(row):
            self._add_sales_area(str(row.get("Customer") or key), currency)
        name = "" if partner.category == partners.PERSON else partner.name or match.name
        return replace(match, key=key, name=name)

    def create_customer(
        self, customer: Customer, *, reference: str, currency: str, suffix: str = "", payment_terms_days: int = 30
    ) -> CustomerMatch:
        operation = "create_customer"
        body = partners.partner_body(customer, reference=reference, currency=currency, settings=self._settings)
        row = self._api.create(operation, PARTNERS, body)
        partner: Partner = load(_PARTNER, row, operation=operation)
        with outcome(is_definite=False):  # the partner exists, whatever becomes of a second look at it
            key = partner.customer or self._customer_number(operation, partner)
        return CustomerMatch(key, partner.name or customer.name, "created", customer.address.city)

    def find_orders(self, reference: str) -> list[Document]:
        """Orders of this reference, for any customer: customers may be linked anew.

        A rejected order is ours as well, and says so.
        """
        field = self._settings.reference_field
        stored = orders.stored_reference(reference, field)
        options = {"$filter": equals(field, stored), "$select": _ORDER_FIELDS, "$orderby": "SalesOrder"}
        rows = self._api.rows("find_orders", ORDERS, options)
        found = [load(_ORDER, row, operation="find_orders") for row in rows]
        return [orders.document(order) for order in found if orders.carries(order, stored, field)]

    def create_order(self, request: OrderRequest) -> Document:
        body = orders.order_body(request, self._settings)
        row, remarks = self._api.create_with_remarks("create_order", ORDERS, body)
        return orders.created_document(load(_ORDER, row, operation="create_order"), remarks)

    def read_order(self, key: str) -> Document:
        row = self._api.read("read_order", ORDERS, key, {"$select": _ORDER_FIELDS})
        return orders.document(load(_ORDER, row, operation="read_order"))

    def read_orders(self, keys: Sequence[str]) -> list[Document]:
        wanted = " or ".join(equals("SalesOrder", key) for key in keys)
        options = {"$filter": wanted, "$select": _ORDER_FIELDS, "$orderby": "SalesOrder"}
        rows = self._api.rows("read_orders", ORDERS, options)
        return [orders.document(load(_ORDER, row, operation="read_orders")) for row in rows]

    def stock(self) -> Iterator[Sequence[StockRow]]:
        return self._stock.pages()

    def known_materials(self, codes: Collection[str], keep_alive: KeepAlive) -> set[str]:
        return self._stock.known(codes, keep_alive)

    def _add_sales_role(self, number: str) -> None:
        """To the partner of this *number*, with the zeros that SAP shows: not every service converts them."""
        roles = PARTNERS.entity(number, below="to_BusinessPartnerRole")
        self._api.create("add_sales_role", roles, partners.role_body(partners.SALES_ROLE))

    def _has_sales_role(self, row: Row) -> bool:
        roles = self._expanded(row, "to_BusinessPartnerRole")
        return any(role.get("BusinessPartnerRole") == partners.SALES_ROLE for role in roles)

    def _expanded(self, row: Row, *path: str) -> list[Row]:
        return self._api.expanded("adopt_customer", PARTNER_SERVICE, row, *path)

    def _has_sales_area(self, row: Row) -> bool:
        wanted = partners.sales_area(self._settings)
        areas = self._expanded(row, "to_Customer", "to_CustomerSalesArea")
        return any(load(_SALES_AREA, area, operation="adopt_customer") == wanted for area in areas)

    def _add_sales_area(self, key: str, currency: str) -> None:
        body = {"Customer": key, **partners.sales_area_body(self._settings, currency)}
        self._api.create("add_sales_area", SALES_AREAS, body)

    def _customer_number(self, operation: str, partner: Partner) -> str:
        """The number that documents refer to: usually the partner's own, but not always.

        Raises: RetryableError where SAP makes the customer out of the partner later (old releases).
        """
        number = self._search.numbered(operation, partner.number).customer
        if not number:
            what = f"{SYSTEM} has not made the business partner {partner.number} a customer yet."
            raise errors.RetryableError(what, is_definite=False, system=SYSTEM, operation=operation)
        return number


def connect(connection: str, settings: SapSettings, tools: Tools) -> S4Hana:
    """The connector of one system, with the two sessions it needs: one keeps cookies, for the CSRF tokens."""
    address = Address(settings.base_url, settings.sap_client)
    authorizer = SessionAuthorizer(_authorizer(connection, settings, tools))
    client = partial(_client, settings, authorizer, tools.behaviour.call_seconds, tools.budget)
    tokens = Tokens(
        client(new_session(cookies=True, is_outside=tools.is_outside), explain_token_fetch, speaks_anything), address
    )
    authorizer.tokens = tokens
    explained = partial(explain, lock_codes={code_of(code) for code in settings.lock_codes})
    api = SapApi(client(new_session(is_outside=tools.is_outside), explained, speaks), tokens, address)
    return S4Hana(settings, api, usage=tools.usage)


def _client(
    settings: SapSettings,
    authorizer: Authorizer,
    call_seconds: float,
    budget: Budget,
    session: Session,
    explained: Explain,
    spoken: Speaks,
) -> VendorClient:
    return VendorClient(
        system=SYSTEM,
        session=session,
        authorizer=authorizer,
        explain=explained,
        call_seconds=call_seconds,
        headers={"Accept": "application/json", "Accept-Language": settings.language},
        budget=budget,
        speaks=spoken,
        refused_hold_seconds=PASSWORD_HOLD_SECONDS if settings.auth == "basic" else 0.0,
    )


def _authorizer(connection: str, settings: SapSettings, tools: Tools) -> Authorizer:
    if settings.auth == "basic":
        return auth.BasicAuth(settings.user, settings.password)
    fetch: Callable[[], AccessToken] = partial(
        client_credentials,
        SYSTEM,
        token_url=settings.token_url,
        client_id=settings.client_id,
        client_secret=settings.client_secret,
        seconds=TOKEN_SECONDS,
        is_outside=tools.is_outside,
    )
    return auth.SharedToken(connection, store=tools.token_store, fetch=fetch)


def _blocked(partner: Partner) -> errors.RejectedError:
    return errors.RejectedError(
        f"The business partner {partner.number} is blocked in {SYSTEM}.",
        system=SYSTEM,
        operation="adopt_customer",
        advice="Unblock it there, or link the deal's account to another customer.",
    )
