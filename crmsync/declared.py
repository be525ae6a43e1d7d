"""Declares each setting of a system once, and reads it alike from the environment, the store or the API.

A declaration says the type, what is checked, the default, the environment's variable, whether it is a secret, and what
it is for; the name of the field is its name in rows and in the API. The documentation is compared with them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, cast

from crmsync.environment import Reader, Value, read_into
from crmsync.needs import WITHHELD

_OF_DOORS = frozenset({"door_secret", "previous_secret"})
_SECRETS = _OF_DOORS | {"secret", "private_key"}
_ALWAYS = frozenset({"required", "private_key", "secret"})
_REQUIRED = "required"
_LISTS = frozenset({"codes", "chosen"})
_FLAGS = frozenset({"flag", "wish"})
_NUMBERS = frozenset({"integer", "maybe_integer"})

Check = Callable[[Any, Reader], None]
"""Checks settings as a whole; the reader remembers what is wrong with them."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it is declared; *kind* is the method of Reader that reads it, *options* are what it is given."""

    name: str
    variable: str
    kind: str
    doc: str
    default: str
    """As people read it: a value between backquotes, or words."""
    options: Mapping[str, Any]
    leads: bool = False
    """Whether it says, without being an address itself, where credentials may be sent."""

    @property
    def is_secret(self) -> bool:
        return self.kind in _SECRETS

    @property
    def is_of_a_door(self) -> bool:
        """Whether it proves that a webhook is authentic."""
        return self.kind in _OF_DOORS

    @property
    def is_address(self) -> bool:
        """Whether it says where credentials are sent."""
        return self.kind == "url" or self.leads

    @property
    def is_required(self) -> bool:
        return self.default == _REQUIRED

    @property
    def row(self) -> str:
        """The setting's row in the table of docs/configuration.md."""
        return f"| `{self.variable}` | {self.doc} | {self.default} |"

    @property
    def schema(self) -> dict[str, Any]:
        """What the setting's value has to be, in JSON Schema."""
        made: dict[str, Any] = {**_type(self), "description": self.doc}
        return {**made, "writeOnly": True} if self.is_secret else made


def setting(doc: str, declared: Value, default: str = "", *, leads: bool = False) -> Value:
    """*declared* with what it is for, and its *default* in words where that is not a value that stands there.

    One that *leads* says where credentials may be sent, as an address does.
    """
    made: Any = declared
    told = {**made.metadata, "doc": doc, "default": default, "leads": leads}
    return cast(Value, field(default_factory=made.default_factory, metadata=told))


def declared_of(kind: type[Any]) -> tuple[Setting, ...]:
    """The settings of a dataclass that were declared by setting()."""
    return tuple(_declared(each) for each in fields(kind) if "doc" in each.metadata)


def _declared(each: Any) -> Setting:
    told = each.metadata
    default = told["default"] or _default(each)
    return Setting(each.name, told["variable"], told["kind"], told["doc"], default, told["options"], told["leads"])


def _default(each: Any) -> str:
    kind, value = each.metadata["kind"], each.default_factory() if each.default_factory is not MISSING else None
    if kind in _ALWAYS or each.metadata["options"].get("required"):
        return _REQUIRED
    shown = " ".join(value) if isinstance(value, tuple) else "" if value is None else str(value)
    return f"`{shown}`" if shown else "none"


# -- for programs


def json_schema(kind: type[Any]) -> dict[str, Any]:
    """What a mapping of the settings of *kind* has to be."""
    declared = declared_of(kind)
    return {
        "type": "object",
        "properties": {each.name: each.schema for each in declared},
        "required": [each.name for each in declared if each.is_required],
        "additionalProperties": False,
    }


def _type(declared: Setting) -> dict[str, Any]:
    kind, options = declared.kind, declared.options
    if kind in _FLAGS:
        return {"type": "boolean"}
    if kind in _NUMBERS:
        return {"type": "integer", "minimum": options.get("minimum", 0), "maximum": options["maximum"]}
    if kind in _LISTS:
        return {"type": "array", "items": {"type": "string"}}
    return {"type": "string", **_of_text(kind, options)}


