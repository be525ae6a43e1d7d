"""Reads: query options, server paging, and the JSON shape of entities."""

import json
from bisect import bisect_left
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from crmsync.lab.sandbox.kernel.http import NotOffered, Request, Response, answer, whole_of
from crmsync.lab.sandbox.sap.access import ODataError, SapProfile
from crmsync.lab.sandbox.sap.fields import NAVS
from crmsync.lab.sandbox.sap.filters import Test, compile_filter
from crmsync.lab.sandbox.sap.metadata import MATERIALS, Entity, Field, Nav, Row, Tables, entities
from crmsync.lab.sandbox.sap.values import predicate, show

OPTIONS = {"$filter", "$select", "$expand", "$orderby", "$top", "$skip", "$inlinecount", "$format", "$skiptoken"}
VALUES = {"$inlinecount": ("none", "allpages"), "$format": ("json", "atom", "xml")}
MOST_KEPT, FEW = 16, 2000
PARTNERS, PARTNER_DIGITS = ("BusinessPartner", "Customer", "SoldToParty"), 10
MATERIAL_DIGITS = 18  # a numeric material number fills the 18 places of MATNR; 40 are for long material numbers
Options = dict[str, str]


def options_of(target: str) -> Options:
    """The system query options. Raises ODataError for one that Gateway does not know."""
    found = dict(parse_qsl(target.partition("?")[2], keep_blank_values=True))
    unknown = [name for name in found if name.startswith("$") and name not in OPTIONS]
    if unknown:
        raise ODataError(f"Invalid system query option specified: {unknown[0]}", "/IWBEP/CM_MGW_RT/175")
    wrong = [name for name, values in VALUES.items() if found.get(name, values[0]) not in values]
    if wrong:
        raise _invalid(found, wrong[0])
    return found


def _number(options: Options, name: str, default: int) -> int:
    if name not in options:
        return default
    number = whole_of(options[name])
    if number is None:
        raise _invalid(options, name)
    return number


def _invalid(options: Options, name: str) -> ODataError:
    return ODataError(f"Invalid value {options[name][:80]!r} for {name}", "/IWBEP/CM_MGW_RT/175")


class Found:
    """The rows of a set that a request asks for, in order; worked out as far as they are needed."""

    def __init__(self, rows: Iterator[Row] | list[Row]) -> None:
        self._rows = rows

    def all(self) -> list[Row]:
        self._rows = list(self._rows) if not isinstance(self._rows, list) else self._rows
        return self._rows

    def first(self, number: int) -> list[Row]:
        return list(islice(self._rows, number)) if not isinstance(self._rows, list) else self._rows[:number]


