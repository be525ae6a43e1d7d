"""Products in great number, their stock in SAP, and products that refuse to be changed in Salesforce."""

import time
from decimal import Decimal
from typing import Any

import pytest

from crmsync.lab.sandbox import Sandbox
from tests.sandbox.clients import CrmClient, ErpClient, Json, item, order

STOCK = "API_MATERIAL_STOCK_SRV/A_MatlStkInAcctMod"
ROWS: list[Json] = [
    {"quantity": 5},
    {"quantity": "2.5", "location": "101B"},
    {"quantity": 0, "location": "101C"},
    {"quantity": 7, "plant": "1710", "location": "171A"},
    {"quantity": 11, "type": "02"},
    {"quantity": 13, "type": "07"},
    {"quantity": 17, "special": "E", "order": "4711", "item": "10"},
]


def results(erp: ErpClient, path: str) -> list[Json]:
    answer = erp.call("GET", path)
    assert answer.status_code == 200, answer.text
    found: list[Json] = answer.json()["d"]["results"]
    return found


def quantities(rows: list[Json]) -> list[str]:
    return sorted(row["MatlWrhsStkQtyInMatlBaseUnit"] for row in rows)


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ("", ["0", "11", "13", "17", "2.5", "5", "7"]),
        (" and InventoryStockType eq '01'", ["0", "17", "2.5", "5", "7"]),
        (" and InventoryStockType eq '01' and InventorySpecialStockType eq ''", ["0", "2.5", "5", "7"]),
        (" and (Plant eq '1710' or Plant eq '1720')", ["7"]),
        (" and SDDocument eq '4711' and SDDocumentItem eq '000010'", ["17"]),
        (" and MatlWrhsStkQtyInMatlBaseUnit gt 6M and MaterialBaseUnit eq 'PC'", ["11", "13", "17", "7"]),
    ],
)
def test_stock_lies_in_rows(erp: ErpClient, sandbox: Sandbox, more: str, found: list[str]) -> None:
    sandbox.products.set_stock_rows("CABLE-05", ROWS)
    assert quantities(results(erp, f"{STOCK}?$filter=Material eq 'CABLE-05'{more}")) == found
    assert sandbox.products.stock()["CABLE-05"] == Decimal("14.5")
    sandbox.products.set_stock("CABLE-05", Decimal(3))
    assert sandbox.products.stock()["CABLE-05"] == 3


def test_a_stock_row_that_cannot_be_is_an_error(sandbox: Sandbox) -> None:
    with pytest.raises(KeyError):
        sandbox.products.set_stock_rows("NO-SUCH", ROWS)
    for row in ({"quantity": 1, "type": "99"}, {"quantity": 1, "shelf": "A"}, {"quantity": 1, "special": "X"}):
        with pytest.raises(ValueError, match="no stock row"):
            sandbox.products.set_stock_rows("CABLE-05", [row])
    assert sandbox.products.stock()["CABLE-05"] == 8


def test_stock_is_selected_ordered_and_paged(erp: ErpClient, sandbox: Sandbox) -> None:
    sandbox.profile.sap.page_size = 2
    query = "$filter=InventoryStockType eq '01'&$orderby=Material desc&$select=Material,MatlWrhsStkQtyInMatlBaseUnit"
    address, rows = erp.url(f"{STOCK}?{query}&$top=4&$skip=1"), []
    while address:
        page = erp.session.get(address, timeout=10).json()["d"]
        rows += page["results"]
        address = page.get("__next")
    assert [row["Material"] for row in rows] == ["SENSOR-200", "SENSOR-100", "GATEWAY-10", "CABLE-05"]
    assert set(rows[0]) == {"__metadata", "Material", "MatlWrhsStkQtyInMatlBaseUnit"}
    after = f"{STOCK}?$filter=Material gt 'GATEWAY-10' and InventoryStockType eq '01'&$orderby=Material&$top=2"
    assert [row["Material"] for row in results(erp, after)] == ["SENSOR-100", "SENSOR-200"]


def test_a_page_shows_what_was_changed_after_the_last(erp: ErpClient, sandbox: Sandbox) -> None:
    query = f"{STOCK}?$filter=InventoryStockType eq '01'&$orderby=Material&$inlinecount=allpages"
    assert results(erp, query)[0]["MatlWrhsStkQtyInMatlBaseUnit"] == "8"
    sandbox.products.set_stock("CABLE-05", Decimal(9))
    assert results(erp, query)[0]["MatlWrhsStkQtyInMatlBaseUnit"] == "9"


@pytest.mark.parametrize(("padded", "shown"), [(False, "4711"), (True, "000000000000004711")])
def test_a_numeric_material_is_one_with_or_without_zeros(
    erp: ErpClient, sandbox: Sandbox, padded: bool, shown: str
) -> None:
    sandbox.profile.sap.padded_materials = padded
    sandbox.products.add("4711", "Valve", Decimal(10), stock=Decimal(6))
    for code in ("4711", "000000000000004711"):
        [row] = results(erp, f"{STOCK}?$filter=Material eq '{code}'")
        assert (row["Material"], row["MatlWrhsStkQtyInMatlBaseUnit"]) == (shown, "6")
        assert f"Material='{shown}'" in row["__metadata"]["uri"]
        assert erp.call("GET", f"API_PRODUCT_SRV/A_Product('{code}')").json()["d"]["Product"] == shown
        assert erp.create_order(order(erp.customer(), item(code, "1"))).status_code == 201
    assert sandbox.products.stock()["4711"] == 6


