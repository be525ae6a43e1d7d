"""The stand-ins against the vendors' machine-readable specifications, where these are at hand."""

import json
from functools import cache
from typing import Any

import jsonschema
import pytest
import yaml
from defusedxml import ElementTree

from crmsync.lab.sandbox import Sandbox
from crmsync.lab.sandbox.sap import fields as unoffered
from crmsync.lab.sandbox.sap.fields import ORDER_FIELDS, PARTNER_FIELDS, PRODUCT_KEYS
from crmsync.lab.sandbox.sap.metadata import NAVS, NOT_CREATABLE, NOT_DELETABLE, entities, services
from tests import specs
from tests.sandbox.clients import BooksClient

SAP = "{http://www.sap.com/Protocols/SAPData}"
EDMX = {
    "API_BUSINESS_PARTNER": PARTNER_FIELDS,
    "API_SALES_ORDER_SRV": ORDER_FIELDS,
    "API_PRODUCT_SRV": ("A_Product", "A_ProductDescription"),
}
SETS = [(service, name) for service, names in EDMX.items() for name in names]
# What live answers are known to have otherwise than the OpenAPI files say.
SLIPS = {"total", "balance", "page_context"}

needs_sap, needs_books = specs.needs("s4hana"), specs.needs("zoho-books")


@cache
def edmx(service: str) -> Any:
    return ElementTree.parse(specs.FOLDER / "s4hana" / f"{service}.edmx").getroot()


def tagged(root: Any, tag: str) -> list[Any]:
    return [element for element in root.iter() if element.tag.rpartition("}")[2] == tag]


def entity_type(service: str, name: str) -> Any:
    return next(one for one in tagged(edmx(service), "EntityType") if one.get("Name") == f"{name}Type")


@needs_sap
@pytest.mark.parametrize(("service", "name"), SETS)
def test_fields_agree_with_the_metadata(service: str, name: str) -> None:
    claimed = {
        field.name: (field.kind, field.length, field.precision, field.scale, field.writable, field.writable)
        for field in entities()[name].fields.values()
    }
    stated = {one.get("Name"): _property(one) for one in tagged(entity_type(service, name), "Property")}
    assert claimed == stated


def _property(one: Any) -> tuple[Any, ...]:
    kind = one.get("Type").removeprefix("Edm.")
    numbers = [int(one.get(size)) if one.get(size) else None for size in ("MaxLength", "Precision", "Scale")]
    sizes = numbers if kind == "Decimal" else [numbers[0], None, None]
    rights = [one.get(SAP + right) != "false" for right in ("creatable", "updatable")]
    return (kind, *(sizes if kind in ("Decimal", "String") else [None] * 3), *rights)


@needs_sap
@pytest.mark.parametrize(("service", "name"), SETS)
def test_keys_and_links_agree_with_the_metadata(service: str, name: str) -> None:
    stated = entity_type(service, name)
    assert list(entities()[name].keys) == [one.get("Name") for one in tagged(stated, "PropertyRef")]
    assert set(NAVS.get(name, {})) <= {one.get("Name") for one in tagged(stated, "NavigationProperty")}


@needs_sap
@pytest.mark.parametrize(("service", "name"), SETS)
def test_links_have_the_multiplicity_of_the_metadata(service: str, name: str) -> None:
    ends = {one.get("Name"): tagged(one, "End") for one in tagged(edmx(service), "Association")}
    for link in tagged(entity_type(service, name), "NavigationProperty"):
        to = next(
            end for end in ends[link.get("Relationship").rpartition(".")[2]] if end.get("Role") == link.get("ToRole")
        )
        if nav := NAVS.get(name, {}).get(link.get("Name")):
            assert (nav.target + "Type", nav.many) == (to.get("Type").rpartition(".")[2], to.get("Multiplicity") == "*")


@needs_sap
@pytest.mark.parametrize("service", EDMX)
def test_whatever_the_metadata_has_is_served_or_said_not_to_be(service: str) -> None:
    named = {one.get("Name") for kind in ("EntitySet", "FunctionImport") for one in tagged(edmx(service), kind)}
    assert named == {*services()[service], *unoffered.SETS[service]}
    for name in services()[service]:
        links = {one.get("Name") for one in tagged(entity_type(service, name), "NavigationProperty")}
        assert links == {*NAVS.get(name, {}), *unoffered.NAVS.get(name, ())}


