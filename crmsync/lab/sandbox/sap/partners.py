"""Business partners: numbers, roles, addresses, and the customer that comes into being with a role.

Source: shared fact sheet, section 3. Message codes FSBP_ECC/030 and CVI_API/003 were seen on a Cloud tenant; the codes
that start with SANDBOX/ stand for numbers nobody has published.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

from crmsync.lab.sandbox.clock import Clock
from crmsync.lab.sandbox.sap.errors import ODataError
from crmsync.lab.sandbox.sap.metadata import Row, entities
from crmsync.lab.sandbox.sap.tables import Tables
from crmsync.lab.sandbox.sap.writing import Draft, inherit

ROLES = {"FLCU00": "FI customer", "FLCU01": "sales customer", "000000": "general", "FLVN00": "FI vendor"}
CUSTOMER_ROLES = {"FLCU00", "FLCU01"}
GROUPINGS = {"BP02": "internal number", "BP03": "external number"}
DEFAULT_FUNCTIONS = ("SP", "SH", "BP", "PY")
FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


class Partners:
    """Creates and completes business partners in the tables of one system."""

    def __init__(self, tables: Tables, clock: Clock, *, own_customer_numbers: bool = False) -> None:
        self._tables = tables
        self._clock = clock
        self._numbers = count(1000001)
        self._addresses = count(20001)
        self._offset = 9_000_000 if own_customer_numbers else 0

    def create(self, draft: Draft) -> Row:
        """Create a business partner with everything below it. Raises ODataError before anything is kept."""
        self._check(draft)
        self._number(draft)
        self._customer(draft)
        inherit(draft)
        self._complete(draft)
        for one in draft.walk():
            self._tables[one.entity.name].insert(one.row)
        return draft.row

    def _check(self, draft: Draft) -> None:
        row = draft.row
        if row.get("BusinessPartnerCategory") not in ("1", "2", "3"):
            raise _refused("Enter a business partner category (1, 2 or 3)", "BusinessPartnerCategory")
        name = {"1": "LastName", "2": "OrganizationBPName1", "3": "GroupBusinessPartnerName1"}
        required = name[row["BusinessPartnerCategory"]]
        if not row.get(required):
            raise _refused(f"Field {required} is mandatory", required)
        for one in draft.walk():
            check_row(one.entity.name, one.row)

    def _number(self, draft: Draft) -> None:
        row = draft.row
        grouping = row.setdefault("BusinessPartnerGrouping", "BP02")
        if grouping not in GROUPINGS:
            raise _refused(f"Grouping {grouping} does not exist", "BusinessPartnerGrouping")
        if (grouping == "BP03") != bool(row.get("BusinessPartner")):
            raise _refused(f"Grouping {grouping} works with an {GROUPINGS[grouping]}", "BusinessPartner")
        row["BusinessPartner"] = row.get("BusinessPartner") or str(next(self._numbers))
        if self._tables["A_BusinessPartner"].get((row["BusinessPartner"],)):
            raise _refused(f"Business partner {row['BusinessPartner']} already exists", "BusinessPartner")

    def _customer(self, draft: Draft) -> None:
        """A customer exists once the partner has a customer role; data of one without the role is refused."""
        roles = {role.row.get("BusinessPartnerRole") for role in draft.under("to_BusinessPartnerRole")}
        if roles & CUSTOMER_ROLES:
            draft.row["Customer"] = str(int(draft.row["BusinessPartner"]) + self._offset)
            customer = draft.children.setdefault("to_Customer", [Draft(entities()["A_Customer"], {})])[0]
            customer.row["CustomerName"] = full_name(draft.row)[:80]
        elif draft.under("to_Customer"):
            raise _refused("Customer data needs a customer role (FLCU00 or FLCU01)", "to_Customer")

    def _complete(self, draft: Draft) -> None:
        for one in draft.walk():
            completion = getattr(self, f"_complete_{one.entity.name}", None)
            if completion:
                completion(one)
        check_unique(draft)

    def _complete_A_BusinessPartner(self, draft: Draft) -> None:
        name, now = full_name(draft.row), self._clock.now()
        draft.row |= {"BusinessPartnerFullName": name[:81], "BusinessPartnerName": name[:81]}
        draft.row |= {"CreationDate": _day(now), "CreatedByUser": "CRMSYNC", "CreationTime": _time(now)}
        draft.row |= {"BusinessPartnerUUID": f"00000000-0000-4000-8000-{int(draft.row['BusinessPartner']):012d}"}
        self.touch(draft.row)

    def touch(self, row: Row) -> None:
        """Move the change stamps and the ETag."""
        now = self._clock.now()
        stamp = now.strftime("%Y%m%d%H%M%S%f").ljust(26, "0")
        row |= {
            "LastChangeDate": _day(now),
            "LastChangeTime": _time(now),
            "ETag": stamp,
            "LastChangedByUser": "CRMSYNC",
        }

    def _complete_A_BusinessPartnerAddress(self, draft: Draft) -> None:
        self.complete_address(draft.row)
        inherit(draft)
        for kind in ("to_EmailAddress", "to_PhoneNumber", "to_MobilePhoneNumber"):
            for position, child in enumerate(draft.under(kind), 1):
                child.row |= {"OrdinalNumber": str(position), "Person": ""}

    def _complete_A_AddressEmailAddress(self, draft: Draft) -> None:
        complete_email(draft.row)

    def complete_address(self, row: Row) -> None:
        row |= {"AddressID": str(next(self._addresses)), "ValidityEndDate": FOREVER}
        row["FullName"] = ""

    def _complete_A_BuPaAddressUsage(self, draft: Draft) -> None:
        draft.row.setdefault("ValidityEndDate", FOREVER)

    def _complete_A_BusinessPartnerRole(self, draft: Draft) -> None:
        draft.row |= {"ValidFrom": _day(self._clock.now()), "ValidTo": FOREVER}

    def _complete_A_CustomerSalesArea(self, draft: Draft) -> None:
        """Partner functions are defaulted to the customer itself."""
        given = {one.row.get("PartnerFunction") for one in draft.under("to_PartnerFunction")}
        for name in DEFAULT_FUNCTIONS:
            if name not in given:
                self._default_function(draft, name)
        inherit(draft)

    def _default_function(self, draft: Draft, name: str) -> None:
        row = {"PartnerFunction": name, "PartnerCounter": "0", "BPCustomerNumber": draft.row["Customer"]}
        draft.children.setdefault("to_PartnerFunction", []).append(Draft(entities()["A_CustSalesPartnerFunc"], row))

    def add(self, draft: Draft) -> Row:
        """Add one row (role, address, sales area …) to a business partner that exists."""
        for one in draft.walk():
            check_row(one.entity.name, one.row)
        self._needs_parent(draft)
        inherit(draft)
        self._complete(draft)
        if self._tables[draft.entity.name].get(self._tables[draft.entity.name].key(draft.row)):
            raise _refused("The entry already exists")
        for one in draft.walk():
            self._tables[one.entity.name].insert(one.row)
        self._after_role(draft)
        return draft.row

    def _needs_parent(self, draft: Draft) -> None:
        parent = {"BusinessPartner": "A_BusinessPartner", "Customer": "A_Customer"}
        name = next((name for name in parent if name in draft.entity.keys), None)
        if name and not self._tables[parent[name]].get((draft.row.get(name, ""),)):
            raise _refused(f"{name} {draft.row.get(name, '')!r} does not exist", name)

    def _after_role(self, draft: Draft) -> None:
        """A customer role brings the customer into being."""
        if draft.row.get("BusinessPartnerRole") not in CUSTOMER_ROLES:
            return
        partner = self._tables["A_BusinessPartner"].get((draft.row["BusinessPartner"],))
        if partner and not partner.get("Customer"):
            partner["Customer"] = str(int(partner["BusinessPartner"]) + self._offset)
            name = partner["BusinessPartnerFullName"][:80]
            self._tables["A_Customer"].insert({"Customer": partner["Customer"], "CustomerName": name})


def complete_email(row: Row) -> None:
    """The server itself keeps the first 20 characters in upper case, to be searched by: a caller's are dropped."""
    row["SearchEmailAddress"] = str(row.get("EmailAddress", "")).upper()[:20]


