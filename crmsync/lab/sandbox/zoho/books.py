"""The organisation: its documents by kind, ids, currencies, taxes, and how time and money are written."""

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from itertools import count
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from crmsync.lab.sandbox.kernel.http import decimal_of, places
from crmsync.lab.sandbox.kernel.ledger import Clock, Notes
from crmsync.lab.sandbox.zoho.fields import CustomFields, Doc, Listing, ZohoError, ZohoProfile, invalid, missing

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


# Contacts and their contact persons. Names are unique over customers and vendors, whatever their case (code 3062).


EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
PERSON_FIELDS = ("salutation", "first_name", "last_name", "email", "phone", "mobile", "designation", "department")
ADDRESS = {
    "attention": 100,
    "address": 500,
    "street2": 255,
    "city": 100,
    "state": 100,
    "zip": 50,
    "country": 100,
    "fax": 50,
}
TEXTS = {"company_name": 200, "notes": 5000, "website": 200, "zcrm_account_id": 50, "zcrm_contact_id": 50}
TEXTS |= {"gst_no": 15, "vat_reg_no": 50, "tax_reg_no": 50, "customer_sub_type": 20}
ROW = (
    *("contact_id", "contact_name", "company_name", "contact_type", "status", "payment_terms", "payment_terms_label"),
    *("currency_id", "currency_code", "outstanding_receivable_amount", "unused_credits_receivable_amount"),
    *("first_name", "last_name", "email", "phone", "mobile", "created_time", "last_modified_time"),
)


