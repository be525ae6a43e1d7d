"""The org's records in memory: created, changed, deleted, undone, and found by id or by the value of a field."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import count, islice
from typing import Any, Protocol

from crmsync.lab.sandbox.kernel.ledger import Clock
from crmsync.lab.sandbox.salesforce.soql import plain
from crmsync.lab.sandbox.salesforce.values import (
    PREFIXES,
    Object,
    Record,
    SalesforceError,
    full_id,
    make_id,
    not_found,
    read_body,
)

# What the platform does by itself when records change: stages, roll-ups, prices of lines.


STAGES = {"Closed Won": (True, True, Decimal(100)), "Closed Lost": (True, False, Decimal(0))}


class Records(Protocol):
    """The part of the org that rules look at."""

    def peek(self, name: str | None, record_id: Any) -> Record | None: ...
    def children(self, name: str, field: str, parent_id: str) -> list[Record]: ...
    def change(self, name: str, row: Record, values: Record) -> None: ...
    def now(self) -> datetime: ...


def before_opportunity(org: Records, values: Record, row: Record | None) -> None:
    """Stage decides the closed flags; Amount of a deal with lines is ignored, not refused.

    LastStageChangeDate is the platform's own (object reference, Opportunity) and stays empty until a stage changes, so
    a deal that was created as won has none.
    """
    if row and org.children("OpportunityLineItem", "OpportunityId", row["Id"]):
        values.pop("Amount", None)
    if "StageName" in values:
        closed, won, probability = STAGES.get(values["StageName"], (False, False, Decimal(50)))
        values.update(IsClosed=closed, IsWon=won)
        values.setdefault("Probability", probability)
        if row and row["StageName"] != values["StageName"]:
            values["LastStageChangeDate"] = org.now()


def before_line(org: Records, values: Record, row: Record | None) -> None:
    """A line needs a price book entry in the deal's currency, and a unit price or a total."""
    if row is None:
        _adopt_entry(org, values)
    if "UnitPrice" in values and "TotalPrice" in values:
        raise SalesforceError("FIELD_INTEGRITY_EXCEPTION", "UnitPrice and TotalPrice can't both be specified")
    held = {**(row or {}), **values}
    if not held["Quantity"]:
        raise SalesforceError("FIELD_INTEGRITY_EXCEPTION", "Quantity may not be zero", fields=("Quantity",))
    values.update(line_prices(held, by_total="TotalPrice" in values))


def _adopt_entry(org: Records, values: Record) -> None:
    entry = org.peek("PricebookEntry", values.get("PricebookEntryId"))
    if entry is None:
        raise SalesforceError("REQUIRED_FIELD_MISSING", "Required fields are missing: [PricebookEntryId]")
    deal = org.peek("Opportunity", values["OpportunityId"]) or {}
    if not entry["IsActive"]:
        raise SalesforceError("FIELD_INTEGRITY_EXCEPTION", "pricebook entry is inactive", fields=("PricebookEntryId",))
    if deal.get("CurrencyIsoCode") != entry.get("CurrencyIsoCode"):
        message = "The pricebook entry currency code does not match the opportunity currency code"
        raise SalesforceError("FIELD_INTEGRITY_EXCEPTION", message, fields=("PricebookEntryId",))
    if values.get("UnitPrice") is None and values.get("TotalPrice") is None:
        raise SalesforceError(
            "REQUIRED_FIELD_MISSING", "Required fields are missing: [UnitPrice]", fields=("UnitPrice",)
        )
    product = org.peek("Product2", entry["Product2Id"]) or {}
    values.update(Product2Id=entry["Product2Id"], ProductCode=product.get("ProductCode"), ListPrice=entry["UnitPrice"])
    values["Name"] = f"{deal.get('Name', '')} {product.get('Name', '')}"[:376]
    if "CurrencyIsoCode" in deal:
        values["CurrencyIsoCode"] = deal["CurrencyIsoCode"]


