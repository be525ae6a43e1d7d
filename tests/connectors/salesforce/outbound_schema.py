"""What the WSDL of an Outbound Message says against an envelope: order, counts, ids."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from defusedxml import ElementTree

from tests import specs

FILE = specs.OWN / "salesforce" / "outbound-message-opportunity.wsdl"
_XSD = "{http://www.w3.org/2001/XMLSchema}"
_BODY = "{http://schemas.xmlsoap.org/soap/envelope/}Body"
_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
_OUTBOUND = "http://soap.sforce.com/2005/09/outbound"
_SOBJECT = "urn:sobject.enterprise.soap.sforce.com"
_COMPLEX = {"OpportunityNotification": _OUTBOUND, "Opportunity": _SOBJECT}


def problems(envelope: bytes | str) -> list[str]:
    """Everything in which *envelope* differs from the WSDL."""
    root = ElementTree.fromstring(envelope)
    message = _found(root, _BODY)[0]
    namespace, name = message.tag[1:].split("}")
    if namespace != _OUTBOUND:
        return [f"{name} is of another namespace"]
    declared = _found(_schema(), f".//{_XSD}element[@name='{name}']")
    return list(_sequence(message, list(declared.iter(f"{_XSD}element"))[1:], namespace))


def _schema() -> Element:
    root: Element = ElementTree.fromstring(FILE.read_bytes())
    return root


def _found(root: Element, path: str) -> Element:
    found = root.find(path)
    assert found is not None
    return found


def _sequence(parent: Element, declared: list[Element], namespace: str) -> Iterator[str]:
    children = list(parent)
    for element in declared:
        tag = f"{{{namespace}}}{element.get('name')}"
        count = 0
        while children and children[0].tag == tag:
            count += 1
            yield from _value(children.pop(0), element)
        if not int(element.get("minOccurs", "1")) <= count <= int(element.get("maxOccurs", "1")):
            yield f"{element.get('name')} comes {count} times"
    yield from (f"{child.tag} is in the wrong place" for child in children)


def _value(found: Element, element: Element) -> Iterator[str]:
    kind = element.get("type", "").split(":")[1]
    text = found.text or ""
    if kind in _COMPLEX:
        yield from _sequence(found, _members(kind), _COMPLEX[kind])
    elif found.get(_NIL) == "true":
        yield from [] if element.get("nillable") == "true" else [f"{element.get('name')} is nil"]
    elif kind == "ID" and not re.fullmatch(_id_pattern(), text):
        yield f"{element.get('name')} is no ID"
    elif kind == "boolean" and text not in ("true", "false"):
        yield f"{element.get('name')} is no boolean"


def _members(kind: str) -> list[Element]:
    declared = _found(_schema(), f".//{_XSD}complexType[@name='{kind}']")
    base = declared.find(f".//{_XSD}extension")
    inherited = _members(base.get("base", "").split(":")[1]) if base is not None else []
    return [*[each for each in inherited if each.get("name") != "fieldsToNull"], *declared.iter(f"{_XSD}element")]


def _id_pattern() -> str:
    return _found(_schema(), f".//{_XSD}simpleType[@name='ID']//{_XSD}pattern").get("value", "")
