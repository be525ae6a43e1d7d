"""The objects and fields of an org, what a field may hold, and how what it may not is refused."""

import re
import string
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from crmsync.lab.sandbox.kernel.http import Refusal, Request, Response, answer, decimal_of

# Refusals in the shape of the REST API: an array of objects with message and errorCode.


class SalesforceError(Refusal):
    """A request that the platform refuses."""

    def __init__(self, code: str, message: str, status: int = 400, fields: tuple[str, ...] = ()) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status, self.fields = code, message, status, fields

    def row(self) -> dict[str, object]:
        """The entry of a REST error array; `fields` only where the data is at fault."""
        entry: dict[str, object] = {"message": self.message, "errorCode": self.code}
        return {**entry, "fields": list(self.fields)} if self.fields else entry

    def collection_row(self) -> dict[str, object]:
        """The entry of a collections result, where the code's key is another."""
        return {"statusCode": self.code, "message": self.message, "fields": list(self.fields)}

    def response(self) -> Response:
        return answer([self.row()], self.status)


def not_found(message: str = "The requested resource does not exist") -> SalesforceError:
    return SalesforceError("NOT_FOUND", message, 404)


def malformed_query(message: str) -> SalesforceError:
    return SalesforceError("MALFORMED_QUERY", message)


def object_of(request: Request) -> dict[str, Any]:
    """The JSON object of a request. Raises SalesforceError (JSON_PARSER_ERROR) for other JSON, BadJson for none."""
    body = request.json()
    if not isinstance(body, dict):
        raise SalesforceError("JSON_PARSER_ERROR", "The HTTP entity body must be an object")
    return body


def needs_json(request: Request) -> None:
    """Raises SalesforceError (415) unless the body is declared as JSON."""
    if request.content_type != "application/json":
        message = f"Content type {request.content_type!r} is not supported"
        raise SalesforceError("UNSUPPORTED_MEDIA_TYPE", message, 415)


# Record ids: 15 case-sensitive characters, and three more that protect their case.


_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_CHECK = string.ascii_uppercase + "012345"
_SHAPE = re.compile(r"[a-zA-Z0-9]{15}(?:[A-Z0-5]{3})?")


def checksum(id15: str) -> str:
    """The three characters that follow a 15-character id.

    >>> checksum("00Dxx0000001gER")
    'EAY'
    """
    fives = (id15[start : start + 5] for start in (0, 5, 10))
    return "".join(_CHECK[sum(1 << bit for bit, char in enumerate(five) if char.isupper())] for five in fives)


def make_id(prefix: str, number: int, pod: str = "Sb") -> str:
    """An 18-character id of the object with this prefix; the pod tells the org."""
    tail = ""
    while number:
        number, digit = divmod(number, 62)
        tail = _BASE62[digit] + tail
    id15 = f"{prefix}{pod}00{tail.rjust(8, '0')}"
    return id15 + checksum(id15)


def full_id(text: object) -> str | None:
    """The 18-character form of an id given with 15 or 18 characters; None for anything else."""
    if not isinstance(text, str) or not _SHAPE.fullmatch(text):
        return None
    id15 = text[:15]
    return id15 + checksum(id15) if len(text) == 15 or text[15:] == checksum(id15) else None


# The org's objects: which fields they have and what may be written to them.
#
# One word per field, name:type, then marks: `!` required on create, `-` not writable, `c` only settable on create, `u`
# unique external id. Types: `s80` text of 80 characters, `t` long text, `e` e-mail, `n` number, `m` money, `b` boolean,
# `d` date, `z` instant, `r(Object)` reference. A reference `XId` opens the relationship `X`, `X__c` opens `X__r`.


SYSTEM = """Id:s18- IsDeleted:b- CreatedDate:z- CreatedById:r(User)- LastModifiedDate:z- LastModifiedById:r(User)-
    SystemModstamp:z-"""
