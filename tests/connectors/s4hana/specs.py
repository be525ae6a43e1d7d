"""What SAP's EDMX and OpenAPI files say against a request: unknown or read-only fields, lengths, types, options."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import jsonschema
import requests
from defusedxml.ElementTree import parse

from tests import specs

VENDOR = "s4hana"
FOLDER = specs.FOLDER / VENDOR
ROOT = "/sap/opu/odata/sap/"
SIMULATION = "API_SALES_ORDER_SIMULATION_SRV"
_SAP = "{http://www.sap.com/Protocols/SAPData}"
_OPTIONS = {"$select", "$filter", "$orderby", "$expand", "$top", "$skip", "$inlinecount", "$skiptoken", "sap-client"}
_CLAUSE = re.compile(r"(\w+) eq ('(?:[^']|'')*')")
_FLAG = re.compile(r"\w+ eq (true|false)")
_GROUP = re.compile(r"\(( or )+\)")  # what is left of (A eq 'x' or A eq 'y')


@dataclass
class EntityType:
    name: str
    properties: dict[str, Mapping[str, str]] = field(default_factory=dict)
    links: dict[str, tuple[str, bool]] = field(default_factory=dict)  # name → (type, is a collection)


def is_available() -> bool:
    return specs.is_available(VENDOR)


def problems(request: requests.PreparedRequest) -> list[str]:
    """Everything in which *request* differs from the service's metadata."""
    address = urlsplit(request.url or "")
    service, _, path = address.path.removeprefix(ROOT).partition("/")
    if path in ("", "$metadata"):
        return []
    if request.method == "POST" and service == SIMULATION:
        return simulation_problems(json.loads(request.body or b"null"))
    model = Model.of(service)
    if request.method == "POST":
        return list(model.body_problems(model.target(path), json.loads(request.body or b"null")))
    return list(model.query_problems(model.target(path), dict(parse_qsl(address.query, keep_blank_values=True))))


def simulation_problems(body: Any) -> list[str]:
    """By the schemas of its OpenAPI file, which state also what must be there."""
    tree = json.loads((FOLDER / f"{SIMULATION}.openapi.json").read_text())
    schema = {"$ref": "#/components/schemas/CreateA_SalesOrderSimulation", "components": tree["components"]}
    known = tree["components"]["schemas"]["CreateA_SalesOrderSimulation"]["properties"]
    unknown = [f"{name} does not exist" for name in body if name not in known]
    return unknown + [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(body)]


@dataclass
class Model:
    types: dict[str, EntityType]
    sets: dict[str, str]  # entity set → type

    @staticmethod
    @cache
    def of(service: str) -> Model:
        path = FOLDER / f"{service}.edmx"
        if path.exists():
            return Model.of_edmx(parse(path))
        return Model.of_openapi(json.loads((FOLDER / f"{service}.openapi.json").read_text()))

    @staticmethod
    def of_edmx(tree: Any) -> Model:
        sets = {each.get("Name"): _local(each.get("EntityType")) for each in _all(tree, "EntitySet")}
        ends = {each.get("Name"): _ends(each) for each in _all(tree, "Association")}
        return Model({node.get("Name"): _entity_type(node, ends) for node in _all(tree, "EntityType")}, sets)

    @staticmethod
    def of_openapi(tree: Any) -> Model:
        """Its schemas are named like the entity sets; it lists paths for some of them only."""
        schemas = {name: each for name, each in tree["components"]["schemas"].items() if name.startswith("A_")}
        types = {name: EntityType(name, dict(_described(each))) for name, each in schemas.items()}
        return Model(types, {name: name for name in types})

    def target(self, path: str) -> EntityType:
        """The type at the end of a path such as A_X('1')/to_Y."""
        first, *links = unquote(path).split("/")
        found = self.types[self.sets[first.partition("(")[0]]]
        for link in links:
            found = self.types[found.links[link][0]]
        return found

    def body_problems(self, target: EntityType, body: Mapping[str, Any], where: str = "") -> Iterator[str]:
        for name, value in body.items():
            place = f"{where}{target.name}.{name}"
            if name in target.links:
                yield from self._nested(target.links[name], value, place)
            elif name not in target.properties:
                yield f"{place} does not exist"
            else:
                yield from _value_problems(target.properties[name], value, place)

    def _nested(self, link: tuple[str, bool], value: Any, place: str) -> Iterator[str]:
        child, is_collection = link
        if isinstance(value, list) != is_collection:
            yield f"{place} has the wrong shape"
        for each in value if isinstance(value, list) else [value]:
            yield from self.body_problems(self.types[child], each, f"{place} > ")

    def query_problems(self, target: EntityType, query: Mapping[str, str]) -> Iterator[str]:
        yield from (f"{option} is no option" for option in query if option not in _OPTIONS)
        for option in ("$select", "$orderby"):
            names = [name.removesuffix(" desc") for name in query.get(option, "").split(",") if name]
            yield from (f"{option}: {name} does not exist" for name in names if name not in target.properties)
        yield from _filter_problems(target, query.get("$filter", ""))
        for path in filter(None, query.get("$expand", "").split(",")):
            yield from self._expand_problems(target, path)

    def _expand_problems(self, target: EntityType, path: str) -> Iterator[str]:
        for link in path.split("/"):
            if link not in target.links:
                yield f"$expand: {link} does not exist"
                return
            target = self.types[target.links[link][0]]


