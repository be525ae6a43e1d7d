"""What Zoho's OpenAPI files say against a request; the slips of those files are listed here and nowhere else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema
import requests
import yaml

from tests import specs

VENDOR = "zoho-books"
FOLDER = specs.FOLDER / VENDOR
_FILES = {
    "contacts": "contacts.yml",
    "invoices": "invoices.yml",
    "customerpayments": "customer-payments.yml",
    "settings/currencies": "currency.yml",
    "settings/taxes": "taxes.yml",
    "items": "items.yml",
    "organizations": "organizations.yml",
}
# Fields that clients send with success although no file names them.
_UNDOCUMENTED = {"custom_fields[].api_name"}
# And a parameter of lists, beside the sort_column that is documented.
_UNDOCUMENTED_QUERY = {"sort_order"}
# A rule that the live API does not enforce: a discount in percent is text with its sign.
_LENIENT = {("line_items[].discount", "type", "string")}
_PIECE = " × "  # in the description of what is billed as one piece, which is of no item


def is_available() -> bool:
    return specs.is_available(VENDOR)


def problems(request: requests.PreparedRequest, *, items: set[str] | None = None) -> list[str]:
    """Everything in which *request* differs from the specification.

    A line of free text does, unless the organization has none but these *items*, by SKU; None: it wants free text.
    """
    address = urlsplit(request.url or "")
    path = address.path.removeprefix("/books/v3")
    parts = path.split("/")[1:]
    document = _document(_FILES.get(parts[0]) or _FILES["/".join(parts[:2])])
    template = _template(document, path)
    operation = _resolved(document, document["paths"][template][(request.method or "").lower()])
    parameters = operation.get("parameters", []) + _resolved(
        document, document["paths"][template].get("parameters", [])
    )
    found = list(_parameter_problems(parameters, dict(parse_qsl(address.query)), request.headers))
    if request.body:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        body = json.loads(request.body)
        found += _schema_problems(schema, body, items)
        found += [f"{name} is not documented" for name in _unknown(schema, body, "") if name not in _UNDOCUMENTED]
    return [f"{request.method} {template}: {problem}" for problem in found]


@cache
def _document(name: str) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load((FOLDER / name).read_text(), Loader=loader)


def _template(document: Mapping[str, Any], path: str) -> str:
    candidates = [path, *(template for template in document["paths"] if "{" in template)]
    for template in candidates:
        pattern = re.sub(r"\\{\w+\\}", "[0-9]+", re.escape(template))
        if template in document["paths"] and re.fullmatch(pattern, path):
            return template
    raise AssertionError(f"no such path: {path}")


def _resolved(document: Mapping[str, Any], node: Any) -> Any:
    if isinstance(node, list):
        return [_resolved(document, each) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return _resolved(document, target)
    return {key: _resolved(document, value) for key, value in node.items() if key not in ("example", "responses")}


def _parameter_problems(parameters: list[Any], query: Mapping[str, str], headers: Mapping[str, str]) -> Iterator[str]:
    known = {parameter["name"]: parameter for parameter in parameters if parameter["in"] == "query"}
    yield from (f"query {name} is not documented" for name in query if name not in {*known, *_UNDOCUMENTED_QUERY})
    for parameter in parameters:
        given = query if parameter["in"] == "query" else headers
        if parameter.get("required") and parameter["in"] != "path" and parameter["name"] not in given:
            yield f"{parameter['in']} {parameter['name']} is missing"
    for name, value in query.items():
        kind = known.get(name, {}).get("schema", {}).get("type")
        if (kind == "boolean" and value not in ("true", "false")) or (kind == "integer" and not value.isdecimal()):
            yield f"query {name} is no {kind}"


def _schema_problems(schema: Mapping[str, Any], body: Any, items: set[str] | None) -> list[str]:
    found = []
    for error in jsonschema.Draft202012Validator(schema).iter_errors(body):
        place = _place(error.absolute_path)
        words = set(re.findall(r"\w+", error.message)) | ({"string"} if isinstance(error.instance, str) else set())
        is_lenient = any(place == where and error.validator == rule and word in words for where, rule, word in _LENIENT)
        if not is_lenient and not (place == "line_items[]" and _lacks_its_item(error, items)):
            found.append(f"{place or 'body'}: {error.validator}")
    return found


def _lacks_its_item(error: jsonschema.ValidationError, items: set[str] | None) -> bool:
    """Whether *error* is that a line is free text, as it must be."""
    line: Any = error.instance
    if error.validator != "required" or set(error.validator_value) - set(line) != {"item_id"}:
        return False
    return items is None or line["name"] not in items or _PIECE in line.get("description", "")


def _place(path: Any) -> str:
    text = ""
    for part in path:
        text += "[]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _unknown(schema: Mapping[str, Any], value: Any, place: str) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _unknown(schema.get("items", {}), each, f"{place}[]")
    elif isinstance(value, dict):
        properties = schema.get("properties", {})
        for name, below in value.items():
            path = f"{place}.{name}" if place else name
            yield from [path] if name not in properties else _unknown(properties[name], below, path)
