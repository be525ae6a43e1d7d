"""The `$filter` language: comparisons, and, or, not, brackets, and three text functions."""

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from crmsync.lab.sandbox.kernel.http import NotOffered
from crmsync.lab.sandbox.sap.access import ODataError
from crmsync.lab.sandbox.sap.fields import FUNCTIONS as UNOFFERED
from crmsync.lab.sandbox.sap.metadata import Entity, Field, Row
from crmsync.lab.sandbox.sap.values import normal

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
FUNCTIONS: dict[str, Callable[[str, str], bool]] = {
    "substringof": operator.contains,
    "startswith": str.startswith,
    "endswith": str.endswith,
}
_TOKEN = re.compile(
    r"\s*(?:(?P<typed>(?:datetimeoffset|datetime|time|guid)'[^']*')|(?P<text>'(?:[^']|'')*')"
    r"|(?P<number>-?\d+(?:\.\d+)?[MmLlDdFf]?(?![\w.]))|(?P<word>[A-Za-z_][\w/]*)|(?P<mark>[(),]))"
)


@dataclass(frozen=True)
class Test:
    """A test of rows, and what is known of those that pass it, so that a long table need not be read through.

    `equal` holds the values that a field must have one of, `above` what a field must be greater than or equal to.
    """

    passes: Callable[[Row], bool]
    equal: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    above: dict[str, Any] = field(default_factory=dict)

    def __call__(self, row: Row) -> bool:
        return self.passes(row)


class Token(NamedTuple):
    kind: str
    text: str


class Literal(NamedTuple):
    """A literal's Edm type and value."""

    kind: str
    value: Any


def _bad(message: str) -> ODataError:
    return ODataError(f"Invalid system query option specified: {message}", "/IWBEP/CM_MGW_RT/175")


def tokens(text: str) -> Iterator[Token]:
    position = 0
    while position < len(text.rstrip()):
        found = _TOKEN.match(text, position)
        if not found or not found.lastgroup:
            raise _bad(f"$filter at {position}")
        yield Token(found.lastgroup, found[found.lastgroup])
        position = found.end()


def compile_filter(text: str, entity: Entity) -> Test:
    """Turn a `$filter` into a test of rows. Raises ODataError for unknown fields, bad syntax or wrong types."""
    parser = _Parser(list(tokens(text)), entity)
    try:
        test = parser.alternatives()
    except RecursionError:
        raise _bad("nested too deeply") from None
    if parser.peek().kind != "end":
        raise _bad(f"unexpected {parser.peek().text!r}")
    return test


class _Parser:
    def __init__(self, found: list[Token], entity: Entity) -> None:
        self._tokens = [*found, Token("end", "")]
        self._position = 0
        self._entity = entity

    def peek(self) -> Token:
        return self._tokens[self._position]

    def _next(self) -> Token:
        token = self.peek()
        self._position += 1
        return token

    def _take(self, text: str) -> bool:
        if self.peek().kind in ("word", "mark") and self.peek().text == text:
            self._position += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise _bad(f"expected {text!r} but found {self.peek().text!r}")

    def alternatives(self) -> Test:
        tests = [self._conjunction()]
        while self._take("or"):
            tests.append(self._conjunction())
        return tests[0] if len(tests) == 1 else _either(tests)

    def _conjunction(self) -> Test:
        tests = [self._negation()]
        while self._take("and"):
            tests.append(self._negation())
        return tests[0] if len(tests) == 1 else _both(tests)

    def _negation(self) -> Test:
        if self._take("not"):
            passes = self._negation().passes
            return Test(lambda row: not passes(row))
        if self._take("("):
            inner = self.alternatives()
            self._expect(")")
            return inner
        return self._condition()

    def _condition(self) -> Test:
        if self.peek().text in FUNCTIONS:
            return self._function(self._next().text)
        if self._entity.fields.get(self.peek().text) is None and self.peek().text in UNOFFERED:
            raise NotOffered(f"{self.peek().text} in $filter")
        compared = self._field()
        word = self._next().text
        if word in UNOFFERED:
            raise NotOffered(f"{word} in $filter")
        if word not in OPERATORS:
            raise _bad(f"{word!r} is no comparison")
        return _comparison(compared, word, _literal(self._next()))

    def _function(self, name: str) -> Test:
        """`substringof('x',Field)`, `startswith(Field,'x')`, `endswith(Field,'x')`, alone or `eq true`."""
        self._expect("(")
        wanted = _literal(self._next()).value if name == "substringof" else None
        if name == "substringof":
            self._expect(",")
        held = self._field().name
        if name != "substringof":
            self._expect(",")
            wanted = _literal(self._next()).value
        self._expect(")")
        compare, truth = FUNCTIONS[name], self._truth()
        return Test(lambda row: compare(row.get(held, ""), str(wanted)) is truth)

    def _truth(self) -> bool:
        return _literal(self._next()).value is True if self._take("eq") else True

    def _field(self) -> Field:
        token = self._next()
        if token.kind != "word" or token.text not in self._entity.fields:
            raise _bad(f"property {token.text!r} not found in {self._entity.name}Type")
        return self._entity.fields[token.text]


