"""Writes: what a body may say, and the tree of rows that a deep insert asks for."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from crmsync.lab.sandbox.http import NotOffered
from crmsync.lab.sandbox.sap.errors import ODataError
from crmsync.lab.sandbox.sap.metadata import Entity, Nav, Row, entities
from crmsync.lab.sandbox.sap.unoffered import NAVS
from crmsync.lab.sandbox.sap.values import accept


@dataclass
class Draft:
    """One entity to be created, with those below it by navigation property."""

    entity: Entity
    row: Row
    children: dict[str, list["Draft"]] = field(default_factory=dict)

    def under(self, nav: str) -> list["Draft"]:
        return self.children.get(nav, [])

    def walk(self) -> Iterator["Draft"]:
        yield self
        for drafts in self.children.values():
            for draft in drafts:
                yield from draft.walk()


def read_draft(entity: Entity, body: Any) -> Draft:
    """Check a create body, level by level. Raises ODataError for what the service does not take."""
    body = body_of(body)
    draft = Draft(entity, read_row(entity, {name: body[name] for name in body if name not in entity.navs}))
    for name, nav in entity.navs.items():
        if name in body:
            draft.children[name] = _children(draft, nav, body[name])
    return draft


def body_of(body: Any) -> dict[str, Any]:
    """A body as an object, out of its `d` wrapper if it has one."""
    inner = body["d"] if isinstance(body, dict) and set(body) == {"d"} else body
    if not isinstance(inner, dict):
        raise ODataError("Error while parsing the request: object expected", "/IWBEP/CM_MGW_RT/021")
    return {name: value for name, value in inner.items() if name != "__metadata"}


def _children(parent: Draft, nav: Nav, body: Any) -> list[Draft]:
    rows = body.get("results") if isinstance(body, dict) and nav.many else body
    if nav.many != isinstance(rows, list):
        raise ODataError("Error while parsing the request: wrong multiplicity", "/IWBEP/CM_MGW_RT/021")
    drafts = [read_draft(entities()[nav.target], one) for one in (rows if isinstance(rows, list) else [rows])]
    for draft in drafts:
        draft.row.update(nav.fixed)
    return drafts


def read_row(entity: Entity, body: dict[str, Any], *, updating: bool = False) -> Row:
    """Check plain fields: known, writable, of the right type and length."""
    return {name: _value(entity, name, value, updating) for name, value in body.items()}


def _value(entity: Entity, name: str, value: Any, updating: bool) -> Any:
    known = entity.fields.get(name)
    if name in NAVS.get(entity.name, ()):
        raise NotOffered(f"{name} of {entity.name}")
    if known is None:
        raise ODataError(f"Property '{name}' is invalid", "/IWBEP/CM_MGW_RT/021", target=name)
    if not known.writable or (updating and name in entity.keys):
        verb = "updated" if updating else "created"
        raise ODataError(f"Property '{name}' cannot be {verb}: it is read-only", "/IWBEP/CM_MGW_RT/017", target=name)
    return accept(known, value)


def inherit(parent: Draft) -> None:
    """Pass shared key fields down to the children, all the way."""
    for name, drafts in parent.children.items():
        for draft in drafts:
            draft.row.update({key: parent.row[key] for key in parent.entity.navs[name].on if key in parent.row})
            inherit(draft)


def read_update(entity: Entity, body: Any) -> Row:
    """Check a PATCH body; links cannot be changed with it."""
    return read_row(entity, body_of(body), updating=True)
