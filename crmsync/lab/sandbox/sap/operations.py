"""The names under which SAP calls are counted and made to fail."""

from crmsync.lab.sandbox.http import Request

OPERATIONS = (
    "token",
    "csrf",
    "metadata",
    "find_customer",
    "get_customer",
    "create_customer",
    "update_customer",
    "find_order",
    "get_order",
    "create_order",
    "update_order",
    "delete_order",
    "find_product",
    "get_product",
    "update_product",
    "read_stock",
    "simulate_order",
    "other",
)
SUBJECTS = {
    "API_BUSINESS_PARTNER": "customer",
    "API_SALES_ORDER_SRV": "order",
    "API_PRODUCT_SRV": "product",
    "API_MATERIAL_STOCK_SRV": "stock",
    "API_SALES_ORDER_SIMULATION_SRV": "simulation",
}
ROOTS = {"/A_BusinessPartner", "/A_SalesOrder"}


def operation_of(request: Request, arguments: dict[str, str]) -> str:
    """`create_*` is the creation of the document itself; whatever is added to or changed in it is `update_*`."""
    subject, rest = SUBJECTS.get(arguments["service"]), (arguments.get("rest") or "").rstrip("/")
    if subject is None:
        return "other"
    if subject == "simulation" and request.method == "POST":
        return "simulate_order"
    if request.method in ("GET", "HEAD"):
        return _reading(request, subject, rest)
    if request.method == "POST" and rest in ROOTS:
        return f"create_{subject}"
    if request.method == "DELETE" and rest.startswith("/A_SalesOrder("):
        return "delete_order"
    return f"update_{subject}" if subject != "stock" else "other"


def _reading(request: Request, subject: str, rest: str) -> str:
    if rest in ("", "/$metadata"):
        return "csrf" if request.headers.get("x-csrf-token", "").lower() == "fetch" else "metadata"
    if subject in ("stock", "simulation"):
        return "read_stock" if subject == "stock" else "other"
    return f"get_{subject}" if "(" in rest or "%28" in rest else f"find_{subject}"
