"""What `crmsync doctor` asks of SAP, and what it makes of the answers; an order is tried and never made."""

from __future__ import annotations

from typing import Any

import pytest

from crmsync.connectors.base import Check

from .conftest import ORDERS, PARTNERS, PRODUCTS, SIMULATION, STOCK, Build, Sap

READS = [
    f"{ORDERS}/A_SalesOrder",
    f"{PARTNERS}/A_BusinessPartner",
    f"{PARTNERS}/A_BusinessPartnerTaxNumber",
    f"{PARTNERS}/A_AddressEmailAddress",
    f"{PARTNERS}/A_BusinessPartnerAddress",
    f"{STOCK}/A_MatlStkInAcctMod",
    f"{PRODUCTS}/A_Product",
]
NOTHING: dict[str, Any] = {"d": {"results": []}}
TRIED = f"{SIMULATION}/A_SalesOrderSimulation"
AREAS = f"{PARTNERS}/A_CustomerSalesArea"
ONLY_TRIED = '{"code":"SLS_LORD/098","message":"…","severity":"warning","details":[]}'


def rows(*found: dict[str, Any]) -> dict[str, Any]:
    return {"d": {"results": list(found)}}


AN_ORDER = rows(
    {
        "SalesOrder": "4711",
        "SoldToParty": "10100001",
        "TransactionCurrency": "EUR",
        "to_Item": {
            "results": [
                {"Material": "OLD", "SalesDocumentRjcnReason": "01"},
                {"Material": "TG11", "SalesDocumentRjcnReason": ""},
            ]
        },
    }
)


def readable(sap: Sap) -> None:
    """Every read and both tokens are allowed."""
    for url in READS:
        sap.answers("GET", url, NOTHING)
    sap.gives_token(ORDERS)
    sap.gives_token(PARTNERS)


def tried(sap: Sap, net: str = "1.00", remarks: str = ONLY_TRIED) -> None:
    """SAP computes the order."""
    sap.answers("GET", READS[0], AN_ORDER)
    sap.gives_token(SIMULATION)
    content = {"d": {"SalesOrder": "", "to_Pricing": {"TotalNetAmount": net}}}
    sap.answers("POST", TRIED, content, status=201, headers={"sap-message": remarks})


def without_customers(sap: Sap) -> None:
    sap.answers("GET", f"{PARTNERS}/A_Customer", NOTHING)


def by_name(build: Build, **changes: Any) -> dict[str, Check]:
    return {check.name: check for check in build(**changes).check()}


def test_an_order_is_tried_with_what_the_newest_one_has(sap: Sap, build: Build) -> None:
    readable(sap)
    tried(sap)
    without_customers(sap)

    checks = build().check()

    assert [check.name for check in checks if not check.is_ok or check.is_note] == ["stock that counts"], "it has none"
    assert "SAP would make it. Order type OR, sales area 1010/10/00, price condition PPR0" in checks[-1].detail
    (body,) = sap.bodies()
    assert (body["SoldToParty"], body["TransactionCurrency"]) == ("10100001", "EUR")
    assert [item["Material"] for item in body["to_Item"]["results"]] == ["TG11"]


def test_where_there_is_no_order_a_customer_and_a_product_do(sap: Sap, build: Build) -> None:
    readable(sap)
    sap.answers("GET", READS[0], NOTHING)
    sap.answers("GET", AREAS, rows({"Customer": "7", "Currency": "USD"}))
    sap.answers("GET", READS[-1], rows({"Product": "TG12"}))
    sap.gives_token(SIMULATION)
    sap.answers("POST", TRIED, {"d": {"SalesOrder": ""}}, status=201)
    without_customers(sap)

    assert by_name(build)["try an order"].is_ok
    (body,) = sap.bodies()
    assert (body["SoldToParty"], body["to_Item"]["results"][0]["Material"]) == ("7", "TG12")


