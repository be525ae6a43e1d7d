"""The sandbox: a world of stand-ins and its control API, each on its own port, in one process."""

import re
import threading
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, Self

from crmsync.lab.sandbox.kernel.http import BadJson, Refusal, Request, Response, Router, Server, answer
from crmsync.lab.sandbox.world import Company, World

# The control API: JSON over HTTP, to make deals, set faults, and see what happened.
#
# An answer is a JSON object; what is wrong with a request is told as `{"error": …}` with status 400 or 404.


Body = dict[str, Any]
Work = Callable[..., Any]
Route = tuple[str, str, Work]
AMOUNTS = ("amount", "price", "quantity", "stock")


class Control:
    """Serves the control API of one sandbox."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._routers = {company.number: self._router(company) for company in world.companies}

    def _router(self, company: Company) -> Router:
        router = Router()
        for method, path, work in (*self._routes(), *CompanyRoutes(company).all()):
            router.add(method, f"/control{path}", _handler(work), path)
        return router

    def serve(self, request: Request) -> Response:
        """What is of a company is asked of the first, or of another under /control/companies/NUMBER."""
        named = re.fullmatch(r"/control/companies/([0-9]{1,4})(/.*)", request.target)
        number = int(named[1]) if named else 1
        inner = replace(request, target=f"/control{named[2]}") if named else request
        match = self._routers[number].match(inner) if number in self._routers else None
        return match.call() if match else answer({"error": f"nothing at {request.method} {request.path}"}, 404)

    def _routes(self) -> list[Route]:
        world = self._world
        faults = world.faults
        return [
            ("GET", "/companies", lambda body: {"companies": [_described(company) for company in world.companies]}),
            ("GET", "/connections", call(world.connections, "connections")),
            ("GET", "/calls", call(world.calls)),
            ("GET", "/faults", lambda body: {"faults": faults.all(), "operations": faults.operations}),
            ("POST", "/faults", call(faults.add)),
            ("GET", "/oddities", lambda body: {"oddities": faults.oddities}),
            ("POST", "/oddities/{key}", call(faults.play)),
            ("DELETE", "/faults", call(faults.clear, "cleared")),
            ("DELETE", "/faults/{key}", lambda body, key: {"cleared": faults.clear(fault_id=int(key))}),
            ("POST", "/latency", self._latency),
            ("POST", "/reset", call(world.reset)),
            ("POST", "/tokens/expire", call(world.expire_tokens)),
            ("POST", "/clock", lambda body: world.clock.advance(float(body["advance_seconds"]))),
            ("POST", "/receiver", lambda body: setattr(world.receiver, "base_url", body["url"])),
        ]

    def _latency(self, body: Body) -> None:
        """Seconds per vendor call, for one account or for all."""
        latency = self._world.latency
        if "system" in body:
            latency.systems[body["system"]] = float(body["seconds"])
        else:
            latency.seconds, latency.systems = float(body["seconds"]), {}


def _described(company: Company) -> Body:
    accounts = [account.name for account in company.accounts]
    return {"number": company.number, "accounts": accounts, "doors": _doors(company)}


def _doors(company: Company) -> Body:
    return {"deal": company.doors.deal, "payment": company.doors.payment}


class CompanyRoutes:
    """What is asked of one company's accounts."""

    def __init__(self, company: Company) -> None:
        self._company = company

    def all(self) -> list[Route]:
        company = self._company
        return [
            ("GET", "/environment", call(company.environment)),
            ("GET", "/ledger", call(company.ledger)),
            ("POST", "/org/move", call(company.salesforce.move, "url")),
            ("POST", "/sessions/expire", call(company.sap.access.expire_sessions)),
            ("POST", "/locators/expire", lambda body: company.salesforce.cursors.expire()),
            ("POST", "/settings", company.profile.apply),
            ("POST", "/doors", self._set_doors),
            *self._product_routes(),
            *self._deal_routes(),
            *self._order_routes(),
            *self._money_routes(),
        ]

    def _set_doors(self, body: Body) -> Body:
        """Where webhooks go in at the receiver: paths, of `deal` and of `payment`."""
        doors = self._company.doors
        doors.deal, doors.payment = str(body.get("deal", doors.deal)), str(body.get("payment", doors.payment))
        return _doors(self._company)

    def _product_routes(self) -> list[Route]:
        products = self._company.products
        return [
            ("GET", "/products", call(products.stock, "stock")),
            ("POST", "/products", call(products.add, "id")),
            ("POST", "/products/bulk", call(products.bulk, "codes")),
            ("POST", "/products/stock", call(products.change_stock, "stock")),
            ("POST", "/products/{key}/stock", call(products.set_stock)),
            ("PUT", "/products/{key}/stock", call(products.set_stock_rows)),
            ("POST", "/products/{key}/item", call(products.mark_item)),
            ("POST", "/products/{key}/refuse", call(products.refuse)),
            ("POST", "/products/{key}/accept", call(products.accept)),
            ("DELETE", "/products/{key}", call(products.delete, "id")),
        ]

    def _money_routes(self) -> list[Route]:
        invoices, payments = self._company.invoices, self._company.payments
        return [
            ("POST", "/invoices/pay", call(invoices.pay_many)),
            ("POST", "/invoices/{key}/pay", call(invoices.pay)),
            ("POST", "/invoices/{key}/void", call(invoices.void)),
            ("POST", "/invoices/{key}/credit", call(invoices.credit, "creditnote_id")),
            ("POST", "/invoices/{key}/write-off", call(invoices.write_off)),
            ("POST", "/invoices/{key}/unvoid", call(invoices.unvoid)),
            ("DELETE", "/invoices/{key}", call(invoices.delete)),
            ("PUT", "/payments/{key}", call(payments.update)),
            ("DELETE", "/payments/{key}", call(payments.delete)),
            ("POST", "/payments/{key}/refund", call(payments.refund)),
            ("POST", "/payments/{key}/webhook", call(payments.announce)),
        ]

    def _order_routes(self) -> list[Route]:
        orders = self._company.orders
        return [
            ("POST", "/orders/{key}/reject", call(orders.reject)),
            ("POST", "/orders/{key}/reopen", call(orders.reopen)),
            ("DELETE", "/orders/{key}", call(orders.delete)),
        ]

    def _deal_routes(self) -> list[Route]:
        deals = self._company.deals
        return [
            ("POST", "/deals", call(deals.create)),
            ("POST", "/deals/bulk", call(self._bulk)),
            ("POST", "/deals/close", lambda body: deals.close_all(body["ids"])),
            ("POST", "/deals/backdate", lambda body: deals.backdate(body["ids"], float(body["seconds"]))),
            ("POST", "/deals/age", lambda body: deals.age(body["ids"], float(body["days"]))),
            ("POST", "/deals/{key}/close", call(deals.close)),
            ("POST", "/deals/{key}/reopen", call(deals.reopen)),
            ("POST", "/deals/{key}/lines/{number}", lambda body, key, number: deals.change_line(key, number, body)),
            ("POST", "/deals/{key}/webhook", call(deals.announce)),
            ("POST", "/deals/{key}/refuse", call(deals.refuse)),
            ("POST", "/deals/{key}/accept", call(deals.accept)),
            ("DELETE", "/deals/{key}", call(deals.delete)),
            ("POST", "/outbound/deliver", self._deliver),
        ]

    def _bulk(self, deals: int = 200, customers: int = 50, close: bool = False, webhook: str | None = None) -> Body:
        made = self._company.deals.bulk(deals, customers)
        closed = [self._company.deals.close(deal.id, webhook=webhook) for deal in made] if close or webhook else []
        answers = [one.answer.status for one in closed if one.answer]
        return {"ids": [deal.id for deal in made], "answers": answers, "amount": sum(deal.amount for deal in made)}

    def _deliver(self, body: Body) -> Body:
        answers = [vars(one) for one in self._company.deliver(url=body.get("url"))]
        return {"answers": answers, "waiting": len(self._company.outbound.queue)}