class Contacts(Module):
    """The contacts of one organisation."""

    kind, key, noun = "contacts", "contact_id", "Contact"

    def __init__(self, books: Books) -> None:
        super().__init__(books)
        self.listing = Listing(
            "contacts",
            lambda doc: {name: doc[name] for name in ROW} | self.fields.flat(doc["_custom"]),
            texts=("contact_name", "company_name", "first_name", "last_name", "email", "phone", "contact_type",
                   "zcrm_account_id", "zcrm_contact_id"),
            search=("contact_name", "notes"),
            sorts=("contact_name", "first_name", "last_name", "email", "outstanding_receivable_amount", "created_time",
                   "last_modified_time", "zcrm_contact_id", "zcrm_account_id"),
            statuses={
                "Status.Active": lambda doc: doc["status"] == "active",
                "Status.Inactive": lambda doc: doc["status"] == "inactive",
                "Status.Crm": lambda doc: bool(doc["zcrm_account_id"]),
            },
        )  # fmt: skip

    def create(self, body: Doc, custom: dict[str, str] | None = None) -> Doc:
        """Add a contact. Raises ZohoError 3062 where the name is taken."""
        base: Doc = {"_custom": {}, "contact_type": "customer", "status": "active", "payment_terms": 0, "persons": []}
        base |= {"contact_name": "", "currency_id": self._books.currency_id(self._books.profile.currency)}
        base |= {"outstanding_receivable_amount": 0, "unused_credits_receivable_amount": 0, "tax_id": ""}
        doc: Doc = base | dict.fromkeys(TEXTS, "") | {"billing_address": {}, "shipping_address": {}}
        if not body.get("contact_name"):
            raise ZohoError(4, "Please enter a valid contact name.")
        self._fill(doc, body, custom or {})
        doc |= {"contact_id": self._books.new_id(), **self._books.stamps()}
        self.docs[doc["contact_id"]] = doc
        self._books.note("created", "contact", doc["contact_id"], self.reference(doc), name=doc["contact_name"])
        return doc

    def update(self, doc: Doc, body: Doc) -> Doc:
        """Change a contact; contact persons that are sent replace those it had."""
        changed = {**doc, "_custom": dict(doc["_custom"])}
        if "currency_id" in body and str(body["currency_id"]) != doc["currency_id"] and self._has_invoices(doc):
            raise ZohoError(3021, "The currency of a contact with transactions cannot be changed.")
        self._fill(changed, body, {})
        doc.update(changed)
        self._books.touch(doc)
        self._books.note("changed", "contact", doc["contact_id"], self.reference(doc))
        return doc

    def _has_invoices(self, doc: Doc) -> bool:
        return any(one["customer_id"] == doc["contact_id"] for one in self._books.docs["invoices"].values())

    def _fill(self, doc: Doc, body: Doc, custom: dict[str, str]) -> None:
        if "contact_name" in body:
            doc["contact_name"] = self._free_name(doc, text(body, "contact_name", 200).strip())
        for name, longest in TEXTS.items():
            doc[name] = text(body, name, longest, doc[name])
        self._fill_terms(doc, body)
        for name in ("billing_address", "shipping_address"):
            doc[name] = _address(body[name]) if name in body else doc[name]
        if "contact_persons" in body:
            doc["persons"] = self._persons(body["contact_persons"])
        self.fill_custom(doc, body, custom)
        _show_primary(doc)

    def _fill_terms(self, doc: Doc, body: Doc) -> None:
        doc["contact_type"] = body.get("contact_type", doc["contact_type"])
        doc["currency_id"] = str(body.get("currency_id", doc["currency_id"]))
        doc["currency_code"] = self._books.currency_code(doc["currency_id"])
        doc["payment_terms"] = body.get("payment_terms", doc["payment_terms"])
        if doc["contact_type"] not in ("customer", "vendor") or not isinstance(doc["payment_terms"], int):
            raise invalid("contact_type or payment_terms")
        terms = doc["payment_terms"]
        doc["payment_terms_label"] = body.get("payment_terms_label") or (f"Net {terms}" if terms else "Due on Receipt")
        if body.get("tax_id"):
            doc["tax_id"] = self._books.tax(body["tax_id"])["tax_id"]

    def _free_name(self, doc: Doc, name: str) -> str:
        if any(one["contact_name"].lower() == name.lower() for one in self.others(doc)):
            message = f'The customer "{name}" already exists. Please specify a different name.'
            raise ZohoError(3062, message)
        return name

    def _persons(self, bodies: Any) -> list[Doc]:
        if not isinstance(bodies, list):
            raise invalid("contact_persons")
        persons = [self._person(body) for body in bodies]
        if persons and not any(person["is_primary_contact"] for person in persons):
            persons[0]["is_primary_contact"] = True
        return persons

    def _person(self, body: Doc, held: Doc | None = None) -> Doc:
        person = held or {"contact_person_id": self._books.new_id(), "is_primary_contact": False}
        person |= {name: text(body, name, 100, person.get(name, "")) for name in PERSON_FIELDS}
        person["is_primary_contact"] = bool(body.get("is_primary_contact", person["is_primary_contact"]))
        if person["email"] and not EMAIL.fullmatch(person["email"]):
            raise ZohoError(2, "Invalid value passed for Email Address")
        return person

    def add_person(self, body: Doc) -> Doc:
        """Add one contact person to the contact that the body names."""
        doc = self.get(str(body.get("contact_id", "")))
        if not body.get("first_name") and not body.get("email"):
            raise ZohoError(4, "Please enter the first name of the contact person.")
        person = self._person(body)
        person["is_primary_contact"] = person["is_primary_contact"] or not doc["persons"]
        doc["persons"].append(person)
        self._changed(doc)
        return person

    def find_person(self, person_id: str) -> tuple[Doc, Doc]:
        for doc in self.docs.values():
            person = first(doc["persons"], lambda one: one["contact_person_id"] == person_id)
            if person:
                return doc, person
        raise missing("Contact person")

    def change_person(self, person_id: str, body: Doc) -> Doc:
        doc, person = self.find_person(person_id)
        self._person(body, person)
        self._changed(doc)
        return person

    def delete_person(self, person_id: str) -> None:
        doc, person = self.find_person(person_id)
        doc["persons"].remove(person)
        self._changed(doc)

    def make_primary(self, person_id: str) -> None:
        doc, person = self.find_person(person_id)
        for one in doc["persons"]:
            one["is_primary_contact"] = one is person
        self._changed(doc)

    def _changed(self, doc: Doc) -> None:
        _show_primary(doc)
        self._books.touch(doc)
        self._books.note("changed", "contact", doc["contact_id"], self.reference(doc))

    def delete(self, doc: Doc) -> None:
        if self._has_invoices(doc):
            raise ZohoError(3005, "Contacts with transactions cannot be deleted.")
        del self.docs[doc["contact_id"]]
        self._books.note("deleted", "contact", doc["contact_id"], self.reference(doc))

    def mark(self, doc: Doc, status: str) -> None:
        doc["status"] = status
        self._changed(doc)

    def reference(self, doc: Doc) -> str | None:
        return next((str(doc["_custom"][name]) for name in self.fields.unique if doc["_custom"].get(name)), None)

    def show(self, doc: Doc) -> Doc:
        primary = first(doc["persons"], lambda one: one["is_primary_contact"])
        shown = super().show(doc)
        shown |= {"contact_persons": shown.pop("persons"), "custom_fields": self.fields.show(doc["_custom"])}
        shown |= {"primary_contact_id": primary["contact_person_id"] if primary else "", "is_taxable": True}
        return shown | {"currency_symbol": SYMBOLS.get(doc["currency_code"], doc["currency_code"])}


def _show_primary(doc: Doc) -> None:
    primary = first(doc["persons"], lambda one: one["is_primary_contact"]) or {}
    doc |= {name: primary.get(name, "") for name in ("first_name", "last_name", "email", "phone", "mobile")}


def _address(body: Any) -> Doc:
    if not isinstance(body, dict):
        raise invalid("address")
    return {name: text(body, name, longest) for name, longest in ADDRESS.items()}
