"""Parses SAP's messages in every form: in errors and their details, as JSON or XML, and in headers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import unquote_plus

_CODE = re.compile(r"[\w/.~-]{1,60}")
_NUMBERED = re.compile(r"(?P<group>/\w+/\w{1,20}|[A-Za-z]\w{0,19}?)(?:[ /(](?P<number>\d{1,3})\)?|(?P<joined>\d{3}))")
_INSIDE = re.compile(r"\b[A-Z][A-Z0-9_]{0,19}/\d{3}\b")
_FIELD = re.compile(r"[A-Za-z]\w{0,59}")
_QUIET = tuple("is12")  # info, success; and the numbers that stand for them
_WARNING = tuple("w3")
_ENCODED = "%22"
_DEPTH_MAX = 5
# Gateway falls back to XML where it fails before it has read that we want JSON. No parser: what a stranger sends as XML
# may name entities and files.
_XML_ROOT = re.compile(
    r"<(?:\w+:)?error\b[^>]*\bxmlns(?::\w+)?=.http://schemas\.microsoft\.com/ado/20\d\d/\d\d/dataservices/"
)
_XML_DETAIL = re.compile(r"<errordetail>(.*?)</errordetail>", re.DOTALL)
_XML_FIELD = re.compile(r"<(?:\w+:)?(code|message|propertyref|severity|target)\b[^>]{0,200}>([^<]*)<")
_XML_CHARS_MAX = 200_000


def code_of(value: Any) -> str:
    """A code as its class and number; "" where there is none.

    >>> [code_of(value) for value in ("MC/601", "MC601", "mc 601", "V1042", "/IWBEP/CM_MGW_RT/020", "CX_SXML", 5)]
    ['MC/601', 'MC/601', 'MC/601', 'V1/042', '/IWBEP/CM_MGW_RT/020', 'CX_SXML', '']
    """
    text = unquote_plus(value) if isinstance(value, str) else ""
    found = _NUMBERED.fullmatch(text)
    if found:
        return f"{found['group'].upper()}/{(found['number'] or found['joined']).zfill(3)}"
    return text if _CODE.fullmatch(text) else ""


@dataclass(frozen=True, slots=True)
class Message:
    """*severity* is lower case, and "" where the message has none; *field* is the one at fault."""

    code: str
    text: str = ""
    severity: str = ""
    field: str = ""

    @property
    def is_loud(self) -> bool:
        """More than information."""
        return not self.severity.startswith(_QUIET)

    @property
    def is_fault(self) -> bool:
        return self.is_loud and not self.severity.startswith(_WARNING)


def in_error(error: Mapping[str, Any]) -> list[Message]:
    """The error itself, which is a fault, and then its details, whatever their severity."""
    inner = error.get("innererror")
    details = inner.get("errordetails") if isinstance(inner, Mapping) else None
    own = Message(code_of(error.get("code")), _text(error.get("message")))
    return [own, *(_message(each) for each in _entries(details or error.get("details")))]


def in_header(text: str) -> list[Message]:
    """The messages of a `sap-message` header: JSON, as it is or URL-encoded; one, a list, or several behind each other.

    Of a header that can't be read, for it was cut, the codes alone.

    >>> [message.code for message in in_header('{"code":"V1/399","severity":"warning","details":[{"code":"V4/233"}]}')]
    ['V1/399', 'V4/233']
    >>> [message.code for message in in_header('{"code":"V1/555","details":[{"code":"V4/23')]
    ['V1/555']
    """
    for form in (text, *_decoded(text)):
        try:
            return [_message(entry) for value in _values(form) for entry in _nested(value)]
        except (ValueError, RecursionError):
            continue
    return [Message(code) for code in _INSIDE.findall(form)]


def _decoded(text: str) -> Iterator[str]:
    """*text* without its encoding, of which proxies may add another."""
    for _ in range(_DEPTH_MAX):
        if _ENCODED not in text.replace("%25", "%"):
            return
        text = unquote_plus(text)
        yield text


def _values(text: str) -> list[Any]:
    """The JSON values in *text*: a header that comes twice is joined by a comma. Raises: ValueError."""
    decoder, values, rest = json.JSONDecoder(), [], text.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        values.append(value)
        rest = rest[end:].lstrip(" ,")
    return values


def _nested(value: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    for entry in _entries(value):
        yield entry
        if depth < _DEPTH_MAX:
            yield from _nested(entry.get("details"), depth + 1)


def _entries(value: Any) -> list[Mapping[str, Any]]:
    """The messages of a list, under whatever name an answer that was XML once has it; or the only one."""
    if isinstance(value, Mapping):
        value = [value] if "code" in value else next((each for each in value.values() if isinstance(each, list)), [])
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _message(entry: Mapping[str, Any]) -> Message:
    severity = entry.get("severity", entry.get("@SAP__common.numericSeverity", ""))
    field = str(entry.get("target") or entry.get("propertyref") or "").rsplit("/", maxsplit=1)[-1]
    return Message(
        code_of(entry.get("code")),
        _text(entry.get("message")),
        str(severity).strip().lower(),
        field if _FIELD.fullmatch(field) else "",
    )


def _text(message: Any) -> str:
    text = message.get("value") if isinstance(message, Mapping) else message
    return text.strip() if isinstance(text, str) else ""


def error_in_xml(text: str) -> Mapping[str, Any]:
    """The same as `error` is in JSON; empty where *text* is no error of an OData service.

    >>> root = '<error xmlns="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata">'
    >>> error_in_xml(f"{root}<code>V1/042</code><message>Sold-to &amp; so on</message></error>")["message"]
    'Sold-to & so on'
    >>> error_in_xml("<html><code>V1/042</code></html>")
    {}
    """
    if not _XML_ROOT.search(text[:1000]):
        return {}
    text = text[:_XML_CHARS_MAX]
    details = [_xml_fields(each) for each in _XML_DETAIL.findall(text)]
    return {**_xml_fields(_XML_DETAIL.sub("", text)), "innererror": {"errordetails": details}}


def _xml_fields(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in _XML_FIELD.findall(text):
        found.setdefault(name, unescape(value).strip())
    return found
