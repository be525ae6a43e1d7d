"""Orders as people change them in the ERP: rejected, deleted."""

from dataclasses import dataclass

from crmsync.lab.sandbox.sap.app import Sap
from crmsync.lab.sandbox.sap.metadata import Row
from crmsync.lab.sandbox.sap.orders import REJECTION_REASONS, refused

REASON = "10"


@dataclass
class Orders:
    """What is done with an order of the stand-in system; it is named by its number. Raises ODataError."""

    sap: Sap

    def reject(self, number: str, reason: str = REASON) -> None:
        """Give every item a reason for rejection, which is how an order is cancelled."""
        if reason not in REJECTION_REASONS:
            raise refused(f"Reason for rejection {reason} is not defined", "SalesDocumentRjcnReason")
        with self.sap.lock:
            order = self._order(number)
            for item in self.sap.orders.items(order):
                item["SalesDocumentRjcnReason"] = reason
            self._changed("rejected", order)

    def reopen(self, number: str) -> None:
        """Take the reasons for rejection away again."""
        with self.sap.lock:
            order = self._order(number)
            for item in self.sap.orders.items(order):
                item["SalesDocumentRjcnReason"] = ""
            self._changed("changed", order)

    def delete(self, number: str) -> None:
        with self.sap.lock:
            order = self._order(number)
            self.sap.orders.delete(order)
            self.sap.tables.changed()
            self._note("deleted", order)

    def _order(self, number: str) -> Row:
        return self.sap.tables.found("A_SalesOrder", (number,))

    def _changed(self, action: str, order: Row) -> None:
        self.sap.orders.refresh(order)
        self.sap.tables.changed()
        self._note(action, order)

    def _note(self, action: str, order: Row) -> None:
        reference = order.get("PurchaseOrderByCustomer") or None
        self.sap.ledger.note(action, "order", order["SalesOrder"], reference=reference)