OWNED = "OwnerId:r(User)"
OBJECTS = {
    "Account": f"""
        Name:s255! AccountNumber:s40 Type:s40 Industry:s40 Phone:s40 Website:s255 Description:t ParentId:r(Account)
        BillingStreet:s255 BillingCity:s40 BillingState:s80 BillingPostalCode:s20 BillingCountry:s80
        ShippingStreet:s255 ShippingCity:s40 ShippingState:s80 ShippingPostalCode:s20 ShippingCountry:s80
        Tax_Number__c:s20 External_Id__c:s40u {OWNED}
    """,
    "Contact": f"""
        LastName:s80! FirstName:s40 Name:s121- Salutation:s40 Title:s128 AccountId:r(Account) Email:e Phone:s40
        MobilePhone:s40 MailingStreet:s255 MailingCity:s40 MailingState:s80 MailingPostalCode:s20 MailingCountry:s80
        Description:t External_Id__c:s40u {OWNED}
    """,
    "Opportunity": f"""
        Name:s120! StageName:s255! CloseDate:d! AccountId:r(Account) ContactId:r(Contact)c Amount:m Probability:n
        Type:s255 LeadSource:s255 NextStep:s255 Description:t Pricebook2Id:r(Pricebook2) IsClosed:b- IsWon:b-
        HasOpportunityLineItem:b- ForecastCategoryName:s255 SAP_Order_Number__c:s20 Zoho_Invoice_Number__c:s40
        Sync_Status__c:s255 Sync_Status_Reason__c:s255 LastStageChangeDate:z- Payment_Received__c:b
        Payment_Amount__c:m Payment_Date__c:d PO_Number__c:s35 External_Id__c:s40u {OWNED}
    """,
    "OpportunityLineItem": """
        OpportunityId:r(Opportunity)!c PricebookEntryId:r(PricebookEntry)c Product2Id:r(Product2)- ProductCode:s255-
        Name:s376- Quantity:n! UnitPrice:m TotalPrice:m ListPrice:m- Subtotal:m- Discount:n Description:s255
        ServiceDate:d SortOrder:n-
    """,
    "OpportunityContactRole": "OpportunityId:r(Opportunity)!c ContactId:r(Contact)!c Role:s40 IsPrimary:b",
    "Product2": """
        Name:s255! ProductCode:s255 Description:t Family:s255 IsActive:b StockKeepingUnit:s180
        QuantityUnitOfMeasure:s255 Available_Stock__c:n Low_Stock_Alert__c:b External_Id__c:s40u
    """,
    "Pricebook2": "Name:s255! IsActive:b IsStandard:b- Description:s255",
    "PricebookEntry": """
        Pricebook2Id:r(Pricebook2)!c Product2Id:r(Product2)!c UnitPrice:m! IsActive:b UseStandardPrice:b
        ProductCode:s255- Name:s255-
    """,
    "User": "Name:s121- Username:s80- Email:e- IsActive:b-",
    "Organization": "Name:s80- OrganizationType:s40- IsSandbox:b- InstanceName:s40- DefaultCurrencyIsoCode:s3-",
    "CurrencyType": "IsoCode:s3- IsCorporate:b- IsActive:b- DecimalPlaces:n- ConversionRate:n-",
}
PREFIXES = {
    "Account": "001",
    "Contact": "003",
    "Opportunity": "006",
    "OpportunityLineItem": "00k",
    "OpportunityContactRole": "00K",
    "Product2": "01t",
    "Pricebook2": "01s",
    "PricebookEntry": "01u",
    "User": "005",
    "Organization": "00D",
    "CurrencyType": "01L",
}
CHILDREN = {
    "Account": {"Contacts": ("Contact", "AccountId"), "Opportunities": ("Opportunity", "AccountId")},
    "Contact": {"OpportunityContactRoles": ("OpportunityContactRole", "ContactId")},
    "Opportunity": {
        "OpportunityLineItems": ("OpportunityLineItem", "OpportunityId"),
        "OpportunityContactRoles": ("OpportunityContactRole", "OpportunityId"),
    },
    "Product2": {"PricebookEntries": ("PricebookEntry", "Product2Id")},
}
WITH_CURRENCY = ("Account", "Contact", "Opportunity", "OpportunityLineItem", "Product2", "PricebookEntry")
READ_ONLY = ("User", "Organization", "CurrencyType")
TYPES = {"s": "string", "t": "textarea", "e": "email", "n": "double", "m": "currency", "b": "boolean"}
TYPES |= {"d": "date", "z": "datetime", "r": "reference"}
_WORD = re.compile(r"(?P<name>\w+):(?P<type>[a-z])(?P<length>\d*)(?:\((?P<target>\w+)\))?(?P<marks>[!cu-]*)")