def test_a_sales_area_that_no_customer_has_is_named_with_those_that_exist(sap: Sap, build: Build) -> None:
    readable(sap)
    sap.answers("GET", READS[0], NOTHING)
    sap.answers("GET", AREAS, NOTHING)
    area = {"SalesOrganization": "1710", "DistributionChannel": "10", "Division": "00"}
    sap.answers("GET", AREAS, rows(area, area))
    without_customers(sap)

    check = by_name(build, sales_organization="9999")["sales area"]

    assert not check.is_ok
    assert "has the sales area 9999/10/00; customers have 1710/10/00. Correct SAP_SALES_ORGANIZATION" in check.detail


def test_a_system_without_customers_is_not_blamed(sap: Sap, build: Build) -> None:
    readable(sap)
    sap.answers("GET", READS[0], NOTHING)
    sap.answers("GET", AREAS, NOTHING)
    without_customers(sap)

    check = by_name(build)["sales area"]

    assert (check.is_ok, check.is_note) == (True, True)
    assert check.detail.startswith("not checked: ")


@pytest.mark.parametrize(
    ("field", "variable"),
    [
        ("SalesOrderType", "SAP_ORDER_TYPE"),
        ("ConditionType", "SAP_PRICE_CONDITION_TYPE"),
        ("RequestedQuantityUnit", "SAP_QUANTITY_UNIT"),
        ("OrganizationDivision", "SAP_DIVISION"),
    ],
)
def test_a_refusal_names_the_variable_and_what_SAP_says(sap: Sap, build: Build, field: str, variable: str) -> None:
    readable(sap)
    sap.answers("GET", READS[0], AN_ORDER)
    sap.gives_token(SIMULATION)
    detail = {"code": "V1/321", "message": "ask jo@acme.test: it is not defined", "severity": "error", "target": field}
    error = {"code": "V1/321", "message": {"value": detail["message"]}, "innererror": {"errordetails": [detail]}}
    sap.answers("POST", TRIED, {"error": error}, status=400)
    without_customers(sap)

    check = by_name(build)["try an order"]

    assert not check.is_ok
    assert f"“ask ***: it is not defined” [V1/321]. Correct {variable}." in check.detail


def test_a_refused_customer_is_no_fault_of_the_settings(sap: Sap, build: Build) -> None:
    readable(sap)
    sap.answers("GET", READS[0], AN_ORDER)
    sap.gives_token(SIMULATION)
    detail = {"code": "V1/1", "message": "Blocked", "severity": "error", "target": "SoldToParty"}
    error = {"code": "V1/1", "message": {"value": "Blocked"}, "innererror": {"errordetails": [detail]}}
    sap.answers("POST", TRIED, {"error": error}, status=400)
    without_customers(sap)

    check = by_name(build)["try an order"]

    assert (check.is_ok, check.is_note) == (True, True)
    assert "customer 10100001" in check.detail


@pytest.mark.parametrize("status", [403, 404])
def test_without_the_simulation_nothing_is_tried_and_that_is_said(sap: Sap, build: Build, status: int) -> None:
    readable(sap)
    sap.answers("GET", READS[0], AN_ORDER)
    refusal = {"error": {"code": "/IWFND/MED/170", "message": {"value": "No service found"}}}
    sap.answers("GET", f"{SIMULATION}/", refusal, status=status)
    sap.answers("GET", f"{SIMULATION}/$metadata", refusal, status=status)
    without_customers(sap)

    check = by_name(build)["try an order"]

    assert (check.is_ok, check.is_note) == (True, True)
    assert "API_SALES_ORDER_SIMULATION_SRV" in check.detail
    assert "SAP_COM_0109" in check.detail


def test_a_price_that_SAP_changes_fails(sap: Sap, build: Build) -> None:
    readable(sap)
    tried(sap, net="235.00")
    without_customers(sap)

    check = by_name(build)["try an order"]

    assert not check.is_ok
    assert "SAP makes 235.00 EUR of a price of 1 EUR" in check.detail


def test_an_order_that_would_be_incomplete_is_a_note(sap: Sap, build: Build) -> None:
    readable(sap)
    incomplete = '{"code":"SLS_LORD/009","message":"…","severity":"warning"}'
    tried(sap, remarks=ONLY_TRIED.replace("[]", f"[{incomplete}]"))
    without_customers(sap)

    check = by_name(build)["try an order"]

    assert (check.is_ok, check.is_note) == (True, True)
    assert "incomplete" in check.detail