class Reader:
    """Renders rows of one system under its own address; remembers the last results while nothing changes."""

    def __init__(self, tables: Tables, base: Callable[[], str], profile: SapProfile) -> None:
        self._tables = tables
        self._base = base
        self._profile = profile
        self._kept: dict[tuple[str, str, str], tuple[int, list[Row]]] = {}

    def uri(self, entity: Entity, row: Row) -> str:
        return f"{self._base()}/sap/opu/odata/sap/{entity.service}/{predicate(entity, self._shown_keys(entity, row))}"

    def _shown_keys(self, entity: Entity, row: Row) -> Row:
        if not (self._profile.padded_materials or self._profile.padded_customers):
            return row
        return {name: self.value(entity.fields[name], row.get(name, "")) for name in entity.keys}

    def value(self, field: Field, value: Any) -> Any:
        """The JSON form of a value; a numeric material with its zeros, where the system shows them."""
        if not isinstance(value, str):
            return show(field, value)
        if not value.isdigit():
            return value
        if self._profile.padded_materials and field.name in MATERIALS:
            return value.zfill(MATERIAL_DIGITS)
        return value.zfill(PARTNER_DIGITS) if self._profile.padded_customers and field.name in PARTNERS else value

    def collection(self, entity: Entity, found: Found, options: Options, path: str) -> dict[str, Any]:
        """One page: `results`, with `__count` and `__next` where they belong."""
        start = _number(options, "$skip", 0) + _number(options, "$skiptoken", 0)
        size = self._profile.page_size
        wanted = min(size + 1, _number(options, "$top", size + 1))
        counting = options.get("$inlinecount") == "allpages"
        rows = (found.all() if start or counting else found.first(wanted))[start : start + wanted]
        body: dict[str, Any] = {"results": self.entities(entity, rows[:size], options)}
        if counting:
            body["__count"] = str(len(found.all()))
        if len(rows) > size:
            body["__next"] = self._next(path, options, start + size)
        return body

    def _next(self, path: str, options: Options, position: int) -> str:
        kept = {name: text for name, text in options.items() if name not in ("$skip", "$skiptoken", "$top")}
        if "$top" in options:
            taken = position - _number(options, "$skip", 0) - _number(options, "$skiptoken", 0)
            kept["$top"] = str(int(options["$top"]) - taken)
        return f"{self._base()}{path}?{urlencode({**kept, '$skiptoken': position}, quote_via=quote, safe='$')}"

    def found(self, entity: Entity, rows: list[Row] | None, options: Options) -> Found:
        """The rows that pass `$filter`, in the order of `$orderby`: of those given, else of the whole set."""
        test = compile_filter(options["$filter"], entity) if "$filter" in options else None
        rows = self._named(entity, test) if rows is None and test else rows
        if rows is None and test and _wants_all(options):
            return Found(self._keep(entity, options, test))
        if rows is None:
            return Found(self._scan(entity, options, test))
        return Found(_sorted(entity, [row for row in rows if test is None or test(row)], options))

    def _named(self, entity: Entity, test: Test) -> list[Row] | None:
        """The rows whose key holds what the filter asks for, if those are few; other fields can change in place."""
        table = self._tables[entity.name]
        for name, values in ((name, values) for name, values in test.equal.items() if name in entity.keys):
            rows = [row for value in dict.fromkeys(values) for row in table.where((name,), (value,))]
            if len(rows) <= FEW:
                return rows
        return None

    def _scan(self, entity: Entity, options: Options, test: Test | None) -> Iterator[Row] | list[Row]:
        """Read no more of a long table than the filter and the order make necessary."""
        ordered = self._keep(entity, {"$orderby": options.get("$orderby", "")}, None)
        name, _, direction = options.get("$orderby", "").split(",")[0].strip().partition(" ")
        if test and name in test.above and direction.strip() in ("", "asc"):
            default = entity.fields[name].default
            start = bisect_left(ordered, _sortable(test.above[name]), key=lambda row: _sortable(row.get(name, default)))
            return filter(test.passes, islice(ordered, start, None))
        return filter(test.passes, ordered) if test else ordered

    def _keep(self, entity: Entity, options: Options, test: Test | None) -> list[Row]:
        """A whole result, from memory if the table has not changed since."""
        table = self._tables[entity.name]
        key = (entity.name, options.get("$filter", ""), options.get("$orderby", ""))
        version, rows = self._kept.get(key, (-1, []))
        if version != table.version:
            rows = _sorted(entity, [row for row in table if test is None or test(row)], options)
            self._kept.pop(key, None)
            self._kept[key] = (table.version, rows)
            while len(self._kept) > MOST_KEPT:
                del self._kept[next(iter(self._kept))]
        return rows

    def entity(self, entity: Entity, row: Row, options: Options) -> dict[str, Any]:
        """One entity with its metadata, the selected fields, and expanded or deferred links."""
        return self.entities(entity, [row], options)[0]

    def entities(self, entity: Entity, rows: list[Row], options: Options) -> list[dict[str, Any]]:
        """Entities as `entity` shows one."""
        selected, expanded = _names(options, "$select"), _names(options, "$expand")
        _check(entity, selected, expanded)
        is_all = not selected or "*" in selected
        fields = [(field, field.default) for name, field in entity.fields.items() if is_all or name in selected]
        opened = {name: _inner(name, selected, expanded) for name in entity.navs if _is_open(name, selected, expanded)}
        navs = [name for name in entity.navs if not selected or name in selected or name in opened]
        return [self._entity(entity, row, fields, navs, opened) for row in rows]

    def _entity(
        self, entity: Entity, row: Row, fields: list[tuple[Field, Any]], navs: list[str], opened: dict[str, Options]
    ) -> dict[str, Any]:
        uri = self.uri(entity, row)
        shown: dict[str, Any] = {"__metadata": self._metadata(entity, row, uri)}
        shown |= {field.name: self.value(field, row.get(field.name, default)) for field, default in fields}
        for name in navs:
            shown[name] = {"__deferred": {"uri": f"{uri}/{name}"}}
        for name, inner in opened.items():
            shown[name] = self._expanded(row, entity.navs[name], inner, f"{uri}/{name}")
        return shown

    def _expanded(self, row: Row, nav: Nav, options: Options, uri: str) -> dict[str, Any] | None:
        target, rows = entities()[nav.target], self._tables.related(row, nav)
        size = self._profile.expanded_page_size or len(rows)
        found = self.entities(target, rows[:size], options)
        if not nav.many:
            return found[0] if found else None
        asked = {name: text for name, text in options.items() if text}
        more = urlencode({**asked, "$skiptoken": size}, quote_via=quote, safe="$")
        return {"results": found, "__next": f"{uri}?{more}"} if len(rows) > size else {"results": found}

    def _metadata(self, entity: Entity, row: Row, uri: str) -> dict[str, str]:
        etag = etag_of(row)
        shown = {"id": uri, "uri": uri, "type": f"{entity.service}.{entity.name}Type"}
        return {**shown, "etag": etag} if etag else shown


def _wants_all(options: Options) -> bool:
    """Whether a request needs the whole result: to count it, or to go on in it."""
    return "$skip" in options or "$skiptoken" in options or options.get("$inlinecount") == "allpages"