@dataclass(frozen=True)
class Field:
    """One field of an object."""

    name: str
    type: str
    length: int = 0
    target: str | None = None
    required: bool = False
    createable: bool = True
    updateable: bool = True
    external_id: bool = False

    @property
    def relationship(self) -> str | None:
        """The name that leads from this reference to its record, e.g. Account for AccountId."""
        if not self.target:
            return None
        return self.name[:-1] + "r" if self.name.endswith("__c") else self.name.removesuffix("Id")


@dataclass(frozen=True)
class Object:
    """One object of the org."""

    name: str
    fields: dict[str, Field]
    children: dict[str, tuple[str, str]] = field(default_factory=dict)

    def find(self, name: str) -> Field | None:
        """The field of this name; names ignore case, as in SOQL."""
        return self.fields.get(name) or next((f for key, f in self.fields.items() if key.lower() == name.lower()), None)

    def parent(self, relationship: str) -> Field | None:
        """The reference that a relationship name goes through."""
        return next((f for f in self.fields.values() if (f.relationship or "").lower() == relationship.lower()), None)


def parse_field(word: str) -> Field:
    """Read one word of the field lists.

    >>> parse_field("Name:s255!").required
    True
    """
    found = _WORD.fullmatch(word)
    if not found:
        raise ValueError(word)
    marks = found["marks"]
    length = int(found["length"] or 0) or {"t": 32000, "e": 80, "r": 18}.get(found["type"], 0)
    return Field(
        found["name"],
        TYPES[found["type"]],
        length,
        found["target"],
        required="!" in marks,
        createable="-" not in marks,
        updateable="-" not in marks and "c" not in marks,
        external_id="u" in marks,
    )


def build_schema(*, multi_currency: bool, custom_fields: dict[str, str]) -> dict[str, Object]:
    """The org's objects by name; `custom_fields` adds words to objects. CurrencyIsoCode needs multi-currency."""
    schema = {}
    for name, words in OBJECTS.items():
        if name == "CurrencyType" and not multi_currency:
            continue
        extra = "CurrencyIsoCode:s3" if multi_currency and name in WITH_CURRENCY else ""
        every = f"{SYSTEM} {words} {custom_fields.get(name, '')} {extra}".split()
        schema[name] = Object(name, {f.name: f for f in map(parse_field, every)}, CHILDREN.get(name, {}))
    return schema


# Values of fields: what a request body may hold, and how a stored value is shown.


Record = dict[str, Any]