def test_products_are_asked_for_by_name(erp: ErpClient) -> None:
    query = "$filter=Product eq 'CABLE-05' or Product eq 'SENSOR-100' or Product eq 'NO-SUCH'&$orderby=Product"
    rows = results(erp, f"API_PRODUCT_SRV/A_Product?{query}&$select=Product,BaseUnit,LastChangeDateTime")
    assert [(row["Product"], row["BaseUnit"]) for row in rows] == [("CABLE-05", "PC"), ("SENSOR-100", "PC")]


def test_many_products_come_quickly_and_the_same_for_the_same_seed() -> None:
    first, second = Sandbox(seed=3), Sandbox(seed=3)
    started = time.process_time()
    codes = first.products.bulk(5000)
    assert time.process_time() - started < 2
    assert second.products.bulk(5000) == codes
    assert first.products.stock() == second.products.stock()
    assert first.products.change_stock(0.01) == second.products.change_stock(0.01)


def test_bulk_products_are_known_to_both(sandbox: Sandbox, erp: ErpClient, crm: CrmClient) -> None:
    codes = sandbox.products.bulk(300, stock=Decimal(7), prefix="", first=100, is_synced=True)
    assert codes[0] == "000100"
    [row] = results(erp, f"{STOCK}?$filter=Material eq '100'")
    assert row["MatlWrhsStkQtyInMatlBaseUnit"] == "7"
    [row] = crm.records("SELECT Available_Stock__c, Low_Stock_Alert__c FROM Product2 WHERE ProductCode = '000100'")
    assert (row["Available_Stock__c"], row["Low_Stock_Alert__c"]) == (7.0, True)
    changed = sandbox.products.change_stock(0.1)
    assert len(changed) == 30
    assert {code: sandbox.products.stock()[code] for code in changed} == changed
    made = sandbox.deals.create(lines=[{"product": "000100"}])
    assert crm.records(f"SELECT ProductCode FROM OpportunityLineItem WHERE OpportunityId = '{made.id}'")


def patch(crm: CrmClient, ids: list[str], **fields: Any) -> list[Json]:
    rows = [{"attributes": {"type": "Product2"}, "id": one, **fields} for one in ids]
    answer = crm.call("PATCH", "/composite/sobjects", json={"records": rows, "allOrNone": False})
    assert answer.status_code == 200
    found: list[Json] = answer.json()
    return found


def test_refused_rows_stand_among_those_that_work(sandbox: Sandbox, crm: CrmClient) -> None:
    codes = sandbox.products.bulk(200)
    ids = [str(sandbox.products.find(code)) for code in codes]
    sandbox.products.refuse(codes[3], fields=["Available_Stock__c"])
    sandbox.products.refuse(codes[4], "ENTITY_IS_LOCKED")
    sandbox.products.refuse(codes[5], "UNABLE_TO_LOCK_ROW", times=1)
    sandbox.products.delete(codes[6])

    rows = patch(crm, ids, Available_Stock__c=5)

    refused = {index: row["errors"][0]["statusCode"] for index, row in enumerate(rows) if not row["success"]}
    locks = {3: "FIELD_CUSTOM_VALIDATION_EXCEPTION", 4: "ENTITY_IS_LOCKED", 5: "UNABLE_TO_LOCK_ROW"}
    assert refused == {**locks, 6: "ENTITY_IS_DELETED"}
    assert ids[5] in rows[5]["errors"][0]["message"]
    assert rows[3]["errors"][0]["fields"] == ["Available_Stock__c"]
    stamps = crm.records("SELECT SystemModstamp FROM Product2 WHERE Available_Stock__c = 5")
    assert len(stamps) == 196
    assert len({row["SystemModstamp"] for row in stamps}) == 1

    sandbox.products.accept(codes[3])
    assert [row["success"] for row in patch(crm, ids[3:6], Low_Stock_Alert__c=True)] == [True, False, True]
    single = crm.call("PATCH", f"/sobjects/Product2/{ids[4]}", json={"Available_Stock__c": 1})
    assert (single.status_code, single.json()[0]["errorCode"]) == (400, "ENTITY_IS_LOCKED")
    with pytest.raises(ValueError, match="needs a message"):
        sandbox.products.refuse(codes[7], "TXN_SECURITY_NO_ACCESS")


def test_a_bulk_update_tells_which_rows_failed(sandbox: Sandbox, crm: CrmClient) -> None:
    codes = sandbox.products.bulk(3)
    ids = [sandbox.products.find(code) for code in codes]
    sandbox.products.refuse(codes[1], message="Stock is frozen", fields=["Available_Stock__c"])
    job = crm.call("POST", "/jobs/ingest", json={"object": "Product2", "operation": "update", "lineEnding": "LF"})
    path = f"/jobs/ingest/{job.json()['id']}"
    csv = "Id,Available_Stock__c,Low_Stock_Alert__c\n" + "".join(f"{one},4,true\n" for one in ids)
    crm.call("PUT", f"{path}/batches", data=csv.encode(), headers={"Content-Type": "text/csv"})
    crm.call("PATCH", path, json={"state": "UploadComplete"})
    states = [crm.call("GET", path).json() for _ in range(2)]
    assert (states[1]["state"], states[1]["numberRecordsProcessed"], states[1]["numberRecordsFailed"]) == (
        "JobComplete", 3, 1)  # fmt: skip
    failed = crm.call("GET", f"{path}/failedResults").text.splitlines()
    reason = "FIELD_CUSTOM_VALIDATION_EXCEPTION:Stock is frozen:Available_Stock__c --"
    assert failed[1] == f"{ids[1]},{reason},{ids[1]},4,true"
    shown = {row["ProductCode"]: (row["Available_Stock__c"], row["stock"]) for row in sandbox.ledger()["products"]}
    assert [shown[code][0] for code in codes] == [4, None, 4]
    assert shown["CABLE-05"] == (None, 8)
