"""Resource paths: `/Set`, `/Set('key')`, `/Set(A='x',B='y')/to_Nav`, each percent-encoded or not."""

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote

from crmsync.lab.sandbox.http import NotOffered
from crmsync.lab.sandbox.sap.errors import not_found
from crmsync.lab.sandbox.sap.metadata import Entity, Nav, Row, entities, services
from crmsync.lab.sandbox.sap.unoffered import NAVS, SETS
from crmsync.lab.sandbox.sap.values import normal, show

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
