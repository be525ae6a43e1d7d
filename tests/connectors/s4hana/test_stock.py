"""The role of stock: what counts, how its pages are read, and which materials SAP knows."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from crmsync import errors
from crmsync.connectors.s4hana.client import S4Hana
from crmsync.connectors.s4hana.stock import BATCH_CHARACTERS, BATCH_CODES, conditions
from crmsync.domain.stock import StockRow
from tests.specs import needs

from ..conftest import LoadFixture
from . import specs
from .conftest import PRODUCTS, STOCK, Build, Sap

STOCK_SET = f"{STOCK}/A_MatlStkInAcctMod"
PRODUCT_SET = f"{PRODUCTS}/A_Product"

UNRESTRICTED = "InventoryStockType eq '01' and InventorySpecialStockType eq ''"
NEAR = StockRow("4711", Decimal("12"), "PC")
FAR = StockRow("4711", Decimal("-2"), "PC")
BLOCKED = StockRow("4711", Decimal("3"), "PC")
LOOSE = StockRow("TG11", Decimal("0.12345678901234"), "KG")

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def page(fixture: LoadFixture) -> Make:
    """A page of the materials from *start* on, *count* of them, one piece of each."""
    row = fixture("stock__mixed")["d"]["results"][0]

    def made(start: int, count: int, **more: Any) -> dict[str, Any]:
        numbers = range(start, start + count)
        rows = [{**row, "Material": f"M{number:06}", "MatlWrhsStkQtyInMatlBaseUnit": "1"} for number in numbers]
        return {"d": {"results": rows, **more}}

    return made


def read(connector: S4Hana) -> list[StockRow]:
    return [row for rows in connector.stock() for row in rows]


def sizes(connector: S4Hana) -> list[int]:
    return [len(rows) for rows in connector.stock()]


# settings → the filter that is sent, and what counts of rows that the filter was ignored for
FILTERS: dict[str, tuple[dict[str, Any], str, list[StockRow]]] = {
    "as it comes": ({}, UNRESTRICTED, [NEAR, FAR, LOOSE]),
    "a plant": ({"stock_plants": ("1010",)}, f"{UNRESTRICTED} and Plant eq '1010'", [NEAR, LOOSE]),
    "plants": (
        {"stock_plants": ("1020", "1030")},
        f"{UNRESTRICTED} and (Plant eq '1020' or Plant eq '1030')",
        [FAR],
    ),
    "types": (
        {"stock_types": ("07", "01")},
        "(InventoryStockType eq '01' or InventoryStockType eq '07') and InventorySpecialStockType eq ''",
        [NEAR, FAR, BLOCKED, LOOSE],
    ),
    "another type": ({"stock_types": ("07",)}, UNRESTRICTED.replace("01", "07"), [BLOCKED]),
}


@pytest.mark.parametrize(("changes", "condition", "counted"), FILTERS.values(), ids=FILTERS)
def test_what_counts_is_asked_for_and_looked_at_again(
    sap: Sap, build: Build, fixture: LoadFixture, changes: dict[str, Any], condition: str, counted: list[StockRow]
) -> None:
    sap.answers("GET", STOCK_SET, fixture("stock__mixed"))

    assert read(build(**changes)) == counted
    assert sap.queries()[0]["$filter"] == condition


def test_rows_are_put_in_an_order_in_which_none_is_like_another(sap: Sap, build: Build, page: Make) -> None:
    sap.answers("GET", STOCK_SET, page(0, 1))

    read(build())

    (query,) = sap.queries()
    assert query["$orderby"] == (
        "Material,Plant,StorageLocation,Batch,Supplier,Customer,WBSElementInternalID,SDDocument,SDDocumentItem,"
        "InventorySpecialStockType,InventoryStockType"
    )
    assert query["$select"] == f"{query['$orderby']},MaterialBaseUnit,MatlWrhsStkQtyInMatlBaseUnit"


def test_a_service_that_does_not_page_is_asked_for_the_next_thousand(sap: Sap, build: Build, page: Make) -> None:
    for start, count in ((0, 1000), (1000, 1000), (2000, 1)):
        sap.answers("GET", STOCK_SET, page(start, count))

    assert sizes(build()) == [1000, 1000, 1]
    assert [(each["$top"], each["$skip"]) for each in sap.queries()] == [
        ("1000", "0"),
        ("1000", "1000"),
        ("1000", "2000"),
    ]


def test_stock_that_ends_with_a_page_ends_with_an_empty_one(sap: Sap, build: Build, page: Make) -> None:
    sap.answers("GET", STOCK_SET, page(0, 1000))
    sap.answers("GET", STOCK_SET, page(0, 0))

    assert sizes(build()) == [1000, 0]


# pages as (rows, whether a link follows) → the values of $skip that were asked for; a link has none
PAGINGS = {
    "links to the end": ([(400, True), (400, True), (400, True), (7, False)], ["0", None, None, None]),
    "links within what was asked for": ([(600, True), (400, False), (5, False)], ["0", None, "1000"]),
    "$top ignored": ([(1700, False)], ["0"]),
    "nothing at all": ([(0, False)], ["0"]),
}


@pytest.mark.parametrize(("pages", "skips"), PAGINGS.values(), ids=PAGINGS)
def test_every_way_of_paging_is_followed_to_its_end(
    sap: Sap, build: Build, page: Make, pages: list[tuple[int, bool]], skips: list[str | None]
) -> None:
    start = 0
    for count, goes_on in pages:
        link = {"__next": f"{STOCK_SET}?$skiptoken={start + count}"} if goes_on else {}
        sap.answers("GET", STOCK_SET, page(start, count, **link))
        start += count

    assert [row.code for row in read(build())] == [f"M{number:06}" for number in range(start)]
    assert [each.get("$skip") for each in sap.queries()] == skips


# the second page's link and rows, where the first page is rows 0 to 999 with a link to 1000
LOOPS = {
    "the same address": (1000, f"{STOCK_SET}?$skiptoken=1000"),
    "the same rows elsewhere": (0, f"{STOCK_SET}?$skiptoken=2000"),
}


@pytest.mark.parametrize(("start", "link"), LOOPS.values(), ids=LOOPS)
def test_a_page_that_comes_again_is_an_error(sap: Sap, build: Build, page: Make, start: int, link: str) -> None:
    sap.answers("GET", STOCK_SET, page(0, 1000, __next=f"{STOCK_SET}?$skiptoken=1000"))
    sap.answers("GET", STOCK_SET, page(start, 1000, __next=link))

    with pytest.raises(errors.UnexpectedAnswerError):
        read(build())


def test_a_service_that_ignores_skip_is_an_error(sap: Sap, build: Build, page: Make) -> None:
    sap.answers("GET", STOCK_SET, page(0, 1000))
    sap.answers("GET", STOCK_SET, page(0, 1000))

    with pytest.raises(errors.UnexpectedAnswerError, match="twice"):
        read(build())


def test_a_row_that_slid_to_the_next_page_counts_once(sap: Sap, build: Build, page: Make) -> None:
    sap.answers("GET", STOCK_SET, page(0, 1000))
    sap.answers("GET", STOCK_SET, page(998, 4))

    assert sizes(build()) == [1000, 2]


def test_pages_are_asked_for_one_by_one(sap: Sap, build: Build, page: Make) -> None:
    pages = build().stock()
    assert sap.sent == []

    sap.answers("GET", STOCK_SET, page(0, 1000))
    next(pages)

    assert len(sap.sent) == 1


def test_more_than_a_search_may_bring_is_read(sap: Sap, build: Build, page: Make) -> None:
    for number in range(201):
        link = {"__next": f"{STOCK_SET}?$skiptoken={number}"} if number < 200 else {}
        sap.answers("GET", STOCK_SET, page(number, 1, **link))

    assert len(read(build())) == 201


# what a row says instead → the quantity read
QUANTITIES: dict[str, tuple[Any, Decimal]] = {
    "fourteen decimals": ("0.00000000000001", Decimal("0.00000000000001")),
    "negative": ("-5.250", Decimal("-5.25")),
    "zero": ("0.000", Decimal(0)),
    "null": (None, Decimal(0)),
    "a number": (7, Decimal(7)),
}


@pytest.mark.parametrize(("told", "quantity"), QUANTITIES.values(), ids=QUANTITIES)
def test_quantities_are_exact(sap: Sap, build: Build, page: Make, told: Any, quantity: Decimal) -> None:
    answer = page(0, 1)
    answer["d"]["results"][0]["MatlWrhsStkQtyInMatlBaseUnit"] = told
    sap.answers("GET", STOCK_SET, answer)

    (row,) = read(build())

    assert row == StockRow("M000000", quantity, "PC")


@pytest.mark.parametrize("told", ["", "n/a", "NaN", "Infinity"])
def test_a_quantity_that_can_not_be_read_is_not_nothing(sap: Sap, build: Build, page: Make, told: str) -> None:
    answer = page(0, 1)
    answer["d"]["results"][0]["MatlWrhsStkQtyInMatlBaseUnit"] = told
    sap.answers("GET", STOCK_SET, answer)

    with pytest.raises(errors.UnexpectedAnswerError):
        read(build())


@pytest.mark.parametrize(
    "field",
    ["Material", "Plant", "InventoryStockType", "InventorySpecialStockType", "MatlWrhsStkQtyInMatlBaseUnit"],
)
def test_a_row_without_what_decides_is_not_nothing(sap: Sap, build: Build, page: Make, field: str) -> None:
    answer = page(0, 1)
    del answer["d"]["results"][0][field]
    sap.answers("GET", STOCK_SET, answer)

    with pytest.raises(errors.UnexpectedAnswerError):
        read(build())


def test_a_missing_permission_is_not_an_empty_stock(sap: Sap, build: Build) -> None:
    sap.answers("GET", STOCK_SET, None, status=403)

    with pytest.raises(errors.AuthenticationError):
        read(build())


# codes asked for, products that SAP answers with → those known
KNOWN: dict[str, tuple[set[str], list[str], set[str]]] = {
    "as they are": ({"TG11", "TG12"}, ["TG11"], {"TG11"}),
    "case": ({"tg11"}, ["TG11"], {"tg11"}),
    "blanks around": ({" TG11 "}, ["TG11"], {" TG11 "}),
    "zeros in SAP": ({"4711"}, ["000000000000004711"], {"4711"}),
    "zeros in the CRM": ({"0004711"}, ["4711"], {"0004711"}),
    "zeros on both": ({"00004711"}, ["0004711"], {"00004711"}),
    "zeros of a name count": ({"0A1"}, ["A1"], set()),
    "two forms of one": ({"4711", "004711"}, ["4711"], {"4711", "004711"}),
    "filter ignored": ({"TG11"}, ["TG10", "TG11", "TG110"], {"TG11"}),
    "filter ignored, nothing of ours": ({"TG11"}, ["TG10"], set()),
    "none": ({"TG11"}, [], set()),
    "a quote": ({"3/4'"}, ["3/4'"], {"3/4'"}),
    "too long beside one that is not": ({"TG11", "x" * 41}, ["TG11"], {"TG11"}),
    "forty characters": ({"X" * 40}, ["X" * 40], {"X" * 40}),
}


@pytest.mark.parametrize(("codes", "products", "known"), KNOWN.values(), ids=KNOWN)
def test_materials_are_known_in_the_form_they_were_asked_for(
    sap: Sap, build: Build, codes: set[str], products: list[str], known: set[str]
) -> None:
    sap.answers("GET", PRODUCT_SET, {"d": {"results": [{"Product": product} for product in products]}})

    assert build().known_materials(codes, lambda: None) == known


@pytest.mark.parametrize("codes", [set(), {""}, {"  "}, {"x" * 41}, {"ß" * 21}, {"0" * 50 + "1"}])
def test_what_sap_can_not_hold_is_not_asked_for(sap: Sap, build: Build, codes: set[str]) -> None:
    assert build().known_materials(codes, lambda: None) == set()


# codes → the filter
CONDITIONS = {
    "a name": (["tg11"], "Product eq 'TG11'"),
    "a quote": (["o'ring"], "Product eq 'O''RING'"),
    "a number": (["4711"], "Product eq '4711' or Product eq '000000000000004711'"),
    "a number with zeros": (
        ["04711"],
        "Product eq '4711' or Product eq '000000000000004711' or Product eq '04711'",
    ),
    "a long number": (["1" * 20], f"Product eq '{'1' * 20}'"),
}


@pytest.mark.parametrize(("codes", "condition"), CONDITIONS.values(), ids=CONDITIONS)
def test_every_form_of_a_code_is_asked_for(sap: Sap, build: Build, codes: list[str], condition: str) -> None:
    sap.answers("GET", PRODUCT_SET, {"d": {"results": []}})

    build().known_materials(codes, lambda: None)

    (query,) = sap.queries()
    assert (query["$filter"], query["$select"], query["$orderby"]) == (condition, "Product", "Product")


def test_many_codes_are_asked_for_in_batches(sap: Sap, build: Build) -> None:
    codes = [f"T{number:03}" for number in range(100)]
    for batch in (codes[:40], codes[40:80], codes[80:]):
        sap.answers("GET", PRODUCT_SET, {"d": {"results": [{"Product": code} for code in batch[1:]]}})

    assert build().known_materials(codes, lambda: None) == set(codes) - {"T000", "T040", "T080"}
    assert [each["$filter"].count(" eq ") for each in sap.queries()] == [BATCH_CODES, BATCH_CODES, 20]


@pytest.mark.parametrize("letter", ["X", "Ж", "'", "&"])
def test_no_address_is_longer_than_what_proxies_take(sap: Sap, build: Build, letter: str) -> None:
    codes = [f"{letter * 37}{number:03}" for number in range(50)]
    for _ in conditions(codes):
        sap.answers("GET", PRODUCT_SET, {"d": {"results": []}})

    build().known_materials(codes, lambda: None)

    assert max(len(request.url or "") for request in sap.sent) < BATCH_CHARACTERS + 250
    assert sum(each["$filter"].count(" eq ") for each in sap.queries()) == 50


def test_a_missing_permission_is_not_a_missing_material(sap: Sap, build: Build) -> None:
    sap.answers("GET", PRODUCT_SET, None, status=403)

    with pytest.raises(errors.AuthenticationError):
        build().known_materials(["TG11"], lambda: None)


def test_the_client_of_an_on_premise_system_is_named(sap: Sap, build: Build, page: Make) -> None:
    sap.answers("GET", STOCK_SET, page(0, 1))

    read(build(sap_client="100"))

    assert sap.queries()[0]["sap-client"] == "100"


@needs("s4hana")
def test_the_fixture_has_the_fields_of_the_service(fixture: LoadFixture) -> None:
    (row, *_) = fixture("stock__mixed")["d"]["results"]

    known = specs.Model.of("API_MATERIAL_STOCK_SRV").types["A_MatlStkInAcctMod"].properties

    assert set(row) - {"__metadata"} <= set(known)
