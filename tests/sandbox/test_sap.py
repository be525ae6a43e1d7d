"""S/4HANA as the stand-in answers: sign-in, CSRF, business partners, orders, stock."""

from decimal import Decimal
from typing import Any

import pytest
import requests

from crmsync.lab.sandbox import Sandbox
from tests.sandbox.clients import AREA, ErpClient, Json, item, order, partner, price

ORDERS = "API_SALES_ORDER_SRV/A_SalesOrder"
PARTNERS = "API_BUSINESS_PARTNER/A_BusinessPartner"


def refusal(answer: requests.Response) -> str:
    """The target of a 400's first detail."""
    assert answer.status_code == 400, answer.text
    details = answer.json()["error"]["innererror"]["errordetails"]
    assert details[-1]["code"] == "/IWBEP/CX_SD_GEN_DPC_BUSINS"
    return str(details[0]["target"])


def test_without_credentials_the_answer_is_a_page(erp: ErpClient) -> None:
    answer = requests.get(erp.url(f"{ORDERS}"), headers={"Accept": "application/json"}, timeout=10)
    assert answer.status_code == 401
    assert answer.headers["Content-Type"].startswith("text/html")
    basic = (erp.env["SAP_CLIENT_ID"], erp.env["SAP_CLIENT_SECRET"])
    assert requests.get(erp.url(ORDERS), auth=basic, timeout=10).status_code == 200
    assert requests.get(erp.url(ORDERS), auth=("x", "y"), timeout=10).status_code == 401


def test_a_dead_token_is_refused(erp: ErpClient, sandbox: Sandbox) -> None:
    sandbox.expire_tokens("sap")
    assert erp.call("GET", ORDERS).status_code == 401


def test_without_accept_the_answer_is_atom(erp: ErpClient) -> None:
    answer = erp.call("GET", ORDERS, headers={"Accept": "*/*"})
    assert answer.headers["Content-Type"] == "application/atom+xml"
    assert erp.call("GET", f"{ORDERS}?$format=json", headers={"Accept": "*/*"}).json() == {"d": {"results": []}}


@pytest.mark.parametrize("trouble", ["no token", "other token", "no cookies", "session over"])
def test_a_write_needs_the_token_of_its_session(erp: ErpClient, sandbox: Sandbox, trouble: str) -> None:
    if trouble == "no token":
        del erp.session.headers["x-csrf-token"]
    elif trouble == "other token":
        erp.session.headers["x-csrf-token"] = "other=="
    elif trouble == "no cookies":
        erp.session.cookies.clear()
    else:
        sandbox.sap.access.expire_sessions()

    answer = erp.create_partner(partner())

    assert (answer.status_code, answer.headers["x-csrf-token"]) == (403, "Required")
    erp.fetch()
    assert erp.create_partner(partner()).status_code == 201


def test_a_session_keeps_its_token(erp: ErpClient) -> None:
    first = erp.session.headers["x-csrf-token"]
    erp.fetch()
    assert erp.session.headers["x-csrf-token"] == first


def test_a_partner_is_created_deep_and_found_by_its_external_id(erp: ErpClient) -> None:
    made = erp.create_partner({**partner(), "BusinessPartnerIDByExtSystem": "crm-0018x"})
    assert made.status_code == 201
    assert made.json()["d"]["BusinessPartnerIDByExtSystem"] == "CRM-0018X"

    query = "?$filter=BusinessPartnerIDByExtSystem eq 'CRM-0018X'&$select=BusinessPartner,Customer"
    [row] = erp.call("GET", PARTNERS + query).json()["d"]["results"]
    assert set(row) == {"__metadata", "BusinessPartner", "Customer"}

    expand = "to_BusinessPartnerAddress/to_EmailAddress,to_Customer/to_CustomerSalesArea/to_PartnerFunction"
    found = erp.call("GET", f"{PARTNERS}('000{row['BusinessPartner']}')?$expand={expand}").json()["d"]
    [address] = found["to_BusinessPartnerAddress"]["results"]
    assert address["to_EmailAddress"]["results"][0]["EmailAddress"] == "ap@fjord.example.com"
    [area] = found["to_Customer"]["to_CustomerSalesArea"]["results"]
    assert {one["PartnerFunction"] for one in area["to_PartnerFunction"]["results"]} == {"SP", "SH", "BP", "PY"}


