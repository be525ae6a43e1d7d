"""Creating, changing and deleting entities: what each set allows, ETags, and what follows from a change."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

from crmsync.lab.sandbox.kernel.http import Request, Response
from crmsync.lab.sandbox.kernel.ledger import Clock
from crmsync.lab.sandbox.sap.access import ODataError, SapProfile, not_found
from crmsync.lab.sandbox.sap.metadata import NOT_CREATABLE, NOT_DELETABLE, STOCK_SETS, Entity, Row, Tables, entities
from crmsync.lab.sandbox.sap.orders import REJECTION_REASONS, Orders, check_rate, refused
from crmsync.lab.sandbox.sap.products import Catalogue
from crmsync.lab.sandbox.sap.reading import Reader, bare, etag_header, etag_of, formatted, needs_json, with_message
from crmsync.lab.sandbox.sap.values import Address, Draft, inherit, read_draft, read_update

# Business partners: numbers, roles, addresses, and the customer that comes into being with a role.
#
# Source: shared fact sheet, section 3. Message codes FSBP_ECC/030 and CVI_API/003 were seen on a Cloud tenant; the
# codes that start with SANDBOX/ stand for numbers nobody has published.


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


Note = Callable[[str, str, str, str | None], None]  # action, kind, key, reference


class Changes:
    """The writes of one system."""

    def __init__(
        self,
        tables: Tables,
        reader: Reader,
        partners: Partners,
        orders: Orders,
        catalogue: Catalogue,
        profile: SapProfile,
        clock: Clock,
        note: Note,
    ) -> None:
        self._tables, self._reader, self._profile, self._clock = tables, reader, profile, clock
        self._partners, self._orders, self._catalogue, self._tell = partners, orders, catalogue, note

    def create(self, request: Request, address: Address) -> Response:
        needs_json(request)
        if (address.key is None and address.entity.name in NOT_CREATABLE) or address.target.name in STOCK_SETS:
            raise ODataError(f"Method POST not allowed on {address.target.name}", "/IWBEP/CM_MGW_RT/501", 405)
        draft = read_draft(address.target, request.json())
        if address.nav:
            parent = self._tables.found(address.entity.name, address.key)
            draft.row |= {name: parent[name] for name in address.nav.on} | dict(address.nav.fixed)
        row = self._insert(draft)
        for one in draft.walk():
            one.row["_made"] = self._clock.now()
        self._note("created", draft.entity, row)
        return self._created(request, draft, row)

    def _insert(self, draft: Draft) -> Row:
        name = draft.entity.name
        if name == "A_BusinessPartner":
            return self._partners.create(draft)
        if name == "A_SalesOrder":
            return self._orders.create(draft)
        if name.startswith("A_SalesOrder"):
            return self._insert_below_order(draft)
        if draft.entity.service == "API_PRODUCT_SRV":
            raise ODataError("Creating products is not allowed", "API_PRD_MSG/009")
        return self._partners.add(draft)

    def _insert_below_order(self, draft: Draft) -> Row:
        order = self._tables["A_SalesOrder"].get((draft.row.get("SalesOrder", ""),))
        if order is None:
            raise not_found("Sales order does not exist")
        if draft.entity.name == "A_SalesOrderItem":
            return self._orders.add_item(order, draft)
        item = self._tables["A_SalesOrderItem"].get((order["SalesOrder"], draft.row.get("SalesOrderItem", "")))
        if item is None or draft.entity.name != "A_SalesOrderItemPrElement":
            raise ODataError(f"{draft.entity.name} cannot be created this way", status=405)
        return self._orders.add_element(order, item, draft)

    def _created(self, request: Request, draft: Draft, row: Row) -> Response:
        """201 with Location and ETag; in mode `bare` the computed values are still empty."""
        sent = ",".join(name for name in draft.children if name == "to_Item" or draft.entity.name != "A_SalesOrder")
        shown = self._reader.entity(draft.entity, row, {"$expand": sent})
        if self._profile.create_response == "bare":
            shown = bare(shown)
        response = formatted(request, {"d": shown}, 201)
        response.headers |= {"Location": self._reader.uri(draft.entity, row)} | etag_header(row)
        message = self._warning(draft)
        return with_message(response, *message) if message else response

    def _warning(self, draft: Draft) -> tuple[str, str] | None:
        """The `sap-message` header, text and code, for orders that are incomplete or hold a material that warns."""
        if draft.entity.name != "A_SalesOrder":
            return None
        materials = {item.row["Material"] for item in draft.under("to_Item")}
        warned = sorted(materials & set(self._profile.warn_materials))
        if warned:
            return f"Material {warned[0]} will be discontinued", "SANDBOX/101"
        return None if materials else ("The sales document is not yet complete: edit data", "V1/555")

    def update(self, request: Request, address: Address) -> Response:
        needs_json(request)
        if address.key is None or address.nav or address.entity.name in STOCK_SETS:
            raise ODataError("Method not allowed on this resource", status=405)
        row = self._tables.found(address.entity.name, address.key)
        self._check_etag(request, address.entity, row)
        values = read_update(address.entity, request.json())
        self._check_update(address.entity, row, values)
        if "SoldToParty" in values:
            self._orders.sales_area({**row, **values})
        row.update(values)
        self._touched(address.entity, row)
        self._note("changed", address.entity, row)
        return Response(204)

    def _check_update(self, entity: Entity, row: Row, values: Row) -> None:
        reason = values.get("SalesDocumentRjcnReason")
        if reason and reason not in REJECTION_REASONS:
            raise refused(f"Reason for rejection {reason} is not defined", "SalesDocumentRjcnReason")
        if entity.name == "A_SalesOrderItem" and (values.get("RequestedQuantity", 1) or 0) <= 0:
            raise refused("Enter an order quantity", "RequestedQuantity")
        if entity.name == "A_SalesOrderItemPrElement" and "ConditionRateValue" in values:
            check_rate(row["ConditionType"], values["ConditionRateValue"], row["TransactionCurrency"])

    def _touched(self, entity: Entity, row: Row) -> None:
        order = self._tables["A_SalesOrder"].get((row.get("SalesOrder", ""),))
        if order is not None:
            self._orders.refresh(order)
        if entity.name == "A_BusinessPartner":
            self._partners.touch(row)
        if entity.name == "A_AddressEmailAddress":
            complete_email(row)
        if entity.name == "A_Product":
            self._catalogue.touch(row)

    def _check_etag(self, request: Request, entity: Entity, row: Row) -> None:
        """428 without If-Match, 412 when it names another state; a part may be guarded by its header's ETag."""
        given = request.headers.get("if-match")
        if given is None:
            raise ODataError("Precondition required: If-Match header missing", "/IWFND/CM_MGW/428", 428)
        order = self._tables["A_SalesOrder"].get((row.get("SalesOrder", ""),)) or {}
        if given != "*" and given not in (etag_of(row), etag_of(order)):
            raise ODataError("Precondition failed: the resource has been changed", "/IWBEP/CM_MGW_RT/020", 412)

    def delete(self, request: Request, address: Address) -> Response:
        if address.key is None or address.nav or address.entity.name in NOT_DELETABLE:
            code = "CI_DRAFTBP_MESSAGE/032" if address.entity.name == "A_BusinessPartner" else "/IWBEP/CM_MGW_RT/501"
            raise ODataError("Deletion is not supported", code, 405 if "501" in code else 400)
        row = self._tables.found(address.entity.name, address.key)
        self._check_etag(request, address.entity, row)
        if address.entity.name == "A_SalesOrder":
            self._orders.delete(row)
        else:
            self._tables[address.entity.name].delete(row)
            self._touched(address.entity, row)
        self._note("deleted", address.entity, row)
        return Response(204)

    def _note(self, action: str, entity: Entity, row: Row) -> None:
        kind = {"A_SalesOrder": "order", "A_BusinessPartner": "customer"}.get(entity.name, entity.name)
        key = "/".join(str(row.get(name, "")) for name in entity.keys)
        reference = row.get("PurchaseOrderByCustomer") or row.get("BusinessPartnerIDByExtSystem")
        self._tell(action, kind, key, reference)
