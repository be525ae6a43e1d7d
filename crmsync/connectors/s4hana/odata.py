"""OData V2 as SAP implements it: addresses, literals, keys, and the shapes of answers. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlsplit

SERVICE_ROOT = "/sap/opu/odata/sap"
NUMBER_LENGTH = 10  # of partners, customers, addresses and documents
_COUNT = re.compile(r"[0-9]{1,12}")
_QUERY_SAFE = "$'(),:/"

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Address:
    """The address of the services; *sap_client* picks the client of an on-premise system."""

    base_url: str
    sap_client: str = ""

    def url(self, service: str, path: str = "", options: Mapping[str, str] | None = None) -> str:
        """The address of *path* in *service*, with spaces as %20: not every gateway reads a + as one.

        >>> Address("https://h", "100").url("API_X", "A_X", {"$filter": "Name eq 'A&B'"})
        "https://h/sap/opu/odata/sap/API_X/A_X?$filter=Name%20eq%20'A%26B'&sap-client=100"
        """
        query = "&".join(f"{name}={quote(value, safe=_QUERY_SAFE)}" for name, value in (options or {}).items())
        return self._with_client(f"{self.base_url}{SERVICE_ROOT}/{service}/{path}", query)

    def next_url(self, service: str, link: str) -> str:
        """The address of a `__next` link, on our own host: behind a proxy SAP may name one that we must not call.

        >>> Address("https://h").next_url("API_X", "http://internal:8000/sap/opu/odata/sap/API_X/A_X?$skiptoken=7")
        'https://h/sap/opu/odata/sap/API_X/A_X?$skiptoken=7'
        >>> Address("https://h").next_url("API_X", "https://h/odata/API_X/A_X('1')/to_Y?$skiptoken=7")
        "https://h/sap/opu/odata/sap/API_X/A_X('1')/to_Y?$skiptoken=7"
        """
        parts = urlsplit(link)
        _, is_whole, path = parts.path.partition(f"/{service}/")
        path = path if is_whole else parts.path.lstrip("/")
        return self._with_client(f"{self.base_url}{SERVICE_ROOT}/{service}/{path}", parts.query)

    def _with_client(self, url: str, query: str) -> str:
        if self.sap_client and "sap-client=" not in query:
            query = "&".join(filter(None, (query, f"sap-client={self.sap_client}")))
        return f"{url}?{query}" if query else url


def literal(text: str) -> str:
    """A string in a filter or key.

    >>> literal("O'Brien")
    "'O''Brien'"
    """
    return "'" + text.replace("'", "''") + "'"


def equals(field: str, *values: str) -> str:
    """The filter for rows whose *field* is one of *values*.

    >>> equals("AddressID", "1", "2")
    "AddressID eq '1' or AddressID eq '2'"
    """
    return " or ".join(f"{field} eq {literal(value)}" for value in values)


def numbered(field: str, *numbers: str) -> str:
    """The same for numbers of ten digits, in every form in which SAP may keep them: not every service converts them.

    >>> numbered("Customer", "4711", "TG11")
    "Customer eq '4711' or Customer eq '0000004711' or Customer eq 'TG11'"
    """
    return equals(field, *dict.fromkeys(form for number in numbers for form in (number, padded(number))))


def padded(number: str) -> str:
    """
    >>> padded("4711"), padded("TG11")
    ('0000004711', 'TG11')
    """
    return number.zfill(NUMBER_LENGTH) if number.isascii() and number.isdigit() else number


def entity(entity_set: str, key: str) -> str:
    """The path of one entity.

    >>> entity("A_SalesOrder", "47/11"), entity("A_X", "O'Brien")
    ("A_SalesOrder('47%2F11')", "A_X('O''Brien')")
    """
    predicate = quote(literal(key), safe="'")
    return f"{entity_set}({predicate})"


def plain(number: Decimal) -> str:
    """A number as SAP wants it: a string, never with an exponent.

    >>> plain(Decimal("12.50")), plain(Decimal("2E+2"))
    ('12.50', '200')
    """
    return format(number, "f")


def trimmed(key: str) -> str:
    """A key for comparison: SAP pads numeric ones with zeros, or not.

    >>> trimmed("0017100001"), trimmed("17100001"), trimmed("TG11"), trimmed("0000")
    ('17100001', '17100001', 'TG11', '')
    """
    return key.lstrip("0") if key.isdigit() else key


def same_upper(one: str, other: str) -> bool:
    """Whether two values of an `UpperCase` field are the same: the server upper-cases what it stores."""
    return one.upper() == other.upper()


@dataclass(frozen=True, slots=True)
class Part:
    """What an answer has of a collection; *count* is how many rows that has, None where the answer does not say."""

    rows: list[Row]
    next_link: str = ""
    count: int | None = None


def part(body: Any) -> Part | None:
    """The part of a collection that an answer has; None if *body* holds no collection."""
    inner = body.get("d") if isinstance(body, Mapping) else None
    rows = inner.get("results") if isinstance(inner, Mapping) else inner
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        return None
    told = inner if isinstance(inner, Mapping) else {}
    count = str(told.get("__count") or "")
    return Part(rows, str(told.get("__next") or ""), int(count) if _COUNT.fullmatch(count) else None)


def single(body: Any) -> Row | None:
    """The one entity of an answer; None if *body* holds none."""
    inner = body.get("d") if isinstance(body, Mapping) else None
    return inner if isinstance(inner, Mapping) and "results" not in inner else None


def expanded(row: Any, *path: str) -> list[Row]:
    """The rows at the end of an expanded *path*; none where it is null, deferred or absent.

    >>> expanded({"to_Item": {"results": [{"Material": "A"}]}}, "to_Item")
    [{'Material': 'A'}]
    >>> expanded({"to_Customer": None}, "to_Customer", "to_CustomerSalesArea")
    []
    """
    return expansion(row, *path).rows


def expansion(row: Any, *path: str) -> Part:
    """The same, with the link to the rows after them.

    >>> expansion({"to_Item": {"results": [], "__next": "A_X('1')/to_Item?$skiptoken=7"}}, "to_Item").next_link
    "A_X('1')/to_Item?$skiptoken=7"
    """
    for name in path:
        row = row.get(name) if isinstance(row, Mapping) else None
    rows: Iterable[Any] = row.get("results", ()) if isinstance(row, Mapping) else row or ()
    link = str(row.get("__next") or "") if isinstance(row, Mapping) else ""
    return Part([each for each in rows if isinstance(each, Mapping)], link)