def test_a_lower_case_literal_finds_nothing_in_an_upper_case_field(erp: ErpClient) -> None:
    erp.customer()
    answer = erp.call("GET", f"{PARTNERS}?$filter=BusinessPartnerIDByExtSystem eq 'crm-0018x'")
    assert answer.json()["d"]["results"] == []


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({"Colour": "red"}, "Colour"),
        ({"BusinessPartnerFullName": "x"}, "BusinessPartnerFullName"),
        ({"Customer": "17100001"}, "Customer"),
        ({"OrganizationBPName1": "x" * 41}, "OrganizationBPName1"),
        ({"BusinessPartnerIDByExtSystem": "x" * 21}, "BusinessPartnerIDByExtSystem"),
        ({"OrganizationBPName1": 7}, "OrganizationBPName1"),
        ({"BusinessPartnerIsBlocked": "X"}, "BusinessPartnerIsBlocked"),
        ({"BusinessPartnerCategory": ""}, "BusinessPartnerCategory"),
        ({"OrganizationBPName1": ""}, "OrganizationBPName1"),
        ({"BusinessPartnerGrouping": "XX"}, "BusinessPartnerGrouping"),
        ({"BusinessPartner": "4711"}, "BusinessPartner"),
        ({"to_BusinessPartnerRole": []}, "to_Customer"),
        ({"to_BusinessPartnerRole": [{"BusinessPartnerRole": "BOSS"}]}, "BusinessPartnerRole"),
        ({"to_BusinessPartnerAddress": [{"Country": "NO"}]}, "Language"),
        ({"to_BusinessPartnerAddress": [{"Language": "EN"}]}, "Country"),
        ({"to_BusinessPartnerAddress": [{"Language": "EN", "Country": "NO", "Planet": "x"}]}, "Planet"),
        ({"to_Customer": {"to_CustomerSalesArea": [{**AREA, "Currency": ""}]}}, "Currency"),
    ],
)
def test_a_wrong_partner_is_refused_and_nothing_kept(
    erp: ErpClient, sandbox: Sandbox, changes: Json, target: str
) -> None:
    assert refusal(erp.create_partner({**partner(), **changes})) == target
    assert sandbox.ledger()["customers"] == []


def test_a_partner_cannot_be_deleted_and_a_customer_not_posted(erp: ErpClient) -> None:
    customer = erp.customer()
    answer = erp.call("DELETE", f"{PARTNERS}('{customer}')", headers={"If-Match": "*"})
    assert answer.json()["error"]["code"] == "CI_DRAFTBP_MESSAGE/032"
    assert erp.call("POST", "API_BUSINESS_PARTNER/A_Customer", json={"Customer": "1"}).status_code == 405


def test_role_and_sales_area_can_be_added_later(erp: ErpClient) -> None:
    bare = {**partner(), "to_BusinessPartnerRole": []}
    del bare["to_Customer"]
    number = erp.create_partner(bare).json()["d"]["BusinessPartner"]
    assert erp.call("GET", f"{PARTNERS}('{number}')").json()["d"]["Customer"] == ""

    for role in ("FLCU00", "FLCU01"):
        path = f"{PARTNERS}('{number}')/to_BusinessPartnerRole"
        assert erp.call("POST", path, json={"BusinessPartnerRole": role}).status_code == 201
    customer = erp.call("GET", f"{PARTNERS}('{number}')").json()["d"]["Customer"]
    assert refusal(erp.create_order(order(customer))) == "SoldToParty"

    body = {**AREA, "Customer": customer}
    assert erp.call("POST", "API_BUSINESS_PARTNER/A_CustomerSalesArea", json=body).status_code == 201
    assert erp.create_order(order(customer)).status_code == 201