def line_prices(line: Record, *, by_total: bool) -> Record:
    """The prices of a line, none of them rounded; Discount is a percentage.

    >>> line_prices({"Quantity": Decimal(3), "UnitPrice": Decimal("1.50")}, by_total=False)["TotalPrice"]
    Decimal('4.50')
    """
    rest = 1 - (line.get("Discount") or Decimal(0)) / 100
    if by_total:
        total = line["TotalPrice"]
        return {
            "UnitPrice": double(total / line["Quantity"] / rest),
            "TotalPrice": total,
            "Subtotal": double(total / rest),
        }
    subtotal = line["Quantity"] * line["UnitPrice"]
    return {"UnitPrice": line["UnitPrice"], "TotalPrice": double(subtotal * rest), "Subtotal": double(subtotal)}


def double(amount: Decimal) -> Decimal:
    """As the API keeps it: with all decimals, to the precision of a double; the UI alone shows two (KB 000387302).

    >>> double(Decimal("1300.561728395061728395")), double(Decimal("4.50"))
    (Decimal('1300.5617283950617'), Decimal('4.50'))
    """
    kept = Decimal(repr(float(amount)))
    return amount if kept == amount else kept


def after_line(org: Records, row: Record, values: Record | None) -> None:
    """Roll the lines up into the deal's Amount."""
    deal = org.peek("Opportunity", row["OpportunityId"])
    if deal is None:
        return
    lines = org.children("OpportunityLineItem", "OpportunityId", deal["Id"])
    rolled: Record = {"HasOpportunityLineItem": bool(lines)}
    if lines:
        rolled["Amount"] = double(sum((line["TotalPrice"] for line in lines), Decimal(0)))
    org.change("Opportunity", deal, rolled)


def before_contact(org: Records, values: Record, row: Record | None) -> None:
    held = {**(row or {}), **values}
    values["Name"] = " ".join(filter(None, (held.get("FirstName"), held.get("LastName"))))


def before_entry(org: Records, values: Record, row: Record | None) -> None:
    product = org.peek("Product2", values.get("Product2Id")) or {}
    if row is None:
        values.update(ProductCode=product.get("ProductCode"), Name=product.get("Name"))


Rule = Callable[[Any, Record, Record | None], None]
BEFORE: dict[str, Rule] = {
    "Opportunity": before_opportunity,
    "OpportunityLineItem": before_line,
    "Contact": before_contact,
    "PricebookEntry": before_entry,
}
AFTER: dict[str, Rule] = {"OpportunityLineItem": after_line}


# The text for a lock of a row is documented (shared fact sheet, section 3), that of an approval lock from memory.
REFUSAL_TEXTS = {
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": "A validation rule of the organization refuses this record",
    "ENTITY_IS_LOCKED": "the entity is locked for editing",
    "UNABLE_TO_LOCK_ROW": "unable to obtain exclusive access to this record or 1 records: {}",
}

Note = Callable[[str, str, Record], None]
Index = dict[Any, dict[str, Record]]


@dataclass
class Refusal:
    """Why a record does not let itself be changed; `times` is how often it still refuses (None: always)."""

    code: str
    message: str
    fields: tuple[str, ...] = ()
    times: int | None = None