def test_values_that_no_customer_has_are_a_note(sap: Sap, build: Build) -> None:
    readable(sap)
    tried(sap)
    sap.answers("GET", f"{PARTNERS}/A_Customer", rows({"Customer": "1"}))
    sap.answers("GET", READS[1], rows({"BusinessPartnerGrouping": "BP02"}))
    sap.answers("GET", f"{PARTNERS}/A_CustomerCompany", NOTHING)
    sap.answers("GET", f"{PARTNERS}/A_CustomerCompany", rows({"ReconciliationAccount": "12100000"}))
    sap.answers("GET", AREAS, rows({"CustomerPaymentTerms": "0004"}))

    check = by_name(build, company_code="2020")["values for new customers"]

    assert (check.is_ok, check.is_note) == (True, True)
    assert "SAP_COMPANY_CODE=2020" in check.detail
    assert "SAP_RECONCILIATION_ACCOUNT" not in check.detail


def test_values_of_taxes_that_no_customer_has_are_a_note(sap: Sap, build: Build) -> None:
    readable(sap)
    tried(sap)
    sap.answers("GET", f"{PARTNERS}/A_Customer", rows({"Customer": "1"}))
    sap.answers("GET", READS[1], rows({"BusinessPartnerGrouping": "BP02"}))
    sap.answers("GET", f"{PARTNERS}/A_CustomerCompany", rows({"ReconciliationAccount": "12100000"}))
    sap.answers("GET", AREAS, rows({"CustomerPaymentTerms": "0004"}))
    sap.answers("GET", f"{PARTNERS}/A_CustomerSalesAreaTax", NOTHING)
    sap.answers("GET", f"{PARTNERS}/A_CustomerSalesAreaTax", rows({"CustomerTaxClassification": "1"}))

    changes = {"customer_tax_category": "MWXX", "departure_country": "DE", "tax_number_type": "DE9"}
    check = by_name(build, **changes)["values for new customers"]

    assert (check.is_ok, check.is_note) == (True, True)
    assert "SAP_TAX_NUMBER_TYPE=DE9 or SAP_CUSTOMER_TAX_CATEGORY=MWXX:" in check.detail
    assert "SAP_DEPARTURE_COUNTRY" not in check.detail


def test_an_address_is_told_by_the_variable_that_was_set(sap: Sap, build: Build) -> None:
    sap.answers("GET", READS[0], None, status=503)

    (check,) = build().check()

    assert check.detail.endswith("(SAP_BASE_URL).")


def test_which_permission_is_missing_is_told(sap: Sap, build: Build) -> None:
    for url in READS:
        sap.answers("GET", url, NOTHING, status=403 if url == READS[1] else 200)
    sap.gives_token(ORDERS)
    sap.answers("GET", f"{PARTNERS}/", None, status=403)

    checks = {check.name: check for check in build().check() if not check.is_ok}

    assert list(checks) == [
        "read business partners (SAP_COM_0008)",
        "get a CSRF token from API_BUSINESS_PARTNER",
    ]
    assert "communication arrangements" in checks["read business partners (SAP_COM_0008)"].detail


def test_which_scenario_stock_and_products_need_is_told(sap: Sap, build: Build) -> None:
    for url in READS:
        sap.answers("GET", url, NOTHING, status=403 if url in READS[-2:] else 200)
    sap.gives_token(ORDERS)
    sap.gives_token(PARTNERS)

    assert [check.name for check in build().check() if not check.is_ok] == [
        "read stock (SAP_COM_0164)",
        "read products (SAP_COM_0009)",
    ]


@pytest.mark.parametrize("status", [401, 503])
def test_a_user_is_not_locked_by_trying_again(sap: Sap, build: Build, status: int) -> None:
    sap.answers("GET", READS[0], None, status=status)

    assert [(check.name, check.is_ok) for check in build().check()] == [("sign-in", False)]