def _sorted(entity: Entity, rows: list[Row], options: Options) -> list[Row]:
    for part in reversed(options.get("$orderby", "").split(",") if options.get("$orderby") else []):
        name, _, direction = part.strip().partition(" ")
        rows = _ordered(entity, rows, name, direction.strip() or "asc")
    return rows


def _ordered(entity: Entity, rows: list[Row], name: str, direction: str) -> list[Row]:
    if name not in entity.fields or direction not in ("asc", "desc"):
        raise ODataError(f"Invalid $orderby: property {name!r} not found", "/IWBEP/CM_MGW_RT/175")
    default = entity.fields[name].default
    return sorted(rows, key=lambda row: _sortable(row.get(name, default)), reverse=direction == "desc")


def _sortable(value: Any) -> tuple[bool, Any]:
    return (value is not None, value if value is not None else 0)


def _names(options: Options, option: str) -> set[str]:
    return {name.strip() for name in options.get(option, "").split(",") if name.strip()}


def _is_open(nav: str, selected: set[str], expanded: set[str]) -> bool:
    """Whether a link is expanded; what `$select` leaves out is not shown: a star stands for fields, not for links."""
    is_asked = any(path.partition("/")[0] == nav for path in expanded)
    return is_asked and (not selected or any(path.partition("/")[0] == nav for path in selected))


def _inner(nav: str, selected: set[str], expanded: set[str]) -> Options:
    """What is asked of the entities behind a link: `to_Item/*`, `to_Item/Material`, `to_Item/to_Text`."""
    names = ((path.partition("/")) for path in selected)
    inner = [rest for first, _, rest in names if first == nav and rest]
    paths = [rest for first, _, rest in (path.partition("/") for path in expanded) if first == nav and rest]
    return {"$expand": ",".join(sorted(paths)), "$select": ",".join(sorted(inner))}


def _check(entity: Entity, selected: set[str], expanded: set[str]) -> None:
    for name in (path.partition("/")[0] for path in (*selected, *expanded)):
        if name in NAVS.get(entity.name, ()):
            raise NotOffered(f"{name} of {entity.name}")
    unknown = [name for name in selected if name.partition("/")[0] not in {*entity.fields, *entity.navs, "*"}]
    heads = {path.partition("/")[0] for path in expanded}
    unknown += [name for name in selected if "/" in name and name.partition("/")[0] not in heads]
    unknown += [name for name in expanded if name.partition("/")[0] not in entity.navs]
    if unknown:
        raise ODataError(f"Resource not found for segment '{unknown[0]}'", "/IWBEP/CM_MGW_RT/020")


def etag_of(row: Row) -> str | None:
    """The weak ETag of an entity that has a concurrency token."""
    if isinstance(row.get("LastChangeDateTime"), datetime) and "SalesOrder" in row:
        stamp = row["LastChangeDateTime"].strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
        return f"W/\"datetimeoffset'{quote(stamp, safe='')}'\""
    return f"W/\"'{row['ETag']}'\"" if row.get("ETag") else None


# How answers leave: JSON where it was asked for, else Atom XML; ETags and messages in headers.


COMPUTED = {"TotalNetAmount", "CreationDate", "LastChangeDate", "NetAmount", "OverallSDProcessStatus"}


def needs_json(request: Request) -> None:
    if request.content_type != "application/json":
        raise ODataError(f"Content type '{request.content_type}' is not supported", "/IWBEP/CM_MGW_RT/415", 415)


def wants_json(request: Request) -> bool:
    """Without `Accept: application/json` or `$format=json` the answer is Atom XML, as on the vendor's side."""
    return request.query.get("$format") == "json" or "application/json" in request.headers.get("accept", "")


def formatted(request: Request, body: dict[str, Any], status: int = 200) -> Response:
    return answer(body, status, dataserviceversion="2.0") if wants_json(request) else atom(status, "feed")


def atom(status: int, text: str) -> Response:
    body = (
        f'<?xml version="1.0" encoding="utf-8"?><feed xmlns="http://www.w3.org/2005/Atom"><title>{text}</title></feed>'
    )
    return Response(status, body.encode(), {"Content-Type": "application/atom+xml"})


def etag_header(row: Row) -> dict[str, str]:
    etag = etag_of(row)
    return {"ETag": etag} if etag else {}


def bare(shown: dict[str, Any]) -> dict[str, Any]:
    """The create answer of a system that computes later: null totals and dates, no items."""
    return {
        name: None if name in COMPUTED else {"__deferred": {"uri": ""}} if name == "to_Item" else value
        for name, value in shown.items()
    }


def with_message(response: Response, text: str, code: str) -> Response:
    message = {"code": code, "message": text, "severity": "warning", "target": "", "details": []}
    response.headers["sap-message"] = quote(json.dumps(message), safe=' {}":,[]/')
    return response