@needs_sap
@pytest.mark.parametrize(("service", "name"), SETS)
def test_what_may_be_created_and_deleted_agrees_with_the_metadata(service: str, name: str) -> None:
    stated = next(one for one in tagged(edmx(service), "EntitySet") if one.get("Name") == name)
    assert (name in NOT_CREATABLE) is (stated.get(SAP + "creatable") == "false")
    assert (name in NOT_DELETABLE) is (stated.get(SAP + "deletable") == "false")


@needs_sap
def test_stock_fields_agree_with_the_openapi_file() -> None:
    text = (specs.FOLDER / "s4hana" / "API_MATERIAL_STOCK_SRV.openapi.json").read_text()
    for name in ("A_MaterialStock", "A_MatlStkInAcctMod"):
        stated = json.loads(text)["components"]["schemas"][name]["properties"]
        fields = {one: details.get("maxLength") for one, details in stated.items() if not one.startswith("to_")}
        claimed = {field.name: field.length for field in entities()[name].fields.values()}
        assert claimed == fields
    assert PRODUCT_KEYS["A_MatlStkInAcctMod"].startswith("Material Plant")


@cache
def openapi(name: str) -> Any:
    return yaml.safe_load((specs.FOLDER / "zoho-books" / f"{name}.yml").read_text())


def valid(name: str, path: str, method: str, status: str, answer: Any) -> None:
    """Validate an answer of Zoho's stand-in, known slips of the file left out."""
    document = openapi(name)
    schema = document["paths"][path][method]["responses"][status]["content"]["application/json"]["schema"]
    checker = jsonschema.Draft202012Validator({**schema, "components": document["components"]})
    errors = [error for error in checker.iter_errors(answer) if not SLIPS & set(map(str, error.absolute_path))]
    assert not errors, [(list(error.absolute_path), error.message) for error in errors]


@needs_books
def test_zoho_answers_are_valid(sandbox: Sandbox, books: BooksClient) -> None:
    contact = books.contact()
    made = books.invoice(contact["contact_id"])
    paid = sandbox.invoices.pay(made["invoice_id"])

    def check(file: str, path: str, address: str) -> None:
        valid(file, path, "get", "200", books.call("GET", address).json())

    valid("invoices", "/invoices", "post", "201", {"code": 0, "message": "x", "invoice": made})
    valid("contacts", "/contacts", "post", "201", {"code": 0, "message": "x", "contact": contact})
    check("contacts", "/contacts", "/contacts")
    check("contacts", "/contacts/{contact_id}", f"/contacts/{contact['contact_id']}")
    check("invoices", "/invoices", "/invoices")
    check("invoices", "/invoices/{invoice_id}", f"/invoices/{made['invoice_id']}")
    check("customer-payments", "/customerpayments", "/customerpayments")
    check("customer-payments", "/customerpayments/{payment_id}", f"/customerpayments/{paid.payment_id}")
    check("items", "/items", "/items")
    check("currency", "/settings/currencies", "/settings/currencies")
    check("taxes", "/settings/taxes", "/settings/taxes")
    check("organizations", "/organizations", "/organizations")


def test_outbound_messages_have_the_order_of_the_wsdl(sandbox: Sandbox) -> None:
    sandbox.outbound.enqueue(sandbox.deals.create().id)
    root = ElementTree.fromstring(sandbox.outbound.envelope(sandbox.outbound.queue))
    wsdl = ElementTree.parse(specs.OWN / "salesforce" / "outbound-message-opportunity.wsdl").getroot()
    stated = next(one for one in tagged(wsdl, "element") if one.get("name") == "notifications")
    names = [one.get("name") for one in tagged(stated, "element")][1:]
    sent = next(one for one in root.iter() if one.tag.endswith("}notifications"))
    assert [one.tag.rpartition("}")[2] for one in sent] == names
    fields = next(one for one in tagged(wsdl, "complexType") if one.get("name") == "Opportunity")
    known = ["Id", *(one.get("name") for one in tagged(fields, "element"))]
    record = next(one for one in root.iter() if one.tag.endswith("}sObject"))
    order = [known.index(one.tag.rpartition("}")[2]) for one in record]
    assert order == sorted(order)
