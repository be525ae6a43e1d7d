"""Reads environment variables one by one; collects their names, and what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import SplitResult, urlsplit

from crmsync.errors import ConfigurationError
from crmsync.needs import WITHHELD
from crmsync.plain import is_seen
from crmsync.private_key import UnusableKeyError, normal_pem, text_of
from crmsync.zones import zone_named

THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
MINIMUM_SECRET_LENGTH = 12  # of what strangers could guess: Zoho asks for as much of a webhook's secret
Value = TypeVar("Value")

_FILE_BYTES_MAX = 65_536
_PLAIN_ADDRESS = re.compile(r"[A-Za-z]+://[A-Za-z0-9._:\[\]-]+(?:/[^\s\\?#\x7f-\U0010ffff]*)?")
_QUOTES = ("''", '""', "“”", "‘’", "``")


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A value that never prints; reveal() is easy to grep for."""

    _value: str

    @property
    def is_withheld(self) -> bool:
        return self._value == WITHHELD

    def reveal(self) -> str:
        """The secret itself. Raises: ConfigurationError in a process from which the secret is withheld."""
        if self.is_withheld:
            raise ConfigurationError("This process was not given the secret that it asks for (docs/configuration.md).")
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


class Reader:
    """Reads variables and remembers their names, which are secrets, and what is wrong with them."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.names: list[str] = []
        self.secrets: list[str] = []
        self.problems: dict[str, str] = {}

    # -- as it is written

    def raw(self, name: str) -> str:
        value = self._written(name)
        if not all(map(is_seen, value)):
            self.problems[name] = (
                "has a line break, an invisible character or one that is not UTF-8: type it instead of pasting it"
            )
        return value

    def any_set(self, *names: str) -> bool:
        """A name whose value is in a file counts as well."""
        return any([bool(self._written(name) or self._path(name)) for name in names])  # a list: all are remembered

    def _written(self, name: str) -> str:
        if name not in self.names:
            self.names.append(name)
        value = self._env.get(name, "").strip().removeprefix("\ufeff").strip()
        self._refuse_quotes(name, value)
        return value

    def _refuse_quotes(self, name: str, value: str) -> None:
        if len(value) > 1 and value[0] + value[-1] in _QUOTES:
            self.problems[name] = "is written in quotes, and they would be part of the value: leave them out"

    # -- secrets

    def secret_text(self, name: str) -> str:
        """The value of *name*, or what the file holds that *name*_FILE names."""
        self.secrets.append(name)
        value = self.raw(name)
        content = self._in_file(name, value)
        return value if content is None else self._one_line(name, content)

    def required_secret(self, name: str) -> Secret:
        value = self.secret_text(name)
        if not value:
            self.problems.setdefault(self._place(name), "is missing")
        return Secret(value)

    def secret(self, name: str, *, required: bool = True) -> Secret:
        return self.required_secret(name) if required else Secret(self.secret_text(name))

    def optional_secret(self, name: str, *, minimum_length: int = 1) -> Secret | None:
        value = self.secret_text(name)
        if value not in ("", WITHHELD) and len(value) < minimum_length:
            self.problems.setdefault(self._place(name), f"expected at least {minimum_length} characters")
        return Secret(value) if value else None

    def door_secret(self, name: str) -> Secret | None:
        """What proves that a webhook is authentic."""
        return self.optional_secret(name, minimum_length=MINIMUM_SECRET_LENGTH)

    def previous_secret(self, name: str) -> Secret | None:
        """The secret of a door before the one that it has now, while a sender still uses it."""
        previous, following = self.door_secret(name), name.removesuffix("_PREVIOUS")
        if previous and not self.door_secret(following):
            self.problems[name] = f"is set without {following}, the secret that replaced it"
        return previous

    def has_door_secret(self, name: str) -> bool:
        """Whether a door has its secret; that the one before it is set alone is remembered as a mistake."""
        self.previous_secret(f"{name}_PREVIOUS")
        return self.door_secret(name) is not None

    def private_key(self, name: str) -> Secret:
        """A PEM, whose line ends may be written as \\n."""
        self.secrets.append(name)
        value = self._written(name)
        content = self._in_file(name, value)
        if value == WITHHELD or name in self.problems:
            return Secret(value)
        try:
            return Secret(normal_pem(text_of(content) if content else value))
        except UnusableKeyError as error:
            missing = not value and not self._path(name)
            self.problems.setdefault(self._place(name), "is missing" if missing else str(error))
            return Secret("")

    def _place(self, name: str) -> str:
        """Which variable a person has to check."""
        return f"{name}_FILE" if self._path(name) else name

    def _path(self, name: str) -> str:
        return self._env.get(f"{name}_FILE", "").strip()

    def _in_file(self, name: str, value: str) -> bytes | None:
        """What the file of *name* holds; None where none counts."""
        path = self._path(name)
        if not path or value == WITHHELD:
            return None
        if value:
            self.problems[f"{name}_FILE"] = f"and {name} are both set: keep one of them"
            return None
        try:
            place = Path(path).expanduser()
            if place.exists() and not (place.is_file() or place.is_dir()):  # to open a pipe may wait for ever
                self.problems[f"{name}_FILE"] = "is a pipe or a device: expected a file, which can be read again"
                return None
            with place.open("rb") as file:
                content = file.read(_FILE_BYTES_MAX + 1)
        except (OSError, ValueError, RuntimeError) as error:
            self.problems[f"{name}_FILE"] = f"can't be read: {getattr(error, 'strerror', None) or 'no such path'}"
            return None
        if not content.strip() or len(content) > _FILE_BYTES_MAX:
            self.problems[f"{name}_FILE"] = "is an empty file" if not content.strip() else "is too large for a secret"
            return None
        return content

    def _one_line(self, name: str, content: bytes) -> str:
        try:
            text = content.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            self.problems[f"{name}_FILE"] = "is not a text file: save it as UTF-8"
            return ""
        self._refuse_quotes(f"{name}_FILE", text)
        if not all(map(is_seen, text)):
            self.problems[f"{name}_FILE"] = "expected one line without invisible characters, saved as UTF-8"
        return text

    # -- as it is meant

    def text(self, name: str, default: str = "", *, pattern: str = "", expected: str = "", at_most: int = 0) -> str:
        value = self.raw(name) or default
        if value and pattern and not re.fullmatch(pattern, value):
            self.problems.setdefault(name, f"expected {expected}")
        if at_most and len(value) > at_most:
            self.problems.setdefault(name, f"expected at most {at_most} character{'s' if at_most > 1 else ''}")
        return value

    def field_name(self, name: str, default: str = "") -> str:
        """The name of a field that the customer has made in a system."""
        expected = "the API name of a field, such as Sync_Status__c"
        return self.text(name, default, pattern=r"[A-Za-z][A-Za-z0-9_]{0,79}", expected=expected)

    def host(self, name: str, default: str) -> str:
        """What to listen at."""
        return self.text(
            name, default, pattern=r"[A-Za-z0-9._:-]+", expected="a host or address, such as 0.0.0.0 or ::"
        )

    def listed(self, name: str) -> list[str]:
        """The items of a list, between commas, semicolons or blanks; line breaks, as YAML writes them, are blanks."""
        return [item for item in re.split(r"[\s,;]+", self._written(name)) if item]

    def chosen(self, name: str, choices: Collection[str]) -> tuple[str, ...]:
        """Some of *choices*; all of them where none is named."""
        named = self.listed(name) or list(choices)
        if not set(named) <= set(choices):
            self.problems[name] = f"expected some of {', '.join(choices)}, between commas"
            return ()
        return tuple(dict.fromkeys(named))

    def codes(
        self, name: str, default: str = "", *, code: str = r"\w{1,4}", example: str = "1010, 1020"
    ) -> tuple[str, ...]:
        """A list of which each item is of the form *code*."""
        found = tuple(self.listed(name) or filter(None, [default]))
        if not all(re.fullmatch(code, each) for each in found):
            self.problems[name] = f"expected codes separated by commas or spaces, such as {example}"
        return found

    def required(self, name: str) -> str:
        value = self.raw(name)
        if not value:
            self.problems[name] = "is missing"
        return value

    def number(self, name: str, default: str, *, minimum: str = "0", maximum: str) -> Decimal:
        text = self.raw(name)
        value = Decimal(text) if re.fullmatch(r"(?:0|[1-9][0-9]{0,11})?(?:\.[0-9]{1,9})?", text) and text else None
        if text and (value is None or not Decimal(minimum) <= value <= Decimal(maximum)):
            self.problems.setdefault(name, f"expected a number from {minimum} to {maximum}, such as {default}")
            return Decimal(default)
        return Decimal(default) if value is None else value

    def seconds(self, name: str, default: str, *, minimum: str = "0", maximum: str) -> float:
        return float(self.number(name, default, minimum=minimum, maximum=maximum))

    def integer(self, name: str, default: int, *, minimum: int = 0, maximum: int) -> int:
        text = self.raw(name)
        value = int(text) if re.fullmatch(r"0|[1-9][0-9]{0,11}", text) else None
        if text and (value is None or not minimum <= value <= maximum):
            self.problems.setdefault(name, f"expected a whole number from {minimum} to {maximum}, such as {default}")
            return default
        return default if value is None else value

    def maybe_integer(self, name: str, *, example: int, minimum: int = 0, maximum: int) -> int | None:
        """A whole number; None where the variable is not set."""
        number = self.integer(name, example, minimum=minimum, maximum=maximum)
        return number if self.raw(name) else None

    def instant(self, name: str) -> datetime | None:
        text = self.raw(name)
        try:
            return instant_of(text) if text else None
        except (ValueError, OverflowError):
            self.problems.setdefault(name, "expected a date or a time, such as 2026-11-01T00:00:00Z")
            return None

    def time_zone(self, name: str) -> str:
        value = self.raw(name)
        if value and zone_named(value) is None:
            self.problems.setdefault(name, "expected the name of a time zone, such as America/Los_Angeles")
        return value

    def folder(self, name: str) -> Path | None:
        text = self.raw(name)
        return Path(text).absolute() if text else None

    def flag(self, name: str, default: str = "false") -> bool:
        value = self.raw(name).lower() or default
        if value not in ("0", "1", "true", "false", "yes", "no"):
            self.problems.setdefault(name, "expected true or false")
        return value in ("1", "true", "yes")

    def wish(self, name: str) -> bool | None:
        """Yes, no, or None where it is left to crmsync."""
        wished = self.flag(name)
        return wished if self.raw(name) else None

    def url(self, name: str, default: str = "", *, required: bool = False) -> str:
        """*default* is not checked: it is right, or another variable whose problem is reported."""
        own = self.raw(name).rstrip("/")
        value = own or default.rstrip("/")
        if own or (required and not value):
            problem = self._problem_of_url(value)
            if problem:
                self.problems.setdefault(name, problem)
        return value

    def secret_url(self, name: str) -> Secret | None:
        """An address that is a secret in itself."""
        value = self.secret_text(name)
        problem = self._problem_of_url(value) if value and value != WITHHELD else ""
        if problem:
            self.problems.setdefault(self._place(name), problem)
        return Secret(value) if value else None

    def _problem_of_url(self, value: str) -> str:
        if not value:
            return "is missing"
        parts = _split(value)
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            return "expected an address starting with https://"
        if "@" in parts.netloc:
            return "must hold no user and no password: those have variables of their own"
        if not _PLAIN_ADDRESS.fullmatch(value):
            return "expected host and path only, in ASCII, without blanks, ? or # (a host of other letters: xn--…)"
        if parts.scheme == "http" and parts.hostname not in THIS_MACHINE and not self.flag("CRMSYNC_ALLOW_HTTP"):
            return "must be https:// (CRMSYNC_ALLOW_HTTP=true lets credentials travel in the clear)"
        return ""


def in_turn(*secrets: Secret | None) -> tuple[Secret, ...]:
    """The secrets that are set, the newest first: while a secret is being changed there are two."""
    return tuple(secret for secret in secrets if secret is not None)


def read(how: Callable[[Reader], Value], *, variable: str = "", kind: str = "", **options: Any) -> Value:
    """A field of settings, and *how* it is read. Left out where they are made by hand, it is as if nothing were set.

    *variable*, *kind* (a method of Reader) and its *options* show people, and other programs, what is expected.
    """
    told = {"how": how, "variable": variable, "kind": kind, "options": options}
    made: Any = field(default_factory=lambda: how(Reader({})), metadata=told)
    return cast(Value, made)


class _Fields:
    """The methods of a Reader, each of which declares a field that is read so."""

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def declared(variable: str, *more: Any, **options: Any) -> Any:
            def how(reader: Reader) -> Any:
                return getattr(reader, method)(variable, *more, **options)

            return read(how, variable=variable, kind=method, **options)

        return declared


env = cast(Reader, _Fields())  # to the types, a field is what it will hold


def read_into(kind: type[Value], reader: Reader) -> Value:
    """The settings of *kind*, a dataclass; *reader* remembers what is wrong with them."""
    declared: Any = fields(cast(Any, kind))
    return kind(**{each.name: each.metadata["how"](reader) for each in declared})


def _split(url: str) -> SplitResult | None:
    """*url* in its parts; None if it is no address, or its port is none."""
    try:
        parts = urlsplit(url)
        return parts if parts.port is None or parts.port >= 0 else None
    except ValueError:
        return None


def instant_of(text: str) -> datetime:
    """A day, which begins at midnight UTC, or an instant with its zone.

    Raises: ValueError.

    >>> instant_of("2026-11-01").isoformat(), instant_of("2026-11-01T09:00:00+02:00").isoformat()
    ('2026-11-01T00:00:00+00:00', '2026-11-01T07:00:00+00:00')
    """
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        text += "T00:00:00Z"
    value = datetime.fromisoformat(text)
    if value.tzinfo is None:
        raise ValueError("a time needs its zone")
    return value.astimezone(UTC)
