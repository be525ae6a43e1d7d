"""What comes into the S/4HANA stand-in: values, the addresses of entities, and drafts of them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

from crmsync.lab.sandbox.kernel.http import NotOffered, decimal_of
from crmsync.lab.sandbox.sap.access import ODataError, not_found
from crmsync.lab.sandbox.sap.fields import NAVS, SETS
from crmsync.lab.sandbox.sap.metadata import Entity, Field, Nav, Row, entities, services

# Values on the wire: what a body may hold for each Edm type, and how a stored value is shown.


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS_DATE = re.compile(r"/Date\((-?\d+)([+-]\d+)?\)/")
_HALF = re.compile("[\ud800-\udfff]")  # of a character: XML, which the server thinks in, can't hold it
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?Z?")


def accept(field: Field, value: Any) -> Any:
    """The stored form of a value from a JSON body. Raises ODataError where Gateway's parser would stop."""
    if value is None:
        return field.default
    reader = _READERS.get(field.kind, _text)
    return reader(field, value)


def _wrong(field: Field, value: Any) -> ODataError:
    message = f"Property '{field.name}' has invalid value '{value}' for type Edm.{field.kind}"
    return ODataError(message, "/IWBEP/CM_MGW_RT/018", target=field.name)


def _text(field: Field, value: Any) -> str:
    if not isinstance(value, str) or _HALF.search(value):
        raise _wrong(field, value)
    if field.length and len(value) > field.length:
        message = f"Property '{field.name}' at offset '0' has value longer than {field.length} characters"
        raise ODataError(message, "/IWBEP/CM_MGW_RT/176", target=field.name)
    return normal(field, value)


def normal(field: Field, text: str) -> str:
    """A text as the server keeps it: upper-cased where it does so, numbers without leading zeros."""
    text = text.upper() if field.upper else text
    return (text.lstrip("0") or "0") if field.digits and text.isdigit() else text


def _decimal(field: Field, value: Any) -> Decimal:
    """Decimals travel as strings; a JSON number is refused by many services."""
    number = decimal_of(value) if isinstance(value, str) else None
    if number is None or not _fits(field, number):
        raise _wrong(field, value)
    return number


def _fits(field: Field, number: Decimal) -> bool:
    if field.scale is None or field.precision is None:
        return False
    fraction = max(0, -int(number.normalize().as_tuple().exponent))
    return fraction <= field.scale and abs(number) < Decimal(10) ** (field.precision - field.scale)


def _instant(field: Field, value: Any) -> datetime:
    moment = parse_instant(value) if isinstance(value, str) else None
    if moment is None:
        raise _wrong(field, value)
    return moment.replace(hour=0, minute=0, second=0, microsecond=0) if field.kind == "DateTime" else moment


def parse_instant(text: str) -> datetime | None:
    """Read `/Date(ms)/` or ISO; None for anything else."""
    found = _MS_DATE.fullmatch(text)
    try:
        if found:
            return EPOCH + timedelta(milliseconds=int(found[1]))
        return datetime.fromisoformat(text.rstrip("Z")).replace(tzinfo=UTC) if _ISO.fullmatch(text) else None
    except (ValueError, OverflowError):
        return None


def _boolean(field: Field, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(field, value)
    return value


_READERS = {
    "Decimal": _decimal,
    "DateTime": _instant,
    "DateTimeOffset": _instant,
    "Boolean": _boolean,
}


def show(field: Field, value: Any) -> Any:
    """The JSON form of a stored value: decimals and dates are strings."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        milliseconds = (value - EPOCH) // timedelta(milliseconds=1)
        return f"/Date({milliseconds}+0000)/" if field.kind == "DateTimeOffset" else f"/Date({milliseconds})/"
    return value


# Resource paths: `/Set`, `/Set('key')`, `/Set(A='x',B='y')/to_Nav`, each percent-encoded or not.


_SEGMENT = re.compile(r"(?P<name>[$\w]+)(?:\((?P<keys>.*)\))?")
_PAIR = re.compile(r"(\w+)=(?:(?:datetimeoffset|datetime)?'((?:[^']|'')*)')(?:,|$)")


@dataclass(frozen=True)
class Address:
    """What a path points at: a set, one entity of it, or something reached from that entity."""

    entity: Entity
    key: tuple[str, ...] | None = None
    nav: Nav | None = None
    counting: bool = False

    @property
    def target(self) -> Entity:
        return entities()[self.nav.target] if self.nav else self.entity


def parse_path(service: str, path: str) -> Address:
    """Read the part of the path behind the service's name. Raises ODataError (404) where nothing is there."""
    segments = [unquote(part) for part in path.strip("/").split("/")]
    counting = segments[-1] == "$count"
    first, *rest = segments[:-1] if counting else segments
    name, keys = _split(first)
    entity = services()[service].get(name)
    if name in SETS.get(service, ()):
        raise NotOffered(f"{name} of {service}")
    if entity is None:
        raise not_found(f"Resource not found for segment '{name}'")
    if keys is not None and rest and _is_unoffered(entity, rest):
        raise NotOffered(f"{'/'.join(rest)} of {name}")
    if len(rest) > 1:
        raise not_found(f"Resource not found for segment '{rest[-1]}'")
    key = None if keys is None else parse_key(entity, keys)
    return Address(entity, key, _nav(entity, key, rest), counting)


def _is_unoffered(entity: Entity, rest: list[str]) -> bool:
    """One property, its plain value, links without what they lead to, one row of many that are linked, and further."""
    name = rest[0].partition("(")[0]
    return name in entity.fields or name in ("$value", "$links") or (name in entity.navs and rest != [name])


def _split(segment: str) -> tuple[str, str | None]:
    found = _SEGMENT.fullmatch(segment)
    if not found:
        raise not_found(f"Resource not found for segment '{segment}'")
    return found["name"], found["keys"]


def _nav(entity: Entity, key: tuple[str, ...] | None, rest: list[str]) -> Nav | None:
    if not rest:
        return None
    if rest[0] in NAVS.get(entity.name, ()):
        raise NotOffered(f"{rest[0]} of {entity.name}")
    if key is None or rest[0] not in entity.navs:
        raise not_found(f"Resource not found for segment '{rest[0]}'")
    return entity.navs[rest[0]]


def parse_key(entity: Entity, text: str) -> tuple[str, ...]:
    """The key's values in the order of the type; a single key may go without its name."""
    if len(entity.keys) == 1 and text.startswith("'"):
        text = f"{entity.keys[0]}={text}"
    pairs = {name: value.replace("''", "'") for name, value in _PAIR.findall(text)}
    if set(pairs) != set(entity.keys):
        raise not_found(f"Invalid key predicate type for '{entity.name}'")
    return tuple(normal(entity.fields[name], pairs[name]) for name in entity.keys)


def predicate(entity: Entity, row: Row) -> str:
    """The key part of an entity's address, e.g. `A_SalesOrder('4711')`."""
    shown = {
        name: _quoted(show(entity.fields[name], row.get(name, ""))) if row.get(name) else "''" for name in entity.keys
    }
    inner = shown[entity.keys[0]] if len(shown) == 1 else ",".join(f"{name}={text}" for name, text in shown.items())
    return f"{entity.name}({inner})"


@lru_cache(4096)
def _quoted(value: object) -> str:
    return "'" + quote(str(value).replace("'", "''"), safe=":") + "'"


# Writes: what a body may say, and the tree of rows that a deep insert asks for.


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
