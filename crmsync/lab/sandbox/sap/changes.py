"""Creating, changing and deleting entities: what each set allows, ETags, and what follows from a change."""

from collections.abc import Callable

from crmsync.lab.sandbox.clock import Clock
from crmsync.lab.sandbox.http import Request, Response
from crmsync.lab.sandbox.sap.catalogue import Catalogue
from crmsync.lab.sandbox.sap.errors import ODataError, not_found
from crmsync.lab.sandbox.sap.formats import bare, etag_header, formatted, needs_json, with_message
from crmsync.lab.sandbox.sap.metadata import NOT_CREATABLE, NOT_DELETABLE, STOCK_SETS, Entity, Row
from crmsync.lab.sandbox.sap.orders import REJECTION_REASONS, Orders, check_rate, refused
from crmsync.lab.sandbox.sap.partners import Partners, complete_email
from crmsync.lab.sandbox.sap.profile import SapProfile
from crmsync.lab.sandbox.sap.reading import Reader, etag_of
from crmsync.lab.sandbox.sap.tables import Tables
from crmsync.lab.sandbox.sap.uri import Address
from crmsync.lab.sandbox.sap.writing import Draft, read_draft, read_update

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