_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def read_body(org: Any, kind: Object, body: Any, *, creating: bool, record: Any = None) -> dict[str, Any]:
    """Check a create or update body field by field. Raises SalesforceError."""
    if not isinstance(body, dict):
        raise SalesforceError("JSON_PARSER_ERROR", "The HTTP entity body must be an object")
    if kind.name in READ_ONLY:
        raise SalesforceError("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"entity type cannot be inserted: {kind.name}")
    given = {name: value for name, value in body.items() if name != "attributes"}
    fields = [_field(kind, name) for name in given]
    _check_writable(fields, creating=creating)
    values = {one.name: read_value(org, one, value) for one, value in zip(fields, given.values(), strict=True)}
    _check_required(kind, values, creating=creating)
    _check_unique(org, kind, values, record)
    return values


def _field(kind: Object, name: str) -> Field:
    found = kind.find(name)
    if not found:
        raise SalesforceError("INVALID_FIELD", f"No such column '{name}' on sobject of type {kind.name}")
    return found


def _check_writable(fields: list[Field], *, creating: bool) -> None:
    locked = tuple(one.name for one in fields if not (one.createable if creating else one.updateable))
    if locked:
        message = (
            f"Unable to create/update fields: {', '.join(locked)}. Please check the security settings of this field "
            "and verify that it is read/write for your profile or permission set."
        )
        raise SalesforceError("INVALID_FIELD_FOR_INSERT_UPDATE", message, fields=locked)


def _check_required(kind: Object, values: dict[str, Any], *, creating: bool) -> None:
    required = [one.name for one in kind.fields.values() if one.required]
    missing = [name for name in required if (creating or name in values) and values.get(name) in (None, "")]
    if missing:
        message = f"Required fields are missing: [{', '.join(missing)}]"
        raise SalesforceError("REQUIRED_FIELD_MISSING", message, fields=tuple(missing))


def _check_unique(org: Any, kind: Object, values: dict[str, Any], record: Any) -> None:
    for name, value in values.items():
        if kind.fields[name].external_id:
            clash = next((row for row in org.find_by(kind.name, name, value) if row is not record), None)
            if clash:
                message = f"duplicate value found: {name} duplicates value on record with id: {clash['Id'][:15]}"
                raise SalesforceError("DUPLICATE_VALUE", message, fields=(name,))


def read_value(org: Any, field: Field, value: Any) -> Any:
    """The stored form of one value of a body."""
    if value is None or value == "":
        return False if field.type == "boolean" else None
    reader = {"double": _number, "currency": _number, "boolean": _boolean, "date": _date, "datetime": _instant}
    if field.type == "reference":
        return _reference(org, field, value)
    return reader.get(field.type, _text)(field, value)


def _wrong(field: Field, value: Any) -> SalesforceError:
    kind = {"double": "double", "currency": "double", "reference": "id"}.get(field.type, field.type)
    source = "STRING" if isinstance(value, str) else "NUMBER" if not isinstance(value, bool) else "BOOLEAN"
    message = (
        f"Cannot deserialize instance of {kind} from VALUE_{source} value {value} or request may be missing "
        "a required field"
    )
    return SalesforceError("JSON_PARSER_ERROR", message)


def _text(field: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(field, value)
    if len(value) > field.length:
        message = f"{field.name}: data value too large: {value[:60]} (max length={field.length})"
        raise SalesforceError("STRING_TOO_LONG", message, fields=(field.name,))
    if field.type == "email" and not _EMAIL.fullmatch(value):
        message = f"{field.name}: invalid email address: {value}"
        raise SalesforceError("INVALID_EMAIL_ADDRESS", message, fields=(field.name,))
    return value


def _number(field: Field, value: Any) -> Decimal:
    number = decimal_of(value)
    if number is None:
        raise _wrong(field, value)
    if abs(number) >= Decimal(10) ** 16:
        message = f"{field.name}: value outside of valid range on numeric field: {value}"
        raise SalesforceError("NUMBER_OUTSIDE_VALID_RANGE", message, fields=(field.name,))
    return number


def _boolean(field: Field, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(field, value)
    return value


def _date(field: Field, value: Any) -> date:
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        raise _wrong(field, value)
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise _wrong(field, value) from None


def _instant(field: Field, value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError):
        raise _wrong(field, value) from None


def _reference(org: Any, field: Field, value: Any) -> str:
    record_id = full_id(value)
    if record_id is None:
        message = f"{field.name}: id value of incorrect type: {value}"
        raise SalesforceError("MALFORMED_ID", message, fields=(field.name,))
    if not org.peek(field.target, record_id):
        raise SalesforceError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", fields=(field.name,))
    return record_id


def show(value: Any) -> Any:
    """The JSON form of a stored value: instants with milliseconds and +0000."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    return value.isoformat() if isinstance(value, date) else value
