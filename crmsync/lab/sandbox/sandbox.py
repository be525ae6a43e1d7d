"""The sandbox: a world of stand-ins and its control API, each on its own port, in one process."""

import re
import threading
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, Self

from crmsync.lab.sandbox.kernel.faults import ODDITIES
from crmsync.lab.sandbox.kernel.http import BadJson, Request, Response, Router, Server, answer
from crmsync.lab.sandbox.salesforce.values import SalesforceError
from crmsync.lab.sandbox.sap.access import ODataError
from crmsync.lab.sandbox.world import Company, SandboxProfile, World
from crmsync.lab.sandbox.zoho.fields import ZohoError

# The control API: JSON over HTTP, to make deals, set faults, and see what happened.
#
# An answer is a JSON object; what is wrong with a request is told as `{"error": …}` with status 400 or 404.


Body = dict[str, Any]
Work = Callable[..., Any]


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

    def _routes(self) -> list[tuple[str, str, Work]]:
        world = self._world
        return [
            ("GET", "/companies", lambda body: {"companies": [_described(company) for company in world.companies]}),
            ("GET", "/connections", lambda body: {"connections": world.connections()}),
            ("GET", "/calls", lambda body: world.calls()),
            ("GET", "/faults", lambda body: {"faults": world.faults.all(), "operations": world.faults.operations}),
            ("POST", "/faults", lambda body: world.faults.add(**body)),
            ("GET", "/oddities", lambda body: {"oddities": ODDITIES}),
            ("POST", "/oddities/{key}", lambda body, key: world.faults.play(key, **body)),
            ("DELETE", "/faults", lambda body: {"cleared": world.faults.clear(body.get("system"))}),
            ("DELETE", "/faults/{key}", lambda body, key: {"cleared": world.faults.clear(fault_id=int(key))}),
            ("POST", "/latency", self._latency),
            ("POST", "/reset", lambda body: world.reset()),
            ("POST", "/tokens/expire", lambda body: world.expire_tokens(body.get("system"))),
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

    def all(self) -> list[tuple[str, str, Work]]:
        company = self._company
        return [
            ("GET", "/environment", lambda body: company.environment()),
            ("GET", "/ledger", lambda body: company.ledger()),
            ("POST", "/org/move", lambda body: {"url": company.salesforce.move(**{"old": "expired", **body})}),
            ("POST", "/sessions/expire", lambda body: company.sap.access.expire_sessions()),
            ("POST", "/locators/expire", lambda body: company.salesforce.cursors.expire()),
            ("POST", "/settings", lambda body: company.profile.apply(body)),
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

    def _product_routes(self) -> list[tuple[str, str, Work]]:
        products = self._company.products
        return [
            ("GET", "/products", lambda body: {"stock": products.stock()}),
            ("POST", "/products", self._product),
            ("POST", "/products/bulk", lambda body: {"codes": products.bulk(**_decimals(body))}),
            ("POST", "/products/stock", lambda body: {"stock": products.change_stock(**body)}),
            (
                "POST",
                "/products/{key}/stock",
                lambda body, key: products.set_stock(key, Decimal(str(body["quantity"]))),
            ),
            ("PUT", "/products/{key}/stock", lambda body, key: products.set_stock_rows(key, body["rows"])),
            ("POST", "/products/{key}/item", lambda body, key: products.mark_item(key, **body)),
            ("POST", "/products/{key}/refuse", lambda body, key: products.refuse(key, **body)),
            ("POST", "/products/{key}/accept", lambda body, key: products.accept(key)),
            ("DELETE", "/products/{key}", lambda body, key: {"id": products.delete(key)}),
        ]

    def _money_routes(self) -> list[tuple[str, str, Work]]:
        invoices, payments = self._company.invoices, self._company.payments
        return [
            ("POST", "/invoices/pay", lambda body: invoices.pay_many(**_decimals(body))),
            ("POST", "/invoices/{key}/pay", lambda body, key: invoices.pay(key, **_decimals(body))),
            ("POST", "/invoices/{key}/void", lambda body, key: invoices.void(key, **body)),
            (
                "POST",
                "/invoices/{key}/credit",
                lambda body, key: {"creditnote_id": invoices.credit(key, **_decimals(body))},
            ),
            ("POST", "/invoices/{key}/write-off", lambda body, key: invoices.write_off(key)),
            ("POST", "/invoices/{key}/unvoid", lambda body, key: invoices.unvoid(key)),
            ("DELETE", "/invoices/{key}", lambda body, key: invoices.delete(key)),
            ("PUT", "/payments/{key}", lambda body, key: payments.update(key, **_decimals(body))),
            ("DELETE", "/payments/{key}", lambda body, key: payments.delete(key, **body)),
            ("POST", "/payments/{key}/refund", lambda body, key: payments.refund(key, **_decimals(body))),
            ("POST", "/payments/{key}/webhook", lambda body, key: payments.announce(key, **body)),
        ]

    def _order_routes(self) -> list[tuple[str, str, Work]]:
        orders = self._company.orders
        return [
            ("POST", "/orders/{key}/reject", lambda body, key: orders.reject(key, **body)),
            ("POST", "/orders/{key}/reopen", lambda body, key: orders.reopen(key)),
            ("DELETE", "/orders/{key}", lambda body, key: orders.delete(key)),
        ]

    def _deal_routes(self) -> list[tuple[str, str, Work]]:
        deals = self._company.deals
        return [
            ("POST", "/deals", lambda body: deals.create(**_decimals(body))),
            ("POST", "/deals/bulk", lambda body: self._bulk(**body)),
            ("POST", "/deals/close", lambda body: deals.close_all(body["ids"])),
            ("POST", "/deals/backdate", lambda body: deals.backdate(body["ids"], float(body["seconds"]))),
            ("POST", "/deals/age", lambda body: deals.age(body["ids"], float(body["days"]))),
            ("POST", "/deals/{key}/close", lambda body, key: deals.close(key, **body)),
            ("POST", "/deals/{key}/reopen", lambda body, key: deals.reopen(key, **body)),
            ("POST", "/deals/{key}/lines/{number}", lambda body, key, number: deals.change_line(key, number, body)),
            ("POST", "/deals/{key}/webhook", lambda body, key: deals.announce(key, **body)),
            ("POST", "/deals/{key}/refuse", lambda body, key: deals.refuse(key, **body)),
            ("POST", "/deals/{key}/accept", lambda body, key: deals.accept(key)),
            ("DELETE", "/deals/{key}", lambda body, key: deals.delete(key)),
            ("POST", "/outbound/deliver", self._deliver),
        ]

    def _product(self, body: Body) -> Body:
        numbers: Body = {name: Decimal(str(body[name])) for name in ("price", "stock") if name in body}
        with self._company.salesforce.lock:
            return {"id": self._company.products.add(**{**body, **numbers})}

    def _bulk(self, deals: int = 200, customers: int = 50, close: bool = False, webhook: str | None = None) -> Body:
        made = self._company.deals.bulk(deals, customers)
        closed = [self._company.deals.close(deal.id, webhook=webhook) for deal in made] if close or webhook else []
        answers = [one.answer.status for one in closed if one.answer]
        return {"ids": [deal.id for deal in made], "answers": answers, "amount": sum(deal.amount for deal in made)}

    def _deliver(self, body: Body) -> Body:
        answers = [vars(one) for one in self._company.deliver(url=body.get("url"))]
        return {"answers": answers, "waiting": len(self._company.outbound.queue)}


def _decimals(body: Body) -> Body:
    """The body with its amounts as Decimal: `amount` and `stock`, and those of `invoices` by invoice."""
    found: Body = {name: _decimal(value) if name in ("amount", "stock") else value for name, value in body.items()}
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
            return _shown(work(body, **arguments))
        except (BadJson, ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
            return answer({"error": f"{type(error).__name__}: {error}"}, 400)
        except (SalesforceError, ZohoError, ODataError) as error:
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

    def __init__(self, profile: SandboxProfile | None = None, **settings: Any) -> None:
        super().__init__(profile, **settings)
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