def test_an_order_is_priced_by_its_conditions_and_renumbered(erp: ErpClient) -> None:
    discount = {"ConditionType": "DPR1", "ConditionRateValue": "-10"}
    per_hundred = price("1290.00", ConditionQuantity="100")
    items = [
        {**item("SENSOR-100", "200", price("235.00"), discount), "SalesOrderItem": "1"},
        item("CABLE-05", "3", per_hundred),
    ]

    made = erp.order(to_Item=items)

    assert made["TotalNetAmount"] == "42338.70"
    rows = made["to_Item"]["results"]
    assert [(row["SalesOrderItem"], row["NetAmount"]) for row in rows] == [("10", "42300.00"), ("20", "38.70")]


@pytest.mark.parametrize(
    ("currency", "rate", "is_taken"),
    [
        ("EUR", "0.0125", False),
        ("EUR", "12.50", True),
        ("EUR", "12.500", True),
        ("JPY", "12.5", False),
        ("JPY", "12.00", True),
        ("KWD", "12.125", True),
        ("KWD", "12.1255", False),
    ],
)
def test_a_price_has_no_more_decimals_than_its_currency(
    erp: ErpClient, currency: str, rate: str, is_taken: bool
) -> None:
    body = order(erp.customer(), item("SENSOR-100", "2", price(rate, ConditionCurrency=currency)))

    answer = erp.create_order({**body, "TransactionCurrency": currency})

    if is_taken:
        assert Decimal(answer.json()["d"]["TotalNetAmount"]) == 2 * Decimal(rate)
    else:
        assert (refusal(answer), answer.json()["error"]["code"]) == ("ConditionRateValue", "00/088")


def test_nor_has_one_that_is_changed(erp: ErpClient) -> None:
    made = erp.order()
    path = f"API_SALES_ORDER_SRV/A_SalesOrderItem(SalesOrder='{made['SalesOrder']}',SalesOrderItem='10')"
    (row,) = erp.call("GET", f"{path}/to_PricingElement").json()["d"]["results"]
    key = row["__metadata"]["uri"].partition("API_SALES_ORDER_SRV")[2]

    answer = erp.call(
        "PATCH", f"API_SALES_ORDER_SRV{key}", json={"ConditionRateValue": "0.0125"}, headers={"If-Match": "*"}
    )

    assert refusal(answer) == "ConditionRateValue"


def test_without_a_price_the_list_price_counts(erp: ErpClient) -> None:
    made = erp.order(to_Item=[{"Material": "SENSOR-200", "RequestedQuantity": "2"}])
    assert made["TotalNetAmount"] == "621.00"


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({"SoldToParty": "999"}, "SoldToParty"),
        ({"DistributionChannel": "20"}, "SoldToParty"),
        ({"OrganizationDivision": None}, "OrganizationDivision"),
        ({"SalesOrderType": "ZZ"}, "SalesOrderType"),
        ({"PurchaseOrderByCustomer": "x" * 36}, "PurchaseOrderByCustomer"),
        ({"TotalNetAmount": "1.00"}, "TotalNetAmount"),
        ({"ExternalDocumentID": "x"}, "ExternalDocumentID"),
        ({"RequestedDeliveryDate": "20.11.2026"}, "RequestedDeliveryDate"),
        ({"to_Item": [item("NO-SUCH")]}, "Material"),
        ({"to_Item": [{**item(), "RequestedQuantity": 200}]}, "RequestedQuantity"),
        ({"to_Item": [{**item(), "RequestedQuantity": "0"}]}, "RequestedQuantity"),
        ({"to_Item": [{**item(), "RequestedQuantity": "1.2345"}]}, "RequestedQuantity"),
        ({"to_Item": [{**item(), "RequestedQuantityUnit": "KG"}]}, "RequestedQuantityUnit"),
        ({"to_Item": [{**item(), "NetAmount": "5.00"}]}, "NetAmount"),
        ({"to_Item": [{**item(), "NetPriceAmount": "5.00"}]}, "NetPriceAmount"),
        ({"to_Item": [item("SENSOR-100", "1", price(ConditionType="XXXX"))]}, "ConditionType"),
        ({"to_Item": [item("SENSOR-100", "1", price(ConditionRateValue=235))]}, "ConditionRateValue"),
        ({"to_Item": [item("SENSOR-100", "1", price(ConditionCurrency="EUR"))]}, "ConditionCurrency"),
        ({"to_Item": [item("SENSOR-100", "1", price(ConditionAmount="5"))]}, "ConditionAmount"),
        ({"to_Item": [item("SENSOR-100", "1", price("17.555"))]}, "ConditionRateValue"),
    ],
)
def test_a_wrong_order_is_refused_and_nothing_kept(
    erp: ErpClient, sandbox: Sandbox, changes: Json, target: str
) -> None:
    assert refusal(erp.create_order({**order(erp.customer()), **changes})) == target
    assert sandbox.ledger()["orders"] == []


