"""Reads a file of customer links: checks every row, and reports every problem with its line and field."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, pre_load, validates_schema

from crmsync.company import Company
from crmsync.domain.customer_numbers import customer_number

TARGETS: Mapping[str, str] = {"erp_customer": "orders", "books_customer": "invoices"}
"""Which column names a customer of which role."""

COLUMNS = ("crm_id", *TARGETS)
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong in a line of the file; line 1 is the header."""

    line: int
    field: str
    text: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Pair:
    """A customer of the CRM, and which one it is in a connection."""

    line: int
    field: str
    connection: str
    crm_key: str
    key: str


class _CrmId(fields.String):
    """An account's key, in the form in which the CRM keeps it."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            return str(self.root.account_key(text))  # type: ignore[union-attr]
        except ValueError as error:
            raise ValidationError(str(error) if text else "is missing") from error


class _CustomerNumber(fields.String):
    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            return customer_number(text) if text else ""
        except ValueError as error:
            raise ValidationError(str(error)) from error


class LinkRow(Schema):
    """One line: an account of the CRM, and its customer in the ERP, in the books, or in both."""

    class Meta:
        unknown = EXCLUDE

    def __init__(self, account_key: Callable[[str], str]) -> None:
        super().__init__()
        self.account_key = account_key

    crm_id = _CrmId(required=True)
    erp_customer = _CustomerNumber(load_default="")
    books_customer = _CustomerNumber(load_default="")

    @pre_load
    def _strip(self, row: Mapping[str, str | None], **_: Any) -> dict[str, str]:
        return {name: (row.get(name) or "").strip() for name in COLUMNS}

    @validates_schema
    def _names_a_target(self, row: Mapping[str, str], **_: Any) -> None:
        if not any(row.get(name) for name in TARGETS):
            raise ValidationError("neither customer is given", "erp_customer")


def read(content: bytes, company: Company) -> tuple[list[Pair], list[Problem]]:
    """The pairs of a CSV file in UTF-8, and all of its problems."""
    try:
        text = content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        return [], [Problem(content.count(b"\n", 0, error.start) + 1, "", "is not UTF-8: save the file as CSV UTF-8")]
    if "\0" in text:
        return [], [
            Problem(1, "", "is not a CSV file, or is UTF-16 without a byte order mark: save the file as CSV UTF-8")
        ]
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=_delimiter(text))
    try:
        reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
        problems = _problems_of_columns(reader.fieldnames)
        return ([], problems) if problems else _rows(reader, company)
    except csv.Error as error:
        return [], [Problem(reader.reader.line_num, "", f"can't be read: {error}")]


def _problems_of_columns(names: Sequence[str]) -> list[Problem]:
    """Of two columns of one name the last would count, and nobody would know which that is."""
    missing = [name for name in COLUMNS if name not in names]
    repeated = [name for name in COLUMNS if names.count(name) > 1]
    return [
        *(Problem(1, name, "is not a column of the file: the first line names the columns") for name in missing),
        *(Problem(1, name, "names several columns of the file: keep one") for name in repeated),
    ]


def _delimiter(text: str) -> str:
    """What parts the columns of the first line; spreadsheets of many countries write semicolons.

    >>> _delimiter("crm_id;erp_customer;books_customer\\n"), _delimiter("crm_id")
    (';', ',')
    """
    header = text.partition("\n")[0]
    return max(",;\t", key=header.count)


def _rows(reader: csv.DictReader[str], company: Company) -> tuple[list[Pair], list[Problem]]:
    schema = LinkRow(company.deals.declared.account_key)
    pairs, problems = list[Pair](), list[Problem]()
    for row in reader:
        try:
            pairs += _pairs(reader.line_num, schema.load(row), company)
        except ValidationError as error:
            problems += _problems(reader.line_num, error)
    return pairs, problems


def _pairs(line: int, row: Mapping[str, str], company: Company) -> list[Pair]:
    return [
        Pair(line, name, company.bound(role).connection, row["crm_id"], row[name])
        for name, role in TARGETS.items()
        if row[name]
    ]


def _problems(line: int, error: ValidationError) -> Iterable[Problem]:
    messages: Mapping[str, list[str]] = error.normalized_messages()
    return [Problem(line, name, text) for name, texts in messages.items() for text in texts]
