"""One declaration of a setting is read from the environment, and from a row or a body by its name."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from crmsync.connectors import registry
from crmsync.environment import Reader, Secret
from crmsync.needs import WITHHELD
from crmsync.settings import Settings
from tests.builders import private_pem

SALESFORCE: dict[str, Any] = {"client_id": "id", "username": "crmsync@example.com", "private_key": private_pem()}
SAP: dict[str, Any] = {
    "base_url": "https://sap.example.com",
    "client_id": "id",
    "client_secret": "geheim",
    "sales_organization": "1010",
}
BOOKS: dict[str, Any] = {
    "client_id": "id",
    "client_secret": "geheim-client",
    "refresh_token": "geheim-token",
    "organization_id": "1",
}
COMPLETE = {
    "salesforce": {**SALESFORCE, "webhook_forms": ["signature", "bearer"], "webhook_secret": "0123456789abc"},
    "s4hana": {**SAP, "stock_plants": ["1010", "1020"], "calls_at_once": 3, "default_country": "DE"},
    "zoho_books": {**BOOKS, "item_lookup": True, "line_discounts": False, "calls_per_day": 2000},
}


def read(system: str, values: dict[str, Any], **options: Any) -> tuple[Any, dict[str, str]]:
    return registry.system(system).read_mapping(values, **options)


def problems(system: str, values: dict[str, Any], **options: Any) -> dict[str, str]:
    return read(system, values, **options)[1]


def written(value: Any) -> str:
    """As a variable has it."""
    return ",".join(value) if isinstance(value, list) else str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize("system", COMPLETE)
def test_a_mapping_and_the_environment_come_to_the_same(system: str) -> None:
    declared = {each.name: each.variable for each in registry.system(system).declared}
    env = {declared[name]: written(value) for name, value in COMPLETE[system].items()}

    found, wrong = read(system, COMPLETE[system])

    assert wrong == {}
    assert found == Settings.from_env({"HOME": "/nowhere", **env}).systems[system]


@pytest.mark.parametrize("system", COMPLETE)
def test_every_setting_is_declared_with_what_it_is_for(system: str) -> None:
    of = registry.system(system)

    assert [each.name for each in of.declared] == [each.name for each in fields(of.settings)]
    assert {each.variable for each in of.declared if each.is_secret} == {*of.sign_in_secrets, *of.door_secrets}


@pytest.mark.parametrize("system", COMPLETE)
def test_a_secret_is_what_the_reader_takes_for_one(system: str) -> None:
    of = registry.system(system)
    reader = Reader({})
    of.read(reader)
    found, _ = read(system, COMPLETE[system])

    secrets = {each.variable for each in of.declared if isinstance(getattr(found, each.name), Secret)}
    assert secrets <= {*of.sign_in_secrets, *of.door_secrets}
    assert set(reader.secrets) <= {*of.sign_in_secrets, *of.door_secrets}


PROBLEMS: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "what is missing": ("s4hana", {}, {"base_url": "is missing", "sales_organization": "is missing"}),
    "a number": ("s4hana", {**SAP, "calls_at_once": 0}, {"calls_at_once": "expected a whole number from 1"}),
    "a number as true": ("s4hana", {**SAP, "calls_at_once": True}, {"calls_at_once": "expected a whole number"}),
    "a fraction": ("s4hana", {**SAP, "calls_at_once": 1.5}, {"calls_at_once": "expected a whole number"}),
    "text as a number": ("s4hana", {**SAP, "sap_client": 100}, {"sap_client": "expected a text"}),
    "a flag": ("zoho_books", {**BOOKS, "line_discounts": "maybe"}, {"line_discounts": "expected true or false"}),
    "a flag as a list": ("zoho_books", {**BOOKS, "line_discounts": []}, {"line_discounts": "expected true or false"}),
    "a list": ("s4hana", {**SAP, "stock_plants": [1010]}, {"stock_plants": "expected a list of strings"}),
    "an item of a list": ("s4hana", {**SAP, "stock_plants": ["1010!"]}, {"stock_plants": "expected codes"}),
    "an unknown name": ("s4hana", {**SAP, "colour": "red"}, {"colour": "is not a setting of this system"}),
    "a variable as a name": ("s4hana", {**SAP, "SAP_CLIENT": "100"}, {"SAP_CLIENT": "is not a setting"}),
    "the word for what is withheld": (
        "s4hana",
        {**SAP, "client_secret": WITHHELD},
        {"client_secret": "is not a secret"},
    ),
    "a rule over two settings": (
        "salesforce",
        {**SALESFORCE, "status_field": "Amount"},
        {"status_field": "names Amount, which crmsync reads itself"},
    ),
    "another setting is called by its name": (
        "s4hana",
        {**SAP, "customer_tax_category": "TTX1"},
        {"departure_country": "is missing: customer_tax_category needs"},
    ),
    "a secret without the one that follows it": (
        "zoho_books",
        {**BOOKS, "webhook_secret_previous": "0123456789abc"},
        {"webhook_secret_previous": "is set without webhook_secret"},
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_is_wrong_is_told_by_name(name: str) -> None:
    system, values, expected = PROBLEMS[name]

    found = problems(system, values)

    assert expected.keys() <= found.keys()
    assert {each: text for each, text in expected.items() if text not in found[each]} == {}


def test_a_null_is_as_if_the_setting_were_left_out() -> None:
    assert read("s4hana", {**SAP, "division": None}) == read("s4hana", SAP)


def test_a_file_is_never_read_for_a_mapping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAP_CLIENT_SECRET_FILE", "/etc/passwd")
    values = {name: value for name, value in SAP.items() if name != "client_secret"}

    assert problems("s4hana", values) == {"client_secret": "is missing"}
    assert "client_secret_file" in problems("s4hana", {**values, "client_secret_file": "/etc/passwd"})


def test_http_is_a_choice_of_the_installation() -> None:
    values = {**SAP, "base_url": "http://sap.example.com"}

    assert "must be https://" in problems("s4hana", values)["base_url"]
    assert problems("s4hana", values, allow_http=True) == {}


def test_no_problem_repeats_a_secret() -> None:
    values = {**BOOKS, "client_secret": "geheim\nzeile", "webhook_secret": "kurz"}

    assert set(problems("zoho_books", values)) == {"client_secret", "webhook_secret"}
    assert not any(secret in str(problems("zoho_books", values)) for secret in ("geheim", "kurz"))


# -- JSON Schema


def test_the_schema_says_type_bounds_secrets_and_what_is_required() -> None:
    schema = registry.system("zoho_books").schema

    assert schema["required"] == ["client_id", "client_secret", "refresh_token", "organization_id"]
    assert schema["properties"]["calls_at_once"].items() >= {"type": "integer", "minimum": 1, "maximum": 10_000}.items()
    assert schema["properties"]["refresh_token"]["writeOnly"] is True
    assert schema["properties"]["item_lookup"]["type"] == "boolean"
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("system", COMPLETE)
def test_what_the_reader_takes_the_schema_takes(system: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")

    jsonschema.validate(COMPLETE[system], registry.system(system).schema)
