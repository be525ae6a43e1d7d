"""The organisation: its documents by kind, ids, currencies, taxes, and how time and money are written."""

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from itertools import count
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from crmsync.lab.sandbox.clock import Clock
from crmsync.lab.sandbox.ledger import Notes
from crmsync.lab.sandbox.numbers import decimal_of, places
from crmsync.lab.sandbox.zoho.errors import ZohoError, invalid, missing
from crmsync.lab.sandbox.zoho.fields import CustomFields, Doc
from crmsync.lab.sandbox.zoho.profile import ZohoProfile

OLD_NAMES = {"PST": "America/Los_Angeles", "IST": "Asia/Kolkata"}  # as the OpenAPI file writes a zone
KINDS = ("contacts", "items", "invoices", "customerpayments", "creditnotes")
SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "INR": "₹", "JPY": "¥"}
MOST = Decimal(10) ** 15
_DAY = re.compile(r"(19|20|21)[0-9]{2}-[0-9]{2}-[0-9]{2}")


class Books:
    """What the modules of one organisation share."""

    def __init__(self, profile: ZohoProfile, clock: Clock, ledger: Notes) -> None:
        self.profile = profile
        self.clock = clock
        self.ledger = ledger
        self.docs: dict[str, dict[str, Doc]] = {kind: {} for kind in KINDS}
        self.fields = {kind: CustomFields(profile, kind) for kind in KINDS}
        self._ids = count(profile.first_id, 2)
        self.currencies = {self.new_id(): code for code in profile.currencies}
        self.taxes = [{"tax_id": self.new_id(), "tax_name": "Standard", "tax_percentage": profile.tax_percentage}]

    def new_id(self) -> str:
        return str(next(self._ids))

    def now(self) -> datetime:
        return self.clock.now()

    @property
    def zone(self) -> ZoneInfo:
        """The organisation's, by which its days and stamps are written; UTC where its name is no zone."""
        name = self.profile.time_zone
        try:
            return ZoneInfo(OLD_NAMES.get(name, name) or "UTC")
        except (KeyError, ValueError):
            return ZoneInfo("UTC")

    def today(self) -> date:
        return self.now().astimezone(self.zone).date()

    def stamp(self, moment: datetime) -> str:
        """A timestamp as Books writes it: the organisation's offset, without a colon."""
        return moment.astimezone(self.zone).strftime("%Y-%m-%dT%H:%M:%S%z")

    def stamps(self) -> Doc:
        now = self.now()
        return {
            "_created": now,
            "_modified": now,
            "created_time": self.stamp(now),
            "last_modified_time": self.stamp(now),
        }

    def touch(self, doc: Doc) -> None:
        now = self.now()
        doc |= {"_modified": now, "last_modified_time": self.stamp(now)}

    def note(self, action: str, kind: str, key: str, reference: str | None = None, **details: Any) -> None:
        self.ledger.note(action, kind, key, reference=reference, **details)

    def currency_id(self, code: str) -> str:
        return next(key for key, one in self.currencies.items() if one == code)

    def currency_code(self, currency_id: Any) -> str:
        """The code of a currency. Raises ZohoError for an unknown id."""
        code = self.currencies.get(str(currency_id))
        if code is None:
            raise invalid("currency_id")
        return code

    def precision(self, currency: str) -> int:
        """How many decimals the organisation keeps of amounts and rates in a currency."""
        return self.profile.price_precision.get(currency, places(currency))

    def rounded(self, amount: Decimal, currency: str) -> Decimal:
        return rounded(amount, self.precision(currency))

    def tax(self, tax_id: Any) -> Doc:
        found = next((tax for tax in self.taxes if tax["tax_id"] == str(tax_id)), None)
        if found is None:
            raise invalid("tax_id")
        return found

    def add_tax(self, name: str, percentage: Decimal) -> Doc:
        tax = {"tax_id": self.new_id(), "tax_name": name, "tax_percentage": percentage}
        self.taxes.append(tax)
        return tax


class Module:
    """The documents of one kind, and what is alike for all kinds."""

    kind: ClassVar[str]
    key: ClassVar[str]  # the field that holds a document's id
    noun: ClassVar[str]  # in refusals

    def __init__(self, books: Books) -> None:
        self._books = books
        self.docs = books.docs[self.kind]
        self.fields = books.fields[self.kind]

    def get(self, key: str) -> Doc:
        if key not in self.docs:
            raise missing(self.noun)
        return self.docs[key]

    def others(self, doc: Doc) -> list[Doc]:
        """All but this one, which may not have its id yet."""
        return [one for one in self.docs.values() if one[self.key] != doc.get(self.key)]

    def fill_custom(self, doc: Doc, body: Doc, custom: dict[str, str]) -> None:
        """Raises ZohoError where a field that prevents duplicates would hold one."""
        doc["_custom"] |= self.fields.read(body.get("custom_fields", [])) | custom
        self.fields.check_unique(doc["_custom"], self.others(doc))

    def show(self, doc: Doc) -> Doc:
        """The document as GET shows it."""
        return {name: value for name, value in doc.items() if not name.startswith("_")}


def rounded(amount: Decimal, digits: int) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def number(body: Doc, name: str, default: Decimal | None = None) -> Decimal:
    """A number of a body, given as number or text. Raises ZohoError."""
    found = decimal_of(body.get(name, default))
    if found is None or abs(found) >= MOST:
        raise invalid(name)
    return found


def day(body: Doc, name: str, default: date) -> str:
    """A date of a body as text. Raises ZohoError unless it is yyyy-mm-dd."""
    value = body.get(name) or default.isoformat()
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise invalid(name)
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise invalid(name) from None


def text(body: Doc, name: str, longest: int, default: str = "") -> str:
    """A text of a body. Raises ZohoError for another type or more characters than allowed."""
    if not isinstance(body, dict):
        raise invalid(name)
    value = body.get(name, default)
    if value is None:
        return default
    if not isinstance(value, str):
        raise invalid(name)
    if len(value) > longest:
        raise ZohoError(15, f"Please ensure that the {name} has less than {longest} characters.")
    return value


def first(items: list[Doc], wanted: Callable[[Doc], bool]) -> Doc | None:
    return next((item for item in items if wanted(item)), None)
