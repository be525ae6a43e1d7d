"""What the modules of Zoho Books have in common: settings, refusals, custom fields, lists."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Self

from crmsync.lab.sandbox.kernel.http import Refusal, Request, Response, answer, decimal_of, whole_of

# What can be set about the Zoho Books stand-in.


UNIQUE = {
    "contacts": ("cf_crm_account_id", "cf_crmsync_reference"),
    "invoices": ("cf_crm_deal_id", "cf_crmsync_reference"),
    "items": ("cf_product_code", "cf_crmsync_reference"),
    "customerpayments": ("cf_crmsync_reference",),
    "creditnotes": ("cf_crmsync_reference",),
}


@dataclass
class ZohoProfile:
    """`per_minute`, `per_day`, `concurrent` are the vendor's limits; raise them for load tests.

    `price_precision` is how many decimals the organisation keeps of a currency's amounts and rates, where they are not
    as many as the currency has, and `quantity_precision` how many of quantities: both can be set in Zoho Books.
    `duplicate_items` says of what items may have the same: "name", which the preferences allow, or "sku".

    `lag_seconds` is how long a fresh document stays off the lists, `empty_list` how an empty list is answered ("200" or
    "204"), `modified_filter` whether `last_modified_time` finds what was modified "after" that second, as the OpenAPI
    files say, or "from" it on, `scopes` what a token may (ZohoBooks.contacts.ALL, ZohoBooks.invoices.READ …), as it was
    when it was given out, `api_domain` another data centre to which the account belongs: the token answer names it, and
    the API here does not know its tokens, `time_zone` the organisation's zone as GET /organizations writes it (days and
    stamps follow it), `unique_fields` the custom fields that prevent duplicate values and can be
    upserted on.
    """

    client_id: str = "1000.SANDBOXCLIENT"
    client_secret: str = "sandbox-zoho-secret"
    refresh_token: str = "1000.sandbox.refresh"
    callback_url: str = ""  # of the client; "": whatever is asked for
    accounts_server: str = ""  # another data centre's, which the user turns out to be in
    grant_code: str = "1000.sandbox.code"  # as the API console shows it once
    organization_id: str = "10234695"
    first_id: int = 460_000_000_026_001
    webhook_secret: str = "sandboxZohoSecret2026"
    currency: str = "USD"
    currencies: tuple[str, ...] = ("USD", "EUR", "GBP", "INR", "JPY", "CHF", "KWD")
    time_zone: str = "PST"
    price_precision: dict[str, int] = field(default_factory=dict)
    quantity_precision: int = 2
    duplicate_items: tuple[str, ...] = ()
    tax_percentage: Decimal = Decimal(0)
    per_minute: int = 100
    per_day: int = 10_000
    concurrent: int = 10
    tokens_per_window: int = 10
    scopes: tuple[str, ...] = ("ZohoBooks.fullaccess.all",)
    api_domain: str = ""
    lag_seconds: float = 0.0
    empty_list: str = "200"
    modified_filter: str = "after"
    default_page_size: int = 10
    unique_fields: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(UNIQUE))
    plain_fields: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"invoices": ("cf_sap_order",)})

    def of_another(self, number: int) -> Self:
        """The same for the organisation of another company: with ids, credentials and secrets of its own."""
        return replace(
            self,
            client_id=f"{self.client_id}{number}",
            client_secret=f"{self.client_secret}-{number}",
            refresh_token=f"{self.refresh_token}{number}",
            grant_code=f"{self.grant_code}{number}",
            organization_id=str(int(self.organization_id) + number - 1),
            first_id=self.first_id + (number - 1) * 10**13,
            webhook_secret=f"sandboxZohoSecretOf{number}",
            price_precision=dict(self.price_precision),
            unique_fields=dict(self.unique_fields),
            plain_fields=dict(self.plain_fields),
        )


# Refusals in the shape of the Books API: a code and a message, no more.


class ZohoError(Refusal):
    """A request that Books refuses."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status

    def response(self) -> Response:
        return answer({"code": self.code, "message": self.message}, self.status)


def missing(what: str) -> ZohoError:
    return ZohoError(1002, f"{what} does not exist.", 404)


def invalid(name: str) -> ZohoError:
    return ZohoError(2, f"Invalid value passed for {name}")


# Custom fields, as bodies spell them, and the lookup that an upsert makes with one.


Doc = dict[str, Any]
SPELLINGS = ("api_name", "customfield_id", "label", "index")


class CustomFields:
    """The custom fields of one module; each may be named by api_name, id, label or index."""

    def __init__(self, profile: ZohoProfile, module: str) -> None:
        self.unique = profile.unique_fields.get(module, ())
        self.names = (*self.unique, *profile.plain_fields.get(module, ()))
        self._first_id = profile.first_id // 10**6 * 10**6 + 98_000 + 100 * len(module) + 1

    def describe(self) -> list[Doc]:
        return [
            {"api_name": name, "customfield_id": str(self._first_id + index), "label": name, "index": index + 1}
            for index, name in enumerate(self.names)
        ]

    def read(self, entries: Any) -> dict[str, Any]:
        """Field name → value. Raises ZohoError for a field that the module does not have."""
        if not isinstance(entries, list):
            raise ZohoError(2, "Invalid value passed for custom_fields")
        return dict(self._entry(entry) for entry in entries)

    def _entry(self, entry: Any) -> tuple[str, Any]:
        for one in self.describe() if isinstance(entry, dict) else ():
            if any(key in entry and str(entry[key]) == str(one[key]) for key in SPELLINGS):
                return one["api_name"], entry.get("value")
        raise ZohoError(2, "Invalid value passed for custom_fields")

    def check_unique(self, values: dict[str, Any], others: Iterable[Doc]) -> None:
        """Raises ZohoError where a field that prevents duplicates would hold one."""
        given = [name for name in self.unique if values.get(name)]
        held = [other["_custom"] for other in others] if given else []
        for name in given:
            if any(custom.get(name) == values[name] for custom in held):
                raise ZohoError(120124, f"The value for {name} already exists. Please enter a unique value.")

    def show(self, values: dict[str, Any]) -> list[Doc]:
        return [
            {**field, "value": values[field["api_name"]]} for field in self.describe() if field["api_name"] in values
        ]

    def flat(self, values: dict[str, Any]) -> Doc:
        """As lists show them: flattened, with a twin `_unformatted`."""
        return {key: value for name, value in values.items() for key in (name, f"{name}_unformatted")}


def upsert_target(request: Request, fields: CustomFields, docs: Iterable[Doc]) -> tuple[Doc | None, dict[str, str]]:
    """The document that a PUT on the collection means, or None where it is to be created with the returned value.

    Raises ZohoError without the two identifier headers, for a field that is not unique, and for a missing document
    unless `X-Upsert: true` was sent.
    """
    name = request.headers.get("x-unique-identifier-key", "")
    value = request.headers.get("x-unique-identifier-value", "")
    if not name or not value:
        raise ZohoError(4, "X-Unique-Identifier-Key and X-Unique-Identifier-Value are required")
    if name not in fields.unique:
        raise ZohoError(2, f"{name} is no custom field that prevents duplicate values")
    found = next((doc for doc in docs if doc["_custom"].get(name) == value), None)
    if found is None and request.headers.get("x-upsert", "").lower() != "true":
        raise missing("Resource")
    return found, {name: value}


# Lists: filters by suffix, sorting, paging, and the lag of a fresh document.


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
