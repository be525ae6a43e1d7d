"""Errors of SAP in XML: Gateway falls back to it where it fails before it has read that we want JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape
from typing import Any

# No parser: what a stranger sends as XML may name entities and files.
_ROOT = re.compile(
    r"<(?:\w+:)?error\b[^>]*\bxmlns(?::\w+)?=.http://schemas\.microsoft\.com/ado/20\d\d/\d\d/dataservices/"
)
_DETAIL = re.compile(r"<errordetail>(.*?)</errordetail>", re.DOTALL)
_FIELD = re.compile(r"<(?:\w+:)?(code|message|propertyref|severity|target)\b[^>]{0,200}>([^<]*)<")
_CHARS_MAX = 200_000


def error_in_xml(text: str) -> Mapping[str, Any]:
    """The same as `error` is in JSON; empty where *text* is no error of an OData service.

    >>> root = '<error xmlns="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata">'
    >>> error_in_xml(f"{root}<code>V1/042</code><message>Sold-to &amp; so on</message></error>")["message"]
    'Sold-to & so on'
    >>> error_in_xml("<html><code>V1/042</code></html>")
    {}
    """
    if not _ROOT.search(text[:1000]):
        return {}
    text = text[:_CHARS_MAX]
    details = [_fields(each) for each in _DETAIL.findall(text)]
    return {**_fields(_DETAIL.sub("", text)), "innererror": {"errordetails": details}}


def _fields(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in _FIELD.findall(text):
        found.setdefault(name, unescape(value).strip())
    return found