def test_without_the_sales_role_no_order(erp: ErpClient) -> None:
    customer = erp.customer(to_BusinessPartnerRole=[{"BusinessPartnerRole": "FLCU00"}])
    assert refusal(erp.create_order(order(customer))) == "SoldToParty"


def test_the_same_reference_twice_makes_two_orders(erp: ErpClient, sandbox: Sandbox) -> None:
    customer = erp.customer()
    for _ in range(2):
        assert erp.create_order(order(customer)).status_code == 201
    assert sandbox.ledger()["duplicates"]["orders"] == {"CRM-D-88123": 2}


def test_children_may_come_in_results(erp: ErpClient) -> None:
    assert erp.order(to_Item={"results": [item()]})["TotalNetAmount"] == "47000.00"


def test_in_mode_bare_the_answer_to_a_create_has_no_totals(erp: ErpClient, sandbox: Sandbox) -> None:
    sandbox.profile.sap.create_response = "bare"
    made = erp.order()
    assert (made["TotalNetAmount"], made["CreationDate"]) == (None, None)
    read = erp.call("GET", f"{ORDERS}('{made['SalesOrder']}')").json()["d"]
    assert read["TotalNetAmount"] == "47000.00"
    assert read["CreationDate"].startswith("/Date(")


def test_a_warning_travels_in_a_header(erp: ErpClient) -> None:
    answer = erp.create_order(order(erp.customer(), item("SENSOR-OLD")))
    assert answer.status_code == 201
    assert '"severity": "warning"' in answer.headers["sap-message"]


@pytest.mark.parametrize(
    ("option", "numbers"),
    [
        ("$filter=PurchaseOrderByCustomer eq 'B' and SoldToParty eq '{c}'", ["2"]),
        ("$filter=PurchaseOrderByCustomer eq 'A' or PurchaseOrderByCustomer eq 'B'", ["1", "2"]),
        ("$filter=not (PurchaseOrderByCustomer eq 'A')", ["2", "3"]),
        ("$filter=TotalNetAmount gt 200M", ["3"]),
        ("$filter=TotalNetAmount le 200.00M and TotalNetAmount ge 200", ["2"]),
        ("$filter=startswith(PurchaseOrderByCustomer,'O') eq true", ["3"]),
        ("$filter=substringof('Neil',PurchaseOrderByCustomer)", ["3"]),
        ("$filter=PurchaseOrderByCustomer eq 'O''Neil'", ["3"]),
        ("$filter=LastChangeDateTime gt datetimeoffset'2020-01-01T00:00:00Z'", ["1", "2", "3"]),
        ("$filter=CreationDate lt datetime'2020-01-01T00:00:00'", []),
        ("$orderby=TotalNetAmount desc&$top=2", ["3", "2"]),
        ("$orderby=SalesOrder&$skip=1&$top=1", ["2"]),
    ],
)
def test_lists_filter_and_sort(erp: ErpClient, option: str, numbers: list[str]) -> None:
    customer = erp.customer()
    for reference, quantity in (("A", "1"), ("B", "2"), ("O'Neil", "3")):
        body = order(customer, item("SENSOR-100", quantity, price("100.00")))
        erp.create_order({**body, "PurchaseOrderByCustomer": reference})

    rows = erp.call("GET", f"{ORDERS}?{option.replace('{c}', '0000' + customer)}").json()["d"]["results"]

    assert [str(int(row["SalesOrder"]) - 4710) for row in rows] == numbers