def call(function: Work, shown_as: str = "") -> Work:
    """Calls *function* with what stands in the address, and by name with what stands in the body."""

    def work(body: Body, *named: str) -> Any:
        result = function(*named, **_decimals(body))
        return {shown_as: result} if shown_as else result

    return work


def _decimals(body: Body) -> Body:
    """The body with its amounts as Decimal, and those of `invoices` by invoice."""
    found: Body = {name: _decimal(value) if name in AMOUNTS else value for name, value in body.items()}
    if isinstance(found.get("invoices"), dict):
        found["invoices"] = {name: _decimal(part) for name, part in found["invoices"].items()}
    return found


def _decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _handler(work: Work) -> Callable[..., Response]:
    def handle(request: Request, **arguments: str) -> Response:
        try:
            body = request.json() if request.body else dict(request.query)
            if not isinstance(body, dict):
                raise BadJson("object expected")
            return _shown(work(body, *arguments.values()))
        except (BadJson, ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
            return answer({"error": f"{type(error).__name__}: {error}"}, 400)
        except Refusal as error:
            return answer({"error": str(error)}, error.status)

    return handle


def _shown(result: Any) -> Response:
    if hasattr(result, "to_json"):
        return answer(result.to_json())
    if result is None:
        return answer({"ok": True})
    return answer(result if isinstance(result, dict) else vars(result))


# The servers.


RETRY_POLL_SECONDS = 0.2


class Sandbox(World):
    """A world that is served: a context manager that starts and stops its servers."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._control: Server | None = None
        self._stopped = threading.Event()

    def start(self) -> Self:
        base = self.profile.port_base
        self._control = Server(Control(self).serve, base)
        for offset, vendor in enumerate(self.vendors, 1):
            vendor.open(base + offset if base else 0)
        self._control.start()
        self._stopped.clear()
        threading.Thread(target=self._repeat_messages, daemon=True).start()
        return self

    def stop(self) -> None:
        self._stopped.set()
        for vendor in self.vendors:
            vendor.close()
        if self._control:
            self._control.stop()
            self._control = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def control_url(self) -> str:
        """Where the control API is. Raises: RuntimeError before the start."""
        if self._control is None:
            raise RuntimeError("the sandbox is not started")
        return self._control.url

    def _repeat_messages(self) -> None:
        """Send Outbound Messages again when their wait is over."""
        while not self._stopped.wait(RETRY_POLL_SECONDS):
            for company in self.companies:
                company.deliver(due_only=True)