def _of_text(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"format": "uri"} if kind == "url" else {}
    if "pattern" in options:
        made["pattern"] = f"^(?:{options['pattern']})$"
    if "at_most" in options:
        made["maxLength"] = options["at_most"]
    return made


# -- from a row or a body


def read_mapping(
    kind: type[Any], values: Mapping[str, Any], *, check: Check | None = None, allow_http: bool = False
) -> tuple[Any, dict[str, str]]:
    """The settings of *kind* from *values* by their names, as JSON has them, and what is wrong with them, by name.

    >>> from crmsync.environment import env
    >>> @dataclass(frozen=True)
    ... class Books:
    ...     url: str = setting("where it is", env.url("BOOKS_URL", required=True))
    ...     at_once: int = setting("calls at once", env.integer("BOOKS_AT_ONCE", 4, minimum=1, maximum=9))
    >>> read_mapping(Books, {"url": "https://books.example/"})
    (Books(url='https://books.example', at_once=4), {})
    >>> read_mapping(Books, {"at_once": 99, "colour": "red"})[1]  # doctest: +NORMALIZE_WHITESPACE
    {'url': 'is missing', 'at_once': 'expected a whole number from 1 to 9, such as 4',
     'colour': 'is not a setting of this system'}
    """
    declared = {each.name: each for each in declared_of(kind)}
    problems = {name: "is not a setting of this system" for name in values if name not in declared}
    written: dict[str, str] = {"CRMSYNC_ALLOW_HTTP": "true"} if allow_http else {}
    for name in declared.keys() & values.keys():
        text, problem = _written(declared[name], values[name])
        written[declared[name].variable] = text
        if problem:
            problems[name] = problem
    reader = Reader(written)
    found = read_into(kind, reader)
    if check is not None:
        check(found, reader)
    if not allow_http:
        problems |= {each.name: _NOT_HTTPS for each in declared.values() if _is_in_the_clear(found, each)}
    return found, {**_by_name(reader.problems, declared), **problems}


_NOT_HTTPS = "must be https:// (CRMSYNC_ALLOW_HTTP=true lets credentials travel in the clear)"


def _is_in_the_clear(found: Any, declared: Setting) -> bool:
    """Also to this machine: who makes a connection by the API need not be at it."""
    return declared.kind == "url" and getattr(found, declared.name).startswith("http:")


def _written(declared: Setting, value: Any) -> tuple[str, str]:
    """*value* as a variable would have it, and what is wrong with its type."""
    if value is None:
        return "", ""
    if declared.kind in _FLAGS and isinstance(value, bool):
        return str(value).lower(), ""
    if declared.kind in _NUMBERS and isinstance(value, int) and not isinstance(value, bool):
        return str(value), ""
    if declared.kind in _LISTS and isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ",".join(value), ""
    if not isinstance(value, str):
        return "", f"expected {_WORDS.get(_type(declared)['type'], 'a text')}"
    return value, "is not a secret" if value.strip() == WITHHELD else ""


_WORDS = {"boolean": "true or false", "integer": "a whole number", "array": "a list of strings"}


def _by_name(problems: Mapping[str, str], declared: Mapping[str, Setting]) -> dict[str, str]:
    names = {each.variable: each.name for each in declared.values()}
    return {names.get(name, name): by_name(problem, declared.values()) for name, problem in problems.items()}


def by_name(text: str, declared: Iterable[Setting]) -> str:
    """*text* with the names of settings in place of their variables, as a row or a body has them."""
    names = {each.variable: each.name for each in declared}
    variable = re.compile(rf"\b({'|'.join(sorted(map(re.escape, names), key=len, reverse=True))})\b")
    return variable.sub(lambda found: names[found[1]], text)