def _described(schema: Any) -> Iterator[tuple[str, Mapping[str, str]]]:
    for name, each in schema.get("properties", {}).items():
        if each.get("type") == "string":
            yield name, {"Type": "Edm.String", "MaxLength": str(each.get("maxLength", 0))}


def _filter_problems(target: EntityType, condition: str) -> Iterator[str]:
    rest = _GROUP.sub("", _FLAG.sub("", _CLAUSE.sub("", condition))).replace(" and ", "").replace(" or ", "")
    if rest.strip():
        yield f"$filter: can't be read: {rest}"
    for name, literal in _CLAUSE.findall(condition):
        attributes = target.properties.get(name)
        if attributes is None or attributes.get("filterable") == "false":
            yield f"$filter: {name} is not there to filter by"
        elif len(literal[1:-1].replace("''", "'")) > int(attributes["MaxLength"]):
            yield f"$filter: {name} is too long"


def _value_problems(attributes: Mapping[str, str], value: Any, place: str) -> Iterator[str]:
    if attributes.get("creatable") == "false":
        yield f"{place} is read-only"
    if not isinstance(value, str):
        yield f"{place} is no string"
    elif attributes["Type"] == "Edm.Decimal":
        whole, _, fraction = value.partition(".")
        scale = int(attributes.get("Scale", "0"))
        is_number = re.fullmatch(r"-?\d+(\.\d+)?", value)
        if not is_number or len(fraction) > scale or len(whole.lstrip("-")) > int(attributes["Precision"]) - scale:
            yield f"{place} does not fit: {value}"
    elif len(value) > int(attributes["MaxLength"]):
        yield f"{place} is too long"
    elif not value:
        yield f"{place} is empty"


def _entity_type(node: Any, ends: Mapping[str, Mapping[str, tuple[str, bool]]]) -> EntityType:
    made = EntityType(node.get("Name"))
    for child in node:
        if child.tag.endswith("}Property"):
            made.properties[child.get("Name")] = {key.replace(_SAP, ""): text for key, text in child.attrib.items()}
        elif child.tag.endswith("}NavigationProperty"):
            made.links[child.get("Name")] = ends[_local(child.get("Relationship"))][child.get("ToRole")]
    return made


def _ends(association: Any) -> dict[str, tuple[str, bool]]:
    return {
        end.get("Role"): (_local(end.get("Type")), end.get("Multiplicity") == "*")
        for end in association
        if end.get("Role")
    }


def _all(tree: Any, tag: str) -> list[Any]:
    return [node for node in tree.iter() if str(node.tag).endswith("}" + tag)]


def _local(name: str) -> str:
    return name.rsplit(".", maxsplit=1)[-1]
