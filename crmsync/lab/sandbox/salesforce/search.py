"""Running a SOQL query over the org: resolving paths, testing conditions, sorting, and showing records."""

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from functools import reduce
from itertools import count, islice
from operator import itemgetter
from typing import Any

from crmsync.lab.sandbox.kernel.ledger import Clock
from crmsync.lab.sandbox.salesforce.org import Org
from crmsync.lab.sandbox.salesforce.soql import (
    Condition,
    Getter,
    Group,
    Literal,
    Not,
    Order,
    Query,
    Test,
    Tree,
    comparison,
    day_of,
    like,
    no_column,
    no_relationship,
    plain,
)
from crmsync.lab.sandbox.salesforce.values import (
    Field,
    Object,
    Record,
    SalesforceError,
    full_id,
    make_id,
    malformed_query,
    show,
)


class Keeper:
    """Keeps a rest, and knows the page size."""

    def __init__(self, keep: Callable[[Object, Query, list[Record], int], str], size: int) -> None:
        self._keep = keep
        self.size = size

    def __call__(self, kind: Object, query: Query, rows: list[Record], position: int) -> str:
        return self._keep(kind, query, rows, position)


LITERAL_TYPES = {
    "string": ("string", "email", "reference", "textarea"),
    "number": ("double", "currency"),
    "boolean": ("boolean",),
    "date": ("date",),
    "datetime": ("datetime",),
    "word": ("date", "datetime"),
}


TEXTS = ("string", "email", "textarea")
INDEXED = ("string", "email", "reference")
Path = tuple[tuple[Field, ...], Field]
Child = tuple[Query, Object, str]