@pytest.mark.parametrize(
    "option",
    [
        "$filter=Foo eq 'x'",
        "$filter=SalesOrder eq",
        "$filter=SalesOrder like 'x'",
        "$filter=SalesOrder eq 4711",
        "$filter=CreationDate eq '2026-11-20'",
        "$filter=LastChangeDateTime gt datetimeoffset'2026-11-20T10:00:00'",
        "$filter=TotalNetAmount gt '5'",
        "$filter=(SalesOrder eq '1'",
        "$select=Foo",
        "$expand=to_Foo",
        "$orderby=Foo",
        "$top=x",
        "$search=x",
    ],
)
def test_a_wrong_option_is_refused(erp: ErpClient, option: str) -> None:
    erp.order()
    answer = erp.call("GET", f"{ORDERS}?{option}")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]["lang"] == "en"


def test_long_lists_come_in_pages(erp: ErpClient, sandbox: Sandbox) -> None:
    sandbox.profile.sap.page_size = 2
    customer = erp.customer()
    for _ in range(5):
        erp.create_order(order(customer))
    address, numbers = erp.url(f"{ORDERS}?$orderby=SalesOrder&$inlinecount=allpages&$select=SalesOrder"), []
    while address:
        page = erp.session.get(address, timeout=10).json()["d"]
        assert page["__count"] == "5"
        numbers += [row["SalesOrder"] for row in page["results"]]
        address = page.get("__next")
    assert numbers == ["4711", "4712", "4713", "4714", "4715"]
    assert erp.call("GET", f"{ORDERS}/$count").text == "5"


def test_keys_may_be_padded_and_encoded(erp: ErpClient) -> None:
    number = erp.order()["SalesOrder"]
    paths = (f"('{number}')", f"('{number:0>10}')", f"%28%27{number}%27%29", f"(SalesOrder='{number}')")
    assert {erp.call("GET", ORDERS + path).json()["d"]["SalesOrder"] for path in paths} == {number}
    path = f"API_SALES_ORDER_SRV/A_SalesOrderItem(SalesOrder='{number}',SalesOrderItem='000010')/to_PricingElement"
    assert erp.call("GET", path).json()["d"]["results"][0]["ConditionType"] == "PPR0"
    assert erp.call("GET", f"{ORDERS}('999')").status_code == 404
    assert erp.call("GET", "API_SALES_ORDER_SRV/A_Foo").status_code == 404


def test_a_change_needs_the_right_etag(erp: ErpClient) -> None:
    made = erp.order()
    path, etag = f"{ORDERS}('{made['SalesOrder']}')", made["__metadata"]["etag"]
    body = {"DeliveryBlockReason": "01"}
    assert erp.call("PATCH", path, json=body).status_code == 428
    assert erp.call("PATCH", path, json=body, headers={"If-Match": etag}).status_code == 204
    assert erp.call("PATCH", path, json=body, headers={"If-Match": etag}).status_code == 412
    assert erp.call("PATCH", path, json=body, headers={"If-Match": "*"}).status_code == 204
    wrong = erp.call("PATCH", path, json={"TotalNetAmount": "1"}, headers={"If-Match": "*"})
    assert refusal(wrong) == "TotalNetAmount"