def _both(tests: list[Test]) -> Test:
    passes = [test.passes for test in tests]
    equal = {name: values for test in reversed(tests) for name, values in test.equal.items()}
    above = {name: value for test in reversed(tests) for name, value in test.above.items()}
    if len(passes) == 2:
        first, second = passes
        return Test(lambda row: first(row) and second(row), equal, above)
    return Test(lambda row: all(one(row) for one in passes), equal, above)


def _either(tests: list[Test]) -> Test:
    """Of alternatives one thing can be known: values, if all of them name values of the same field."""
    passes = [test.passes for test in tests]
    shared = set.intersection(*(set(test.equal) for test in tests))
    equal = {name: tuple(value for test in tests for value in test.equal[name]) for name in sorted(shared)}
    return Test(lambda row: any(one(row) for one in passes), equal)


def _comparison(compared: Field, word: str, literal: Literal) -> Test:
    name, default, compare = compared.name, compared.default, OPERATORS[word]
    value = _checked(compared, literal)
    if value is None:
        return Test(lambda row: compare is operator.eq if row.get(name, default) is None else compare is operator.ne)
    known = {name: value}
    return Test(
        lambda row: (held := row.get(name, default)) is not None and compare(held, value),
        {name: (value,)} if word == "eq" else {},
        known if word in ("gt", "ge") else {},
    )


def _checked(compared: Field, literal: Literal) -> Any:
    """The literal's value, if its type is the field's."""
    if literal.kind == "Null":
        return None
    if compared.kind == literal.kind or (compared.kind in ("Decimal", "Double") and literal.kind == "Number"):
        # Digits lose leading zeros like stored ones; lower case is not converted, so it finds nothing.
        return normal(compared, literal.value) if compared.digits else literal.value
    raise _bad(f"{compared.name} is Edm.{compared.kind}, the literal is {literal.kind}")


def _literal(token: Token) -> Literal:
    if token.kind == "text":
        return Literal("String", token.text[1:-1].replace("''", "'"))
    if token.kind == "number":
        return Literal("Decimal" if token.text[-1] in "Mm" else "Number", Decimal(token.text.rstrip("MmLlDdFf")))
    if token.kind == "typed":
        return _typed(token.text)
    if token.text in ("true", "false", "null"):
        return Literal("Null" if token.text == "null" else "Boolean", {"true": True, "false": False}.get(token.text))
    raise _bad(f"{token.text!r} is no literal")


def _typed(text: str) -> Literal:
    name, quoted = text.split("'", 1)
    kind = {"datetime": "DateTime", "datetimeoffset": "DateTimeOffset", "time": "Time", "guid": "Guid"}[name]
    if kind in ("Time", "Guid"):
        return Literal(kind, quoted[:-1])
    return Literal(kind, _moment(quoted[:-1], kind))


def _moment(text: str, kind: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        in_utc = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise _bad(f"{text!r} is no {kind}") from None
    if kind == "DateTimeOffset" and moment.tzinfo is None:
        raise _bad(f"{text!r} has no offset")
    return in_utc
