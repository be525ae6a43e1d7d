"""SOQL: from text to a query tree. Covers SELECT, child queries, WHERE, ORDER BY, LIMIT and OFFSET."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from crmsync.lab.sandbox.kernel.http import NotOffered, whole_of
from crmsync.lab.sandbox.salesforce.values import Record, full_id, malformed_query

# The words of SOQL: strings with escapes, dates, instants, numbers, names and marks.


_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^'\\]|\\.)*')"
    r"|(?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))|(?P<date>\d{4}-\d\d-\d\d)"
    r"|(?P<number>[+-]?\d+(?:\.\d+)?)|(?P<word>[A-Za-z][\w.]*(?::\d+)?)|(?P<mark><=|>=|!=|<>|[=<>(),]))"
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def tokens(text: str) -> list[tuple[str, str]]:
    if len(text) > 100_000:
        raise malformed_query("SOQL statements cannot be longer than 100000 characters")
    found, position = [], 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        if not match or not match.lastgroup:
            raise malformed_query(f"unexpected token: '{text[position:].strip()[:1]}'")
        found.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return found


def unescape(quoted: str) -> str:
    r"""The text of a SOQL string with its quotes.

    >>> unescape(r"'O\'Brien'")
    "O'Brien"
    """
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), quoted[1:-1])


def _instant(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise malformed_query(f"invalid datetime: {text}") from None


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise malformed_query(f"invalid date: {text}") from None


LITERALS: dict[str, Callable[[str], Any]] = {"string": unescape, "number": Decimal, "datetime": _instant, "date": _day}


RESERVED = {"from", "where", "order", "limit", "offset", "and", "or", "not", "in", "like", "asc", "desc", "nulls", "by"}
# What the platform knows beside it.
UNOFFERED = set("group having for with using update includes excludes select all".split())
FUNCTIONS = set(
    "fields tolabel format convertcurrency distance sum avg min max count count_distinct calendar_month"
    " calendar_quarter calendar_year day_only day_in_month day_in_week hour_in_day week_in_year grouping".split()
)
DATE_WORDS = set(
    "LAST_WEEK THIS_WEEK NEXT_WEEK LAST_MONTH THIS_MONTH NEXT_MONTH LAST_90_DAYS NEXT_90_DAYS NEXT_N_DAYS LAST_N_WEEKS"
    " NEXT_N_WEEKS LAST_N_MONTHS NEXT_N_MONTHS THIS_QUARTER LAST_QUARTER NEXT_QUARTER LAST_N_QUARTERS NEXT_N_QUARTERS"
    " THIS_YEAR LAST_YEAR NEXT_YEAR LAST_N_YEARS NEXT_N_YEARS N_DAYS_AGO".split()
)
COMPARISONS = {"=", "!=", "<>", "<", "<=", ">", ">="}


@dataclass(frozen=True)
class Literal:
    """A value in a condition and how it was written: string, number, date, datetime, boolean, null or a date word."""

    kind: str
    value: Any


@dataclass(frozen=True)
class Condition:
    path: str
    operator: str
    values: tuple[Literal, ...]


@dataclass(frozen=True)
class Not:
    inner: "Tree"


@dataclass(frozen=True)
class Group:
    """Conditions joined by one word, and or or."""

    word: str
    parts: "tuple[Tree, ...]"


Tree = Condition | Not | Group


@dataclass(frozen=True)
class Order:
    path: str
    descending: bool = False
    nulls_first: bool = True


@dataclass(frozen=True)
class Query:
    source: str
    fields: tuple[str, ...]
    children: "tuple[Query, ...]" = ()
    where: Tree | None = None
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    counting: bool = False


@dataclass
class _Selection:
    fields: list[str] = field(default_factory=list)
    children: list[Query] = field(default_factory=list)
    counting: bool = False


def names_in(tree: Tree | None) -> set[str]:
    """The names of the fields that conditions are about, in lower case."""
    if isinstance(tree, Group):
        return {name for part in tree.parts for name in names_in(part)}
    if isinstance(tree, Not):
        return names_in(tree.inner)
    return {tree.path.lower()} if tree else set()


def parse(text: str) -> Query:
    """Read a query. Raises SalesforceError (MALFORMED_QUERY)."""
    parser = _Parser(text)
    try:
        query = parser.query()
    except RecursionError:
        raise malformed_query("the query is too complicated") from None
    parser.finish()
    return query


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = [*tokens(text), ("end", "<EOF>")]
        self._position = 0

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._position]

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        self._position += 1
        return token

    def _take(self, *words: str) -> str | None:
        """The next token if it is one of these words or marks."""
        kind, text = self._peek()
        if kind in ("word", "mark") and text.lower() in words:
            self._position += 1
            return text.lower()
        return None

    def _expect(self, word: str) -> None:
        if not self._take(word):
            raise self._unexpected()

    def _unexpected(self) -> Exception:
        """What the platform says of a mistake; of what only the stand-in does not know it says so."""
        now, before = self._peek()[1].lower(), self._tokens[self._position - 1][1].lower()
        is_function = now == "(" and before in FUNCTIONS
        if now in UNOFFERED or is_function or before == "typeof" or now.upper().partition(":")[0] in DATE_WORDS:
            return NotOffered(f"SOQL at '{self._peek()[1]}'")
        return malformed_query(f"unexpected token: '{self._peek()[1]}'")

    def finish(self) -> None:
        if self._peek()[0] != "end":
            raise self._unexpected()

    def _name(self) -> str:
        kind, text = self._peek()
        if kind != "word" or text.lower() in RESERVED or ":" in text:
            raise self._unexpected()
        self._position += 1
        return text

    def query(self) -> Query:
        self._expect("select")
        selection = self._selection()
        self._expect("from")
        source = self._name()
        if self._peek()[0] == "word" and self._peek()[1].lower() not in RESERVED | UNOFFERED:
            raise NotOffered("an alias in SOQL")
        where = self._where() if self._take("where") else None
        order = self._order() if self._take("order") else ()
        limit = self._count() if self._take("limit") else None
        offset = self._count() if self._take("offset") else 0
        if offset > 2000:
            raise malformed_query("SOQL offset cannot be greater than 2000")
        fields, children = tuple(selection.fields), tuple(selection.children)
        return Query(source, fields, children, where, order, limit, offset, selection.counting)

    def _selection(self) -> _Selection:
        selection = _Selection()
        while True:
            self._selected(selection)
            if not self._take(","):
                return selection

    def _selected(self, selection: _Selection) -> None:
        if self._take("("):
            selection.children.append(self.query())
            self._expect(")")
            return
        name = self._name()
        if name.lower() == "count" and self._take("("):
            if not self._take(")"):
                raise NotOffered("COUNT of a field")
            selection.counting = True
        elif name in selection.fields:
            raise malformed_query(f"duplicate field selected: {name}")
        else:
            selection.fields.append(name)

    def _count(self) -> int:
        kind, text = self._next()
        number = whole_of(text) if kind == "number" else None
        if number is None:
            raise malformed_query(f"unexpected token: '{text[:80]}'")
        return number

    def _where(self) -> Tree:
        """Conditions joined by one word; and and or together need brackets."""
        parts, first = [self._term()], self._take("and", "or")
        word = first
        while word:
            parts.append(self._term())
            word = self._take("and", "or")
            if word and word != first:
                raise malformed_query(f"unexpected token: '{word.upper()}'")
        return Group(first, tuple(parts)) if first else parts[0]

    def _term(self) -> Tree:
        if self._take("not"):
            return Not(self._term())
        if self._take("("):
            inner = self._where()
            self._expect(")")
            return inner
        return self._condition()

    def _condition(self) -> Condition:
        path = self._name()
        if self._take("not"):
            self._expect("in")
            return Condition(path, "not in", self._list())
        if self._take("in"):
            return Condition(path, "in", self._list())
        if self._take("like"):
            return Condition(path, "like", (self._literal(),))
        kind, operator = self._next()
        if kind != "mark" or operator not in COMPARISONS:
            self._position -= 1
            raise self._unexpected()
        return Condition(path, "!=" if operator == "<>" else operator, (self._literal(),))

    def _list(self) -> tuple[Literal, ...]:
        self._expect("(")
        values = [self._literal()]
        while self._take(","):
            values.append(self._literal())
        self._expect(")")
        return tuple(values)

    def _literal(self) -> Literal:
        kind, text = self._next()
        if kind in LITERALS:
            return Literal(kind, LITERALS[kind](text))
        words = {"true": Literal("boolean", True), "false": Literal("boolean", False), "null": Literal("null", None)}
        if kind == "word" and text.lower() in words:
            return words[text.lower()]
        if kind == "word" and re.fullmatch(r"TODAY|YESTERDAY|TOMORROW|LAST_N_DAYS:\d{1,5}", text.upper()):
            return Literal("word", text.upper())
        self._position -= 1
        raise self._unexpected()

    def _order(self) -> tuple[Order, ...]:
        self._expect("by")
        orders = [self._ordering()]
        while self._take(","):
            orders.append(self._ordering())
        return tuple(orders)

    def _ordering(self) -> Order:
        path = self._name()
        descending = self._take("asc", "desc") == "desc"
        nulls_first = True
        if self._take("nulls"):
            word = self._take("first", "last")
            if word is None:
                raise self._unexpected()
            nulls_first = word == "first"
        return Order(path, descending, nulls_first)


# How SOQL compares: texts without regard to case, instants in UTC, nulls by = and != alone.


Test = Callable[[Record], bool]
Getter = Callable[[Record], Any]
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def plain(value: Any) -> Any:
    """Texts compare without regard to case, except ids."""
    if isinstance(value, str):
        return value if len(value) == 18 and full_id(value) else value.lower()
    return value


def comparison(get: Getter, word: str, value: Any) -> Test:
    """A test of rows; `get` gives what compares as it stands (ids, numbers, instants) or was made so."""
    compare = COMPARE[word]
    if value is None:
        return lambda row: compare(get(row), None) if word in ("=", "!=") else False
    if word == "!=":
        return lambda row: get(row) != value
    return lambda row: (held := get(row)) is not None and compare(held, value)


def day_of(get: Getter) -> Getter:
    return lambda row: held.date() if (held := get(row)) is not None else None


def like(pattern: str) -> re.Pattern[str]:
    parts = [{"%": ".*", "_": "."}.get(char, re.escape(char)) for char in pattern]
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)


def no_column(name: str, kind: str) -> str:
    return (
        f"No such column '{name}' on entity '{kind}'. If you are attempting to use a custom field, be sure to append "
        "the '__c' after the custom field name."
    )


def no_relationship(name: str) -> str:
    return f"Didn't understand relationship '{name}' in field path. Custom relationships end in '__r'."