class Search:
    """Answers queries from one org's records."""

    def __init__(self, org: Org, version: str) -> None:
        self._org = org
        self._version = version

    def find(self, query: Query, *, deleted: bool = False) -> tuple[Object, list[Record]]:
        """The records that match, in order. Raises SalesforceError for unknown names."""
        kind = self._source(query.source)
        self._check_selection(kind, query)
        rows = self._candidates(kind, query.where, deleted)
        return kind, self._narrow(kind, query, rows)

    def _narrow(self, kind: Object, query: Query, rows: Iterable[Record]) -> list[Record]:
        """The rows that pass, sorted and cut; what comes in the order of ids is not sorted by them again."""
        if query.where:
            rows = filter(self._test(kind, query.where), rows)
        for order in reversed(_needed(query.order)):
            rows = self._sorted(kind, list(rows), order)
        end = None if query.limit is None else query.offset + query.limit
        return list(islice(rows, query.offset, end))

    def _source(self, name: str) -> Object:
        try:
            return self._org.object(name)
        except SalesforceError:
            message = f"sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure "
            raise SalesforceError("INVALID_TYPE", message + "to append the '__c' after the entity name.") from None

    def _check_selection(self, kind: Object, query: Query) -> None:
        for path in query.fields:
            self.resolve(kind, path)
        for child in query.children:
            self._child(kind, child)

    def _child(self, kind: Object, child: Query) -> tuple[Object, str]:
        """The object and the reference field behind a child relationship."""
        found = next((link for name, link in kind.children.items() if name.lower() == child.source.lower()), None)
        if not found:
            message = f"Didn't understand relationship '{child.source}' in FROM part of query call."
            raise SalesforceError("INVALID_TYPE", message)
        if child.children:
            raise malformed_query("unexpected token: nested child query")
        target = self._org.object(found[0])
        self._check_selection(target, child)
        return target, found[1]

    def _candidates(self, kind: Object, where: Tree | None, deleted: bool) -> Iterable[Record]:
        """The records that may match, in the order of ids: named by a field's value, from an id on, or all."""
        for condition in _required(where):
            field = kind.find(condition.path)
            if field and condition.operator in ("=", "in") and field.type in INDEXED:
                found = self._named(kind, field, condition)
                return [row for row in found if deleted or not row["IsDeleted"]]
        for condition in _required(where):
            if condition.path.lower() == "id" and condition.operator in (">", ">="):
                return self._org.rows_from(kind.name, full_id(condition.values[0].value) or "", deleted=deleted)
        return self._org.rows(kind.name, deleted=deleted)

    def _named(self, kind: Object, field: Field, condition: Condition) -> list[Record]:
        values = [literal.value for literal in condition.values]
        if field.name == "Id":
            found = {full_id(value): self._org.peek(kind.name, value) for value in values}
            return [row for _, row in sorted((key, row) for key, row in found.items() if key and row)]
        wanted = [full_id(value) or value if field.type == "reference" else value for value in values]
        return self._org.lookup(kind.name, field.name, wanted)

    def resolve(self, kind: Object, path: str) -> tuple[tuple[Field, ...], Field]:
        """The references to follow, and the field at the end. Raises SalesforceError (INVALID_FIELD)."""
        *relationships, name = path.split(".")
        steps: list[Field] = []
        for relationship in relationships:
            step = kind.parent(relationship)
            if not step or not step.target:
                raise SalesforceError("INVALID_FIELD", no_relationship(relationship))
            steps.append(step)
            kind = self._org.object(step.target)
        field = kind.find(name)
        if not field:
            raise SalesforceError("INVALID_FIELD", no_column(name, kind.name))
        return tuple(steps), field

    def _getter(self, kind: Object, path: str) -> tuple[Getter, Field]:
        steps, field = self.resolve(kind, path)
        if not steps:
            return itemgetter(field.name), field

        def get(row: Record) -> Any:
            for step in steps:
                found = self._org.peek(step.target, row[step.name])
                if found is None:
                    return None
                row = found
            return row[field.name]

        return get, field

    def _test(self, kind: Object, tree: Tree) -> Test:
        if isinstance(tree, Not):
            inner = self._test(kind, tree.inner)
            return lambda row: not inner(row)
        if isinstance(tree, Group):
            tests = [self._test(kind, part) for part in tree.parts]
            return reduce(_both if tree.word == "and" else _either, tests)
        return self._compare(kind, tree)

    def _compare(self, kind: Object, condition: Condition) -> Test:
        get, field = self._getter(kind, condition.path)
        if field.type == "textarea":
            message = f"field '{field.name}' can not be filtered in a query call"
            raise SalesforceError("INVALID_FIELD", message)
        values = [self._value(field, literal) for literal in condition.values]
        if condition.values[0].kind == "word" and field.type == "datetime":
            get = day_of(get)
        as_is = get
        get = self._comparable(get, field)
        if condition.operator in ("in", "not in"):
            wanted, inside = set(values), condition.operator == "in"
            return lambda row: (get(row) in wanted) is inside
        if condition.operator == "like":
            pattern = like(str(condition.values[0].value))
            return lambda row: pattern.fullmatch(as_is(row) or "") is not None
        return comparison(get, condition.operator, values[0])

    def _comparable(self, get: Getter, field: Field) -> Getter:
        """Texts compare without case; all else, ids too, is stored in the one form it has."""
        if field.type in TEXTS and field.name != "Id":
            return lambda row: plain(get(row))
        return get

    def _value(self, field: Field, literal: Literal) -> Any:
        """The literal as it compares with stored values; its type must be the field's."""
        if literal.kind == "null":
            return None
        if field.type not in LITERAL_TYPES[literal.kind]:
            shown = "should be enclosed in quotes" if field.type == "string" else "should not be enclosed in quotes"
            message = f"value of filter criterion for field '{field.name}' must be of type {field.type} and {shown}"
            raise SalesforceError("INVALID_FIELD", message)
        if literal.kind == "word":
            return self._day(literal.value)
        if field.type == "reference" or field.name == "Id":
            return _id(field, literal.value)
        return plain(literal.value)

    def _day(self, word: str) -> date:
        """The day that a date word means; an instant is compared with it by its own day."""
        days = {"TODAY": 0, "YESTERDAY": -1, "TOMORROW": 1}.get(word)
        return self._org.now().date() + timedelta(days=-int(word.partition(":")[2]) if days is None else days)

    def _sorted(self, kind: Object, rows: list[Record], order: Order) -> list[Record]:
        get = self._comparable(*self._getter(kind, order.path))
        keyed = [(get(row), row) for row in rows]
        filled = [one for one in keyed if one[0] is not None]
        empty = [row for key, row in keyed if key is None]
        filled.sort(key=itemgetter(0), reverse=order.descending)
        found = [row for _, row in filled]
        return empty + found if order.nulls_first else found + empty

    def show(self, kind: Object, query: Query, rows: list[Record], more: Callable[..., str]) -> list[Record]:
        """The records as JSON; child records that fill more than a page get a locator from `more`."""
        paths = [self.resolve(kind, path) for path in query.fields]
        children = [(child, *self._child(kind, child)) for child in query.children]
        return [self._show(kind, row, paths, children, more) for row in rows]

    def _show(
        self, kind: Object, row: Record, paths: list[Path], children: list[Child], more: Callable[..., str]
    ) -> Record:
        shown: Record = {"attributes": self.attributes(kind, row)}
        for steps, field in paths:
            if steps:
                self._place(shown, row, steps, field)
            else:
                shown[field.name] = show(row[field.name])
        for child, target, name in children:
            shown[child.source] = self._nested(child, target, name, row, more)
        return shown

    def attributes(self, kind: Object, row: Record) -> dict[str, str]:
        return {"type": kind.name, "url": f"/services/data/v{self._version}/sobjects/{kind.name}/{row['Id']}"}

    def _place(self, shown: Record, row: Record, steps: tuple[Field, ...], field: Field) -> None:
        """Put one selected field where it belongs, opening relationships on the way; an empty one is null."""
        for step in steps:
            name, found = str(step.relationship), self._org.peek(step.target, row[step.name])
            if found is None:
                shown[name] = None
                return
            target = self._org.object(str(step.target))
            shown = shown.setdefault(name, {"attributes": self.attributes(target, found)})
            row = found
        shown[field.name] = show(row[field.name])

    def _nested(self, child: Query, target: Object, field: str, row: Record, more: Callable[..., str]) -> Record | None:
        rows = self._narrow(target, child, self._org.children(target.name, field, row["Id"]))
        return page(self, target, child, rows, more) if rows else None