def full_name(row: Row) -> str:
    parts = [row.get(f"OrganizationBPName{number}", "") for number in range(1, 5)]
    parts += [row.get("FirstName", ""), row.get("LastName", ""), row.get("GroupBusinessPartnerName1", "")]
    return " ".join(filter(None, parts))


def _day(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def _time(now: datetime) -> str:
    return now.strftime("PT%HH%MM%SS")


def _refused(message: str, target: str = "", code: str = "SANDBOX/001") -> ODataError:
    return ODataError(message, code, target=target)


def _address(row: Row) -> None:
    if not row.get("Country"):
        raise _refused("Enter a country", "Country", "AM/021")
    if not row.get("Language"):
        raise _refused("Enter a language for the address", "Language", "FSBP_ECC/030")


def _role(row: Row) -> None:
    if row.get("BusinessPartnerRole") not in ROLES:
        raise _refused(f"Role {row.get('BusinessPartnerRole', '')!r} does not exist", "BusinessPartnerRole")


def _area(row: Row) -> None:
    for name in ("SalesOrganization", "DistributionChannel", "Division"):
        if not row.get(name):
            raise _refused(f"{name} is mandatory in a sales area", name)
    if not row.get("Currency"):
        raise _refused("Currency is missing in the sales area", "Currency", "CVI_API/003")


def _needs(*names: str) -> Callable[[Row], None]:
    def check(row: Row) -> None:
        for name in names:
            if not row.get(name):
                raise _refused(f"{name} is mandatory", name)

    return check


CHECKS: dict[str, Callable[[Row], None]] = {
    "A_BusinessPartnerAddress": _address,
    "A_BusinessPartnerRole": _role,
    "A_CustomerSalesArea": _area,
    "A_CustomerCompany": _needs("CompanyCode", "ReconciliationAccount"),
    "A_AddressEmailAddress": _needs("EmailAddress"),
    "A_BuPaIdentification": _needs("BPIdentificationType", "BPIdentificationNumber"),
    "A_BusinessPartnerTaxNumber": _needs("BPTaxType"),
    "A_CustomerSalesAreaTax": _needs("DepartureCountry", "CustomerTaxCategory"),
}


def check_row(name: str, row: Row) -> None:
    """Check what one kind of row must have."""
    CHECKS.get(name, lambda row: None)(row)


def check_unique(draft: Draft) -> None:
    """Refuse two rows of one deep insert with one key."""
    seen: set[tuple[Any, ...]] = set()
    for one in draft.walk():
        key = (one.entity.name, *(one.row.get(name, "") for name in one.entity.keys))
        if key in seen:
            raise _refused(f"Entry {key[-1]!r} occurs twice")
        seen.add(key)