def test_quantity_and_price_changes_move_the_total(erp: ErpClient) -> None:
    number = erp.order()["SalesOrder"]
    line, any_state = f"(SalesOrder='{number}',SalesOrderItem='10'", {"If-Match": "*"}
    service = "API_SALES_ORDER_SRV/A_SalesOrderItem"
    erp.call("PATCH", f"{service}{line})", json={"RequestedQuantity": "10"}, headers=any_state)
    element = f"{service}PrElement{line},PricingProcedureStep='10',PricingProcedureCounter='1')"
    assert erp.call("PATCH", element, json={"ConditionRateValue": "1.50"}, headers=any_state).status_code == 204
    assert erp.call("GET", f"{ORDERS}('{number}')").json()["d"]["TotalNetAmount"] == "15.00"


def test_an_order_is_rejected_item_by_item_or_deleted(erp: ErpClient, sandbox: Sandbox) -> None:
    number = erp.order()["SalesOrder"]
    path = f"API_SALES_ORDER_SRV/A_SalesOrderItem(SalesOrder='{number}',SalesOrderItem='10')"
    assert refusal(erp.call("PATCH", path, json={"SalesDocumentRjcnReason": "ZZ"}, headers={"If-Match": "*"}))
    erp.call("PATCH", path, json={"SalesDocumentRjcnReason": "00"}, headers={"If-Match": "*"})
    header = erp.call("GET", f"{ORDERS}('{number}')").json()["d"]
    assert (header["OverallSDDocumentRejectionSts"], header["TotalNetAmount"]) == ("C", "0.00")

    assert erp.call("DELETE", f"{ORDERS}('{number}')", headers={"If-Match": "*"}).status_code == 204
    assert sandbox.ledger()["orders"] == []


def test_stock_is_read_by_material_and_type(erp: ErpClient, sandbox: Sandbox) -> None:
    query = "A_MatlStkInAcctMod?$filter=Material eq 'CABLE-05' and InventoryStockType eq '01'"
    [row] = erp.call("GET", f"API_MATERIAL_STOCK_SRV/{query}").json()["d"]["results"]
    assert (row["MatlWrhsStkQtyInMatlBaseUnit"], row["MaterialBaseUnit"]) == ("8", "PC")
    assert erp.call("POST", "API_MATERIAL_STOCK_SRV/A_MatlStkInAcctMod", json={}).status_code == 405


def test_products_are_read_and_not_created(erp: ErpClient) -> None:
    product = erp.call("GET", "API_PRODUCT_SRV/A_Product('SENSOR-100')?$expand=to_Description").json()["d"]
    assert product["to_Description"]["results"][0]["ProductDescription"] == "Temperature sensor 100"
    answer = erp.call("POST", "API_PRODUCT_SRV/A_Product", json={"Product": "NEW"})
    assert answer.json()["error"]["code"] == "API_PRD_MSG/009"


@pytest.mark.parametrize(("body", "status"), [("{", 400), ("[]", 400), ('{"d":{"SalesOrderType":"OR"}}', 400)])
def test_a_broken_body_is_refused(erp: ErpClient, body: str, status: int) -> None:
    headers: dict[str, Any] = {"Content-Type": "application/json"}
    assert erp.call("POST", ORDERS, data=body, headers=headers).status_code == status
    assert erp.call("POST", ORDERS, data=body, headers={"Content-Type": "text/plain"}).status_code == 415


def test_addresses_are_searched_by_their_beginning_in_upper_case(erp: ErpClient) -> None:
    """Filters compare letter by letter; the server itself keeps twenty characters of each address to search by."""
    erp.customer()

    def found(condition: str) -> int:
        path = f"API_BUSINESS_PARTNER/A_AddressEmailAddress?$filter={condition}"
        return len(erp.call("GET", path).json()["d"]["results"])

    assert found("EmailAddress eq 'ap@fjord.example.com'") == 1
    assert found("EmailAddress eq 'AP@fjord.example.com'") == 0
    assert found("SearchEmailAddress eq 'AP@FJORD.EXAMPLE.COM'") == 1
    assert found("SearchEmailAddress eq 'ap@fjord.example.com'") == 0