def page(search: Search, kind: Object, query: Query, rows: list[Record], more: Callable[..., str]) -> Record:
    """One page of a result; `more` keeps the rest and returns the path to it."""
    size = getattr(more, "size", 2000)
    body: Record = {"totalSize": len(rows), "done": len(rows) <= size}
    if not body["done"]:
        body["nextRecordsUrl"] = more(kind, query, rows, size)
    return {**body, "records": search.show(kind, query, rows[:size], more)}


def _both(first: Test, second: Test) -> Test:
    return lambda row: first(row) and second(row)


def _either(first: Test, second: Test) -> Test:
    return lambda row: first(row) or second(row)


def _needed(orders: tuple[Order, ...]) -> tuple[Order, ...]:
    """The orders that rows have not got yet: they come by id, and sorting keeps what is equal in its order."""
    is_by_id = bool(orders) and orders[-1].path.lower() == "id" and not orders[-1].descending
    return orders[:-1] if is_by_id else orders


def _required(tree: Tree | None) -> list[Condition]:
    """The conditions on the object's own fields that every match must meet."""
    parts = tree.parts if isinstance(tree, Group) and tree.word == "and" else (tree,)
    if len(parts) > 1:
        return [one for part in parts for one in _required(part)]
    found = parts[0]
    return [found] if isinstance(found, Condition) and _is_text(found) else []


def _is_text(condition: Condition) -> bool:
    return all(literal.kind == "string" for literal in condition.values)


def _id(field: Field, text: str) -> str:
    found = full_id(text)
    if found is None:
        raise SalesforceError("INVALID_QUERY_FILTER_OPERATOR", f"invalid ID field: {text}")
    return found


# Query locators: what is left of a result, for two days.
#
# A locator is an 18-character id that starts with 0r8, a dash, and the position of the next row.


LIFE_SECONDS = 2 * 24 * 3600
MOST_OPEN = 200


class Cursors:
    """Keeps the rows of results that did not fit one page."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._numbers = count(1)
        self._open: dict[str, tuple[float, Object, Query, list[Record], int]] = {}

    def keeper(self, version: str, size: int) -> "Keeper":
        return Keeper(
            lambda kind, query, rows, position: self._keep(version, (kind, query, rows, size), position), size
        )

    def _keep(self, version: str, rest: tuple[Object, Query, list[Record], int], position: int) -> str:
        locator = make_id("0r8", next(self._numbers))
        self._open[locator] = (self._clock.seconds() + LIFE_SECONDS, *rest)
        if len(self._open) > MOST_OPEN:  # what long tests leave behind; the vendor's own bound is not known
            del self._open[next(iter(self._open))]
        return f"/services/data/v{version}/query/{locator}-{position}"

    def page(self, search: Search, version: str, text: str) -> Record:
        """The page at a locator. Raises SalesforceError (INVALID_QUERY_LOCATOR) for unknown and expired ones."""
        locator, _, start = text.partition("-")
        expiry, kind, query, rows, size = self._open.get(locator, (0.0, None, None, [], 0))
        if kind is None or query is None or not start.isdigit() or expiry < self._clock.seconds():
            raise SalesforceError("INVALID_QUERY_LOCATOR", "invalid query locator")
        end = int(start) + size
        body: Record = {"totalSize": len(rows), "done": end >= len(rows)}
        if not body["done"]:
            body["nextRecordsUrl"] = f"/services/data/v{version}/query/{locator}-{end}"
        return {**body, "records": search.show(kind, query, rows[int(start) : end], self.keeper(version, size))}

    def expire(self) -> None:
        self._open.clear()