class Org:
    """All records of one org. Ids may be given with 15 or 18 characters."""

    def __init__(self, schema: dict[str, Object], clock: Clock, note: Note, pod: str) -> None:
        self.schema = schema
        self.pod = pod
        self._clock = clock
        self._note = note
        self._numbers = count(1)
        self._tables: dict[str, dict[str, Record]] = {name: {} for name in schema}
        self._indexes: dict[str, dict[str, Index]] = {name: {} for name in schema}
        self._ids: dict[str, list[str]] = {}
        self._undo: list[tuple[str, str, Record | None]] | None = None
        self._instant: datetime | None = None
        self.refusals: dict[str, Refusal] = {}
        self.user = self.add("User", {"Name": "Integration User", "IsActive": True})

    def refuse(self, key: str, reason: str, message: str | None, fields: Sequence[str], times: int | None) -> None:
        """Refuse changes of the record with this id, or of all records of the object with this name.

        Raises ValueError for a code without a known text, which needs its own `message`.
        """
        text = message or REFUSAL_TEXTS.get(reason, "").format(key)
        if not text:
            raise ValueError(f"{reason} needs a message")
        self.refusals[key] = Refusal(reason, text, tuple(fields), times)

    def object(self, name: str) -> Object:
        found = self.schema.get(name) or next(
            (o for key, o in self.schema.items() if key.lower() == name.lower()), None
        )
        if not found:
            raise not_found()
        return found

    def rows(self, name: str, *, deleted: bool = False) -> Iterator[Record]:
        return (row for row in list(self._tables[name].values()) if deleted or not row["IsDeleted"])

    def rows_from(self, name: str, record_id: str, *, deleted: bool = False) -> Iterator[Record]:
        """The records from this id on, in the order of ids; it starts there and does not read what lies before."""
        table = self._tables[name]
        ids = self._ids.setdefault(name, list(table))  # numbers only grow, so a table is in the order of its ids
        found = (table[one] for one in islice(ids, bisect_left(ids, record_id), None))
        return (row for row in found if deleted or not row["IsDeleted"])

    def peek(self, name: str | None, record_id: Any) -> Record | None:
        """The record, deleted or not, or None."""
        return self._tables.get(name or "", {}).get(full_id(record_id) or "")

    def get(self, name: str, record_id: str) -> Record:
        """The record. Raises SalesforceError (404) for a missing, (400) for a malformed id."""
        row = self.peek(name, record_id)
        if row is None:
            raise not_found("Provided external ID field does not exist or is not accessible: " + str(record_id))
        if row["IsDeleted"]:
            raise SalesforceError("ENTITY_IS_DELETED", "entity is deleted", 404)
        return row

    def children(self, name: str, field: str, parent_id: str) -> list[Record]:
        """The living records of an object that refer to this parent; indexed."""
        return [row for row in self.lookup(name, field, (parent_id,)) if not row["IsDeleted"]]

    def find_by(self, name: str, field: str, value: Any) -> list[Record]:
        """The living records that hold exactly this value; indexed."""
        found = self.lookup(name, field, (value,)) if value is not None else []
        return [row for row in found if not row["IsDeleted"] and row.get(field) == value]

    def lookup(self, name: str, field: str, values: Iterable[Any]) -> list[Record]:
        """The records, deleted or not, whose field compares equal to one of the values, in the order of ids."""
        index = self._indexes[name].get(field)
        if index is None:
            index = self._indexes[name][field] = {}
            for row in self._tables[name].values():
                index.setdefault(plain(row.get(field)), {})[row["Id"]] = row
        found = [row for value in dict.fromkeys(map(plain, values)) for row in index.get(value, {}).values()]
        return sorted(found, key=lambda row: str(row["Id"]))

    def create(self, name: str, body: dict[str, Any]) -> Record:
        """Create a record as the API does: checked, completed, stamped. Raises SalesforceError."""
        kind = self.object(name)
        values = read_body(self, kind, body, creating=True)
        BEFORE.get(kind.name, _nothing)(self, values, None)
        row = self.add(kind.name, values)
        self._note("created", kind.name, row)
        return row

    def add(self, name: str, values: dict[str, Any]) -> Record:
        """Put a record in without checks, as the platform itself does."""
        kind, record_id, now = self.schema[name], make_id(PREFIXES[name], next(self._numbers), self.pod), self.now()
        user = record_id if name == "User" else self.user["Id"]
        row = blank(kind)
        row |= {"CreatedDate": now, "CreatedById": user, "LastModifiedById": user} | values
        row |= {"Id": record_id, "LastModifiedDate": now, "SystemModstamp": now}
        if "OwnerId" in row and not row["OwnerId"]:
            row["OwnerId"] = user
        self._insert(name, row)
        AFTER.get(name, _nothing)(self, row, None)
        return row

    def add_many(self, name: str, rows: Iterable[Record]) -> list[str]:
        """Put many records in at one instant, without checks, rules and history; returns their ids."""
        user, now, ids = self.user["Id"], self.now(), []
        base = blank(self.schema[name]) | {"CreatedById": user, "LastModifiedById": user}
        base |= {"CreatedDate": now, "LastModifiedDate": now, "SystemModstamp": now}
        for values in rows:
            row = {**base, **values, "Id": make_id(PREFIXES[name], next(self._numbers), self.pod)}
            self._insert(name, row)
            ids.append(row["Id"])
        return ids

    def _insert(self, name: str, row: Record) -> None:
        self._tables[name][row["Id"]] = row
        if name in self._ids:
            self._ids[name].append(row["Id"])
        if self._undo is not None:
            self._undo.append((name, row["Id"], None))
        self._index(name, row)

    def _index(self, name: str, row: Record) -> None:
        for field, index in self._indexes[name].items():
            index.setdefault(plain(row.get(field)), {})[row["Id"]] = row

    def _unindex(self, name: str, row: Record) -> None:
        for field, index in self._indexes[name].items():
            index.get(plain(row.get(field)), {}).pop(row["Id"], None)

    def update(self, name: str, record_id: str, body: dict[str, Any]) -> Record:
        """Change a record as the API does. Raises SalesforceError."""
        kind = self.object(name)
        row = self.get(kind.name, record_id)
        values = read_body(self, kind, body, creating=False, record=row)
        BEFORE.get(kind.name, _nothing)(self, values, row)
        self._refuse(self.refusals.get(row["Id"]) or self.refusals.get(kind.name))
        self.change(kind.name, row, values)
        self._note("changed", kind.name, row)
        return row

    def _refuse(self, refusal: Refusal | None) -> None:
        """Raises SalesforceError where a record, or all of its kind, refuse as validation rules and locks do."""
        if refusal is None or refusal.times == 0:
            return
        refusal.times = None if refusal.times is None else refusal.times - 1
        raise SalesforceError(refusal.code, refusal.message, fields=refusal.fields)

    def change(self, name: str, row: Record, values: dict[str, Any]) -> None:
        """Set fields without checks, and move the stamps."""
        now = self.now()
        self.put(name, row, {**values, "LastModifiedDate": now, "SystemModstamp": now})
        AFTER.get(name, _nothing)(self, row, values)

    def put(self, name: str, row: Record, values: dict[str, Any]) -> None:
        """Set fields and nothing else."""
        if self._undo is not None:
            self._undo.append((name, row["Id"], dict(row)))
        self._unindex(name, row)
        row.update(values, LastModifiedById=self.user["Id"])
        self._index(name, row)

    def delete(self, name: str, record_id: str) -> None:
        """Move a record to the recycle bin."""
        name = self.object(name).name
        row = self.get(name, record_id)
        self.put(name, row, {"IsDeleted": True, "SystemModstamp": self.now()})
        AFTER.get(name, _nothing)(self, row, None)
        self._note("deleted", name, row)

    def name_of(self, record_id: str) -> str:
        """The object that an id belongs to. Raises SalesforceError (MALFORMED_ID)."""
        found = next((name for name, prefix in PREFIXES.items() if record_id.startswith(prefix)), None)
        if not found or not full_id(record_id):
            raise SalesforceError("MALFORMED_ID", f"malformed id {record_id}")
        return found

    @contextmanager
    def attempt(self) -> Iterator[Callable[[], None]]:
        """All that changes inside bears one stamp; what is given undoes it, in place and at the cost of the changes."""
        outer, self._undo = self._undo, []
        instant, self._instant = self._instant, self.now()
        try:
            yield self._roll_back
        finally:
            done, self._undo, self._instant = self._undo, outer, instant
            if outer is not None:
                outer.extend(done)

    def _roll_back(self) -> None:
        while self._undo:
            name, record_id, before = self._undo.pop()
            row = self._tables[name][record_id]
            self._unindex(name, row)
            if before is None:
                del self._tables[name][record_id]
                self._ids.pop(name, None)
            else:
                row.clear()
                row.update(before)
                self._index(name, row)

    def now(self) -> datetime:
        """The stamp of a change: whole seconds, the same for all records of one transaction."""
        return self._instant or self._clock.now().replace(microsecond=0)


def blank(kind: Object) -> Record:
    """A record with nothing filled in."""
    return {name: False if field.type == "boolean" else None for name, field in kind.fields.items()}


def _nothing(org: Org, values: Record, row: Record | None) -> None:
    """No rule for this object."""
