"""Lists: filters by suffix, sorting, paging, and the lag of a fresh document."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from crmsync.lab.sandbox.http import Request, Response, answer
from crmsync.lab.sandbox.numbers import decimal_of, whole_of
from crmsync.lab.sandbox.zoho.errors import invalid
from crmsync.lab.sandbox.zoho.fields import Doc
from crmsync.lab.sandbox.zoho.profile import ZohoProfile

Test = Callable[[Doc], bool]
MOST_PER_PAGE = 200
TEXT_TESTS: dict[str, Callable[[str, str], bool]] = {
    "": str.__eq__,
    "_startswith": str.startswith,
    "_contains": str.__contains__,
}
ORDER_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "_start": lambda held, given: held >= given,
    "_end": lambda held, given: held <= given,
    "_before": lambda held, given: held < given,
    "_after": lambda held, given: held > given,
    "_less_than": lambda held, given: held < given,
    "_less_equals": lambda held, given: held <= given,
    "_greater_than": lambda held, given: held > given,
    "_greater_equals": lambda held, given: held >= given,
}


@dataclass(frozen=True)
class Listing:
    """How one resource is listed: what can be filtered, sorted and searched, and how a row looks.

    A query parameter that is not among the filters is ignored, as Books does, and so filters nothing; so is
    `last_modified_time` where the OpenAPI file does not name it (contacts, items, payments).
    """

    name: str
    row: Callable[[Doc], Doc]
    texts: tuple[str, ...] = ()
    ordered: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    sorts: tuple[str, ...] = ("created_time",)
    statuses: dict[str, Callable[[Doc], bool]] = field(default_factory=dict)
    by_modified: bool = False


def list_response(
    listing: Listing, request: Request, docs: Iterable[Doc], profile: ZohoProfile, now: datetime
) -> Response:
    """One page of a list. Raises ZohoError for a bad page, sort column or filter_by."""
    visible = [doc for doc in docs if doc["_created"] <= now - timedelta(seconds=profile.lag_seconds)]
    tests = [*_tests(listing, request.query), *_modified_tests(listing, request.query, profile)]
    found = _sorted(listing, request, [doc for doc in visible if all(test(doc) for test in tests)])
    page, size = (
        _number(request, "page", 1),
        min(MOST_PER_PAGE, _number(request, "per_page", profile.default_page_size)),
    )
    shown = [listing.row(doc) for doc in found[(page - 1) * size : page * size]]
    if not shown and profile.empty_list == "204":
        return Response(204)
    context = {
        "page": page,
        "per_page": size,
        "has_more_page": len(found) > page * size,
        "report_name": listing.name.title(),
        "applied_filter": request.query.get("filter_by", "Status.All"),
        "sort_column": request.query.get("sort_column", listing.sorts[0]),
        "sort_order": request.query.get("sort_order", "D"),
    }
    return answer({"code": 0, "message": "success", listing.name: shown, "page_context": context})


def _number(request: Request, name: str, default: int) -> int:
    number = whole_of(request.query.get(name, str(default)))
    if not number:
        raise invalid(name)
    return number


def _sorted(listing: Listing, request: Request, docs: list[Doc]) -> list[Doc]:
    column = request.query.get("sort_column", listing.sorts[0])
    if column not in listing.sorts:
        raise invalid("sort_column")
    key = {"created_time": "_created", "last_modified_time": "_modified"}.get(column, column)
    descending = request.query.get("sort_order", "D") == "D"
    return sorted(docs, key=lambda doc: (doc.get(key) is not None, doc.get(key)), reverse=descending)


def _tests(listing: Listing, query: dict[str, str]) -> list[Test]:
    """What a document must pass to be listed, worked out once per request."""
    return [
        *_status_tests(listing, query),
        *(
            _text_test(name, end, query[name + end].lower())
            for name in listing.texts
            for end in TEXT_TESTS
            if name + end in query
        ),
        *(_equal_test(name, query[name]) for name in listing.ordered if name in query),
        *(
            _order_test(name, end, query[name + end])
            for name in listing.ordered
            for end in ORDER_TESTS
            if name + end in query
        ),
        *_search_tests(listing, query.get("search_text", "").lower()),
    ]


def _status_tests(listing: Listing, query: dict[str, str]) -> list[Test]:
    """`filter_by=Status.X`, and on invoices `status=x`."""
    by_status = {name.partition(".")[2].lower(): test for name, test in listing.statuses.items()}
    wanted, status = query.get("filter_by", "Status.All"), query.get("status", "all").replace("_", "")
    if wanted != "Status.All" and wanted not in listing.statuses:
        raise invalid("filter_by")
    if status != "all" and status not in by_status:
        raise invalid("status")
    return [test for test in (listing.statuses.get(wanted), by_status.get(status)) if test]


def _text_test(name: str, end: str, wanted: str) -> Test:
    test = TEXT_TESTS[end]
    return lambda doc: test(str(doc.get(name) or "").lower(), wanted)


def _equal_test(name: str, text: str) -> Test:
    return lambda doc: bool(_like(doc.get(name), text, name) == doc.get(name))


def _order_test(name: str, end: str, text: str) -> Test:
    """Before, after, between: of amounts as numbers, of dates as texts."""
    test = ORDER_TESTS[end]
    return lambda doc: test(doc.get(name), _like(doc.get(name), text, name))


def _like(held: Any, text: str, name: str) -> Any:
    if not isinstance(held, Decimal):
        return text
    number = decimal_of(text)
    if number is None:
        raise invalid(name)
    return number


def _modified_tests(listing: Listing, query: dict[str, str], profile: ZohoProfile) -> list[Test]:
    """`last_modified_time=2026-11-18T02:02:51-0800`: compared by whole seconds, all that a document shows."""
    if not listing.by_modified or not query.get("last_modified_time"):
        return []
    since = _instant(query["last_modified_time"])
    if profile.modified_filter == "from":
        return [lambda doc: doc["_modified"].replace(microsecond=0) >= since]
    return [lambda doc: doc["_modified"].replace(microsecond=0) > since]


def _instant(text: str) -> datetime:
    """An instant with an offset without colon; a + that was not encoded arrives as a blank and is refused."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", text):
        raise invalid("last_modified_time")
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        raise invalid("last_modified_time") from None


def _search_tests(listing: Listing, text: str) -> list[Test]:
    if not text:
        return []
    return [lambda doc: any(text in str(doc.get(name) or "").lower() for name in listing.search)]
