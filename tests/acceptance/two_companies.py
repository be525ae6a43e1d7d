"""Two companies in the life of one installation, which people and programs read meanwhile.

The first is that of the environment (`default`), the second one was made through the API. Each has a deal that is
billed and paid, one that its ERP refuses and that is replayed, and one that its books refuse and that is given up.
"""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import inspect, text

from crmsync.domain.runs import Run
from crmsync.lab.rig import SlackCatcher
from crmsync.lab.sandbox.deals import Deal
from crmsync.lab.sandbox.world import Company
from crmsync.web.api.endpoints import ENDPOINTS
from tests.acceptance.planted import Outputs, without
from tests.system import BIN, FLOW, System, until

SECOND = "globex"
TENANTS = ("default", SECOND)
FLOWER = ("flora", "planted-password-of-flower")
TOWER = ("crmsync", "planted-password-of-the-tower")
SECRETS = {
    "CRMSYNC_SECRET_KEY": "planted-key-with-which-secrets-are-sealed",
    "CRMSYNC_TOWER_PASSWORD": TOWER[1],
    "CRMSYNC_METRICS_TOKEN": "planted-token-of-the-scraper",
    "SF_WEBHOOK_BEARER": "planted-bearer-of-webhooks",
    "SF_WEBHOOK_TOKEN": "planted-token-of-outbound-messages",
}
VIEWER = "users add vic --role viewer"
WORDS = "Gesperrt wegen Quappenstreit"  # what vendors say when they refuse
ROLES = {
    "deals": "salesforce", "catalogue": "salesforce", "orders": "s4hana", "stock": "s4hana",
    "invoices": "zoho_books", "payments": "zoho_books",
}  # fmt: skip
SYNCS = {"order_to_invoice": ("deals", "orders", "invoices"), "payments": ("payments", "deals", "invoices"),
         "inventory": ("catalogue", "stock")}  # fmt: skip


@dataclass(frozen=True)
class Person:
    """Somebody at a customer, and what the customer is called."""

    first_name: str
    last_name: str
    email: str
    phone: str
    street: str
    company: str

    @property
    def data(self) -> tuple[str, ...]:
        return self.first_name, self.last_name, self.email, self.phone, self.street

    @property
    def refusal(self) -> str:
        return f"{WORDS}: ask {self.first_name} {self.last_name}, {self.email}, {self.phone}, {self.street}"


PERSONS = {
    "default": Person("Quendelin", "Wurmbrandt", "q.wurmbrandt@planted.example", "+49 171 5550173",
                      "Krähenwinkel 17b", "Zauberwald Optik GmbH"),
    SECOND: Person("Philomena", "Zwirnhuber", "zwirnhuber@sown.example", "+43 664 5550199",
                   "Igelgasse 99", "Nordlicht Pumpen AG"),
}  # fmt: skip


@dataclass
class Life:
    """What happened, what is secret about it, and by what each company's things are known."""

    system: System
    outputs: Outputs
    slack: SlackCatcher
    secrets: set[str] = field(default_factory=set)
    tokens: dict[tuple[str | None, str], str] = field(default_factory=dict)  # by tenant and role
    connections: dict[str, dict[str, str]] = field(default_factory=dict)  # by tenant and system
    names: dict[str, set[str]] = field(default_factory=lambda: {tenant: set() for tenant in TENANTS})
    deals: dict[str, list[Deal]] = field(default_factory=lambda: {tenant: [] for tenant in TENANTS})
    webhooks: dict[str, str] = field(default_factory=dict)
    viewer: tuple[str, str] = ("", "")
    asked: set[tuple[str, str]] = field(default_factory=set)  # endpoints

    # -- to ask

    def api(
        self,
        method: str,
        path: str,
        *,
        tenant: str | None = None,
        role: str = "admin",
        shows: str = "",
        body: Mapping[str, Any] | None = None,
        **values: Any,
    ) -> Any:
        """What the API answers; *shows* names the field of it that is a secret and is shown this once."""
        self.asked.add((method, path))
        headers = {"Authorization": f"Bearer {self.tokens[tenant, role]}"}
        headers |= {"Idempotency-Key": uuid.uuid4().hex} if method == "POST" else {}
        headers |= {"If-Match": "*"} if method in ("PUT", "PATCH", "DELETE") else {}
        address = path.format(**values)
        answer = requests.request(method, self.system.url(f"/api/erp{address}"), headers=headers, json=body, timeout=60)
        answered = answer.json() if answer.content and "json" in answer.headers["Content-Type"] else {}
        made = _found(answered, shows) if shows and answer.ok else ""
        self.secrets |= {made} if made else set()
        hidden = [address, made]  # the caller knows what it asked for
        self.record(f"api {method} {address}", answer, tenant=tenant, role=role, hidden=hidden)
        return answered if answer.ok else answer

    def record(
        self,
        place: str,
        answer: requests.Response,
        *,
        hidden: Iterable[str] = (),
        tenant: str | None = None,
        role: str = "",
    ) -> None:
        headers = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        said = without(f"{answer.status_code}\n{headers}\n{answer.text}", [each for each in hidden if each])
        self.outputs.add(place, said, tenant=tenant, role=role)

    def page(self, path: str, *, session: requests.Session | None = None, role: str = "", **options: Any) -> None:
        answer = (session or requests).get(self.system.url(path), timeout=60, **options)
        self.record(f"page {path}", answer, role=role)

    def commands(self, *lines: str, shows: Mapping[str, str] | None = None) -> list[Any]:
        """What commands print with --json, one after the other in one process; *shows* names fields by command."""
        done = subprocess.run(
            [str(BIN / "python"), "-c", _COMMANDS, json.dumps(lines)],
            env=self.system.environment, capture_output=True, text=True, timeout=120, cwd="/", check=True,
        )  # fmt: skip
        answers = []
        for line, said in zip(lines, done.stdout.split(_NEXT)[1:], strict=True):
            answered = json.loads(said) if said.strip() else {}
            made = _found(answered, shows[line]) if line in (shows or {}) else ""
            self.secrets |= {made} if made else set()
            self.outputs.add(f"command {line}", without(said, [made] if made else []))
            answers.append(answered)
        self.outputs.add("command errors", done.stderr)
        return answers

    def run_of(self, tenant: str, deal: Deal) -> Run:
        with self.system.store.read() as uow:
            run = uow.runs.of_subject(FLOW, self.connections[tenant]["salesforce"], deal.id)
        assert run is not None
        return run

    def company(self, tenant: str) -> Company:
        return self.system.sandbox.companies[TENANTS.index(tenant)]


_NEXT = "======== the next command\n"
_COMMANDS = f"""
import json, sys
from crmsync.cli.main import cli
for line in json.loads(sys.argv[1]):
    print({_NEXT!r}, end="", flush=True)
    try:
        cli.main([*line.split(), "--json"], prog_name="crmsync")
    except SystemExit:
        pass
    sys.stdout.flush()
"""


def _found(answered: Mapping[str, Any], place: str) -> str:
    """The value at a place such as made.webhook_secret."""
    value: Any = answered
    for name in place.split("."):
        value = value[name]
    return str(value)


# -- how it begins


def people_and_tokens(life: Life) -> None:
    life.secrets |= {*SECRETS.values(), FLOWER[1], *_of_vendors(life)}
    token = "token create all-admin --role admin"
    made, added = life.commands(token, VIEWER, shows={token: "token", VIEWER: "password"})
    life.tokens[None, "admin"] = made["token"]
    life.viewer = ("vic", added["password"])
    for tenant in TENANTS:
        for role in ("viewer", "operator", "admin"):
            body = {"name": f"{role} of {tenant}", "role": role, "tenant_id": tenant}
            life.tokens[tenant, role] = life.api("POST", "/tokens", body=body, shows="token")["token"]
    life.secrets |= {token.rpartition("_")[2] for token in life.tokens.values()}


def _of_vendors(life: Life) -> set[str]:
    found = {value for row in life.system.sandbox.connections() for value in row["secrets"].values()}
    keys = {value for value in found if "PRIVATE KEY" in value}
    return found - keys | {line for key in keys for line in key.splitlines()[1:4]}


def connect(life: Life) -> None:
    """The second company's connections, flows and webhooks with addresses of their own."""
    life.connections["default"] = {each: each for each in ("salesforce", "s4hana", "zoho_books")}
    own: dict[str, str] = {}
    for account in life.company(SECOND).accounts:
        row = account.connection()
        body = {"erp_system": row["system"], "tenant_id": SECOND, "name": f"Their {row['name']}"}
        wrong = {**body, "settings": {**row["settings"], **row["secrets"]}, "secrets": {"nothing": "planted-nothing"}}
        life.api("POST", "/connections", body=wrong, tenant=SECOND)  # refused: secrets where none belong
        wrong = {
            **body,
            "settings": row["settings"],
            "secrets": {name: ["planted-in-a-list"] for name in row["secrets"]},
        }
        life.api("POST", "/connections", body=wrong, tenant=SECOND)
        made = life.api("POST", "/connections", body={**body, "settings": row["settings"], "secrets": row["secrets"]})
        own[row["system"]] = made["id"]
    life.connections[SECOND] = own
    life.names[SECOND] |= set(own.values())
    for flow, roles in SYNCS.items():
        wanted = {role: own[ROLES[role]] for role in roles}
        life.api("POST", "/sync-configs", body={"flow": flow, "tenant_id": SECOND, "roles": wanted}, tenant=SECOND)
    for tenant in TENANTS:
        _open_webhooks(life, tenant)


def _open_webhooks(life: Life, tenant: str) -> None:
    company = life.company(tenant)
    for system, profile in (("salesforce", company.profile.salesforce), ("zoho_books", company.profile.zoho)):
        body = {"connection": life.connections[tenant][system]}
        made = life.api("POST", "/webhooks", body=body, tenant=tenant, shows="verification_token")
        life.webhooks[f"{tenant} {system}"] = made["id"]
        life.names[tenant].add(made["id"])
        if tenant == SECOND:
            profile.webhook_secret = made["verification_token"]
            setattr(
                company.doors,
                "deal" if system == "salesforce" else "payment",
                f"/api/erp/webhooks/{made['id']}/receive",
            )


def rotate(life: Life) -> None:
    """The second company's webhook and its books get other secrets; those of the environment can't be rotated here."""
    webhook = life.webhooks[f"{SECOND} salesforce"]
    made = life.api(
        "POST", "/webhooks/{webhook_id}/rotate", body={}, tenant=SECOND, shows="verification_token", webhook_id=webhook
    )
    life.company(SECOND).profile.salesforce.webhook_secret = made["verification_token"]
    life.api(
        "POST", "/connections/{connection_id}/rotate", body={"make": ["webhook_secret"]}, tenant=SECOND,
        shows="made.webhook_secret", connection_id=life.connections[SECOND]["zoho_books"],
    )  # fmt: skip


# -- what happens to deals


def deals(life: Life) -> None:
    for tenant in TENANTS:
        _refuse(life, tenant, "sap", "create_order", code="V1/555")
    refused = {tenant: _won(life, tenant) for tenant in TENANTS}
    _await(life, refused, "stopped")
    life.system.sandbox.faults.clear()
    for tenant in TENANTS:
        _page_instead(life, tenant)
        _refuse(life, tenant, "zoho", "create_invoice", code="4")
    given_up = {tenant: _won(life, tenant) for tenant in TENANTS}
    _await(life, given_up, "stopped")
    everybody_reads(life)
    life.system.sandbox.faults.clear()
    rotate(life)
    for tenant in TENANTS:
        life.api(
            "POST",
            "/dead-letters/{letter_id}/replay",
            body={},
            tenant=tenant,
            role="operator",
            letter_id=_letter(life, tenant, refused[tenant]),
        )
        life.api(
            "POST",
            "/dead-letters/{letter_id}/discard",
            body={"reason": "as agreed"},
            tenant=tenant,
            role="operator",
            letter_id=_letter(life, tenant, given_up[tenant]),
        )
    good = {tenant: _won(life, tenant, is_outbound=tenant == "default") for tenant in TENANTS}
    _await(life, good, "done")
    _await(life, refused, "done")
    for tenant in TENANTS:
        _pay(life, tenant, good[tenant])
        _reads(life, tenant, "admin")
    flower(life)


def _refuse(life: Life, tenant: str, vendor: str, operation: str, *, code: str) -> None:
    account = next(each for each in life.company(tenant).accounts if each.vendor == vendor)
    life.system.sandbox.faults.add(account.name, "refuse", operation, code=code, message=PERSONS[tenant].refusal)


def _page_instead(life: Life, tenant: str) -> None:
    """An edge that quotes what it was sent."""
    crm, said = life.company(tenant).salesforce, PERSONS[tenant].refusal
    life.system.sandbox.faults.add(crm.name, "answer", "query", status=502, body=f"<html>{said}</html>", times=1)


def _won(life: Life, tenant: str, *, is_outbound: bool = False) -> Deal:
    company, person = life.company(tenant), PERSONS[tenant]
    address = {"BillingStreet": person.street, "Phone": person.phone}
    deal = company.deals.create(person.company, email=person.email, account_fields=address)
    contact = {
        "FirstName": person.first_name,
        "LastName": person.last_name,
        "Phone": person.phone,
        "MailingStreet": person.street,
    }
    with company.salesforce.lock:
        company.salesforce.org.update("Contact", deal.contact_id, contact)
    life.names[tenant] |= {deal.id, deal.account_id, person.company}
    life.deals[tenant].append(deal)
    company.deals.close(deal.id, webhook=None if is_outbound else "json")
    if is_outbound:
        company.outbound.enqueue(deal.id)
        company.deliver(url=company.doors.deal_url(token=SECRETS["SF_WEBHOOK_TOKEN"]))
    until(lambda: _known(life, tenant, deal), what="the deal is known")
    return deal


def _known(life: Life, tenant: str, deal: Deal) -> bool:
    with life.system.store.read() as uow:
        return uow.runs.of_subject(FLOW, life.connections[tenant]["salesforce"], deal.id) is not None


def _await(life: Life, of: Mapping[str, Deal], status: str) -> None:
    def are_so() -> bool:
        return {life.run_of(tenant, deal).status.value for tenant, deal in of.items()} == {status}

    until(are_so, what=f"they are {status}")
    for tenant, deal in of.items():
        life.names[tenant].add(life.run_of(tenant, deal).id)


def _letter(life: Life, tenant: str, deal: Deal) -> int:
    with life.system.store.read() as uow:
        letter = uow.dead_letters.of_run(life.run_of(tenant, deal).id)
    assert letter is not None
    return letter.id


def _pay(life: Life, tenant: str, deal: Deal) -> None:
    company = life.company(tenant)
    [invoice] = [row for row in company.ledger()["invoices"] if row["reference"] == f"SF-{deal.id}"]
    company.invoices.pay(invoice["id"], reference=f"planted by {tenant}", webhook=True)
    until(
        lambda: [row["Payment_Received__c"] for row in company.ledger()["deals"] if row["id"] == deal.id] == [True],
        what="it is paid",
    )


# -- who reads


def everybody_reads(life: Life) -> None:
    """While both have dead letters that wait: everybody reads everything there is to read."""
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(_commands, life), pool.submit(_pages, life)]
        done += [pool.submit(_reads, life, *who) for who in life.tokens]
        for each in done:
            each.result()


def _reads(life: Life, tenant: str | None, role: str) -> None:
    """Each endpoint that is read, with what is the caller's own and with what is not."""
    for method, path in sorted(ENDPOINTS):
        if method == "GET" and (ENDPOINTS[method, path].role or tenant is None):
            for whose in TENANTS if "{" in path else TENANTS[:1]:
                life.api(method, path, tenant=tenant, role=role, **_values(life, whose))


def _values(life: Life, tenant: str) -> dict[str, Any]:
    own = life.connections[tenant]
    deal = life.deals[tenant][0]
    with life.system.store.read() as uow:
        token = next(each for each in uow.api_tokens.newest(None) if each.caller.tenant == tenant)
    return {
        "run_id": life.run_of(tenant, deal).id,
        "letter_id": _letter(life, tenant, deal),
        "account": deal.account_id,
        "token_id": token.id,
        "connection_id": own["salesforce"],
        "connection": own["s4hana"],
        "flow": "order_to_invoice",
        "config_id": f"order_to_invoice:{own['salesforce']}",
        "webhook_id": life.webhooks[f"{tenant} salesforce"],
        "name": "salesforce",
        "approval_id": 1,
    }


def _commands(life: Life) -> None:
    letter, run = (_values(life, SECOND)[name] for name in ("letter_id", "run_id"))
    life.commands(
        "runs list", f"runs show {run}", "connections list",
        f"connections show {life.connections[SECOND]['salesforce']}",
        "bindings list", "links list", "limits", "inventory show", "config", "token list", "users list", "audit list",
        "audit verify", "accounts", "doctor", f"connections test {life.connections[SECOND]['s4hana']}",
        "catch-up --dry-run", "dead-letters list", f"dead-letters show {letter}",
        f"dead-letters replay {letter} --dry-run",
    )  # fmt: skip


def _pages(life: Life) -> None:
    for role, who in (("operator", TOWER), ("viewer", life.viewer)):
        session = signed_in(life, *who)
        for tenant in TENANTS:
            run, deal = life.run_of(tenant, life.deals[tenant][0]).id, life.deals[tenant][0].id
            for path in (f"/runs/{run}", f"/api/find?q={deal}", f"/runs?q={deal}"):
                life.page(path, session=session, role=role)
        for path in ("/", "/runs", "/dead-letters", "/stock", "/alerts", "/nothing", "/readyz"):
            life.page(path, session=session, role=role)
    for path in ("/", "/runs", "/sign-in", "/healthz", "/readyz", "/metrics", "/hooks/nobody/here"):
        life.page(path)
    life.page("/metrics", headers={"Authorization": f"Bearer {SECRETS['CRMSYNC_METRICS_TOKEN']}"})
    strangers(life)
    flower(life)


def signed_in(life: Life, name: str, password: str) -> requests.Session:
    session = requests.Session()
    form = session.get(life.system.url("/sign-in"), timeout=60)
    token = re.search(r'name="token" value="([^"]+)"', form.text)
    assert token
    for given in ("planted-wrong-password", password):
        fields = {"token": token[1], "name": name, "password": given, "next": ""}
        answer = session.post(life.system.url("/sign-in"), data=fields, timeout=60, allow_redirects=False)
        cookie = session.cookies.get("crmsync_session", "")
        life.record("page /sign-in", answer, hidden=[cookie])
    assert cookie
    life.secrets |= {cookie, "planted-wrong-password"}
    return session


def strangers(life: Life) -> None:
    """What comes in at the doors and is not taken, with a person's data in it and proofs that are nearly right."""
    person = PERSONS["default"]
    body = json.dumps({"opportunityId": "006", "name": person.last_name, "mail": person.email})
    almost = {"Authorization": f"Bearer {SECRETS['SF_WEBHOOK_BEARER']}x"}
    right = {"Authorization": f"Bearer {SECRETS['SF_WEBHOOK_BEARER']}"}
    for path in (
        "/webhook/salesforce/deal-closed",
        "/webhook/zoho/payment",
        f"/hooks/{life.connections[SECOND]['salesforce']}/deal-closed",
    ):
        for headers in (almost, right, {"X-Crmsync-Signature": "sha256=" + "0" * 64}):
            for data in (body, body[:-3], f"name={person.email}"):
                address = life.system.url(f"{path}?token={SECRETS['SF_WEBHOOK_TOKEN']}x")
                answer = requests.post(
                    address, data=data, headers={**headers, "Content-Type": "application/json"}, timeout=60
                )
                life.record(f"door {path}", answer)
    for token in (f"crm_{'x' * 12}_{'planted-guess' * 3}", life.tokens[None, "admin"] + "x"):
        answer = requests.get(life.system.url("/api/erp/me"), headers={"Authorization": f"Bearer {token}"}, timeout=60)
        life.record("api GET /me", answer)


def flower(life: Life) -> None:
    base = f"http://127.0.0.1:{life.system.flower_port}"
    paths = ["/", "/workers", "/tasks", "/broker", "/api/tasks?limit=10000", "/api/workers?refresh=1",
             "/api/task/types", "/api/queues/length", "/metrics"]  # fmt: skip
    tasks = requests.get(f"{base}/api/tasks?limit=20", auth=FLOWER, timeout=60).json()
    workers = requests.get(f"{base}/api/workers", auth=FLOWER, timeout=60).json()
    paths += [f"/task/{each}" for each in list(tasks)[:10]] + [f"/worker/{each}" for each in workers]
    for path in paths:
        life.record(f"flower {path}", requests.get(f"{base}{path}", auth=FLOWER, timeout=60))


def changes(life: Life) -> None:
    """What is left of the endpoints: each that changes something, by the second company's own admin."""
    own, values = life.connections[SECOND], _values(life, SECOND)
    spare = life.company(SECOND).zoho.connection()
    spare["settings"] = {**spare["settings"], "organization_id": "77777777"}
    body = {"erp_system": "zoho_books", "name": "Spare", "settings": spare["settings"], "secrets": spare["secrets"]}
    spare_id = life.api("POST", "/connections", body=body, tenant=SECOND)["id"]

    def ask(method: str, path: str, body: Mapping[str, Any] | None = None, **more: str) -> Any:
        return life.api(method, path, body=body, tenant=SECOND, **{**values, **more})

    ask(
        "PUT",
        "/connections/{connection_id}",
        {"name": "Another", "secrets": {"client_secret": "planted-other"}},
        connection_id=spare_id,
    )
    ask("POST", "/connections/{connection_id}/test", {})
    ask("POST", "/connections/{connection_id}/pause", {}, connection_id=spare_id)
    ask("POST", "/connections/{connection_id}/resume", {}, connection_id=spare_id)
    ask(
        "PUT", "/bindings/{flow}", {"roles": {"catalogue": own["salesforce"], "stock": own["s4hana"]}}, flow="inventory"
    )
    ask("PUT", "/sync-configs/{config_id}", {"interval_seconds": 900}, config_id=f"inventory:{own['salesforce']}")
    ask("POST", "/sync", {"sync_config_id": f"inventory:{own['salesforce']}"})
    ask("POST", "/runs", {"flow": "inventory"})
    ask("PUT", "/rate-limits/{connection_id}", {"concurrent": 4})
    ask("PATCH", "/webhooks/{webhook_id}", {"events": ["deal.closed"]})
    ask("POST", "/webhooks/{webhook_id}/disable", {})
    ask("DELETE", "/webhooks/{webhook_id}")
    ask("DELETE", "/bindings/{flow}", flow="inventory")
    ask("DELETE", "/connections/{connection_id}", connection_id=spare_id)
    linked = {(each["connection"], each["account"]): each["key"] for each in ask("GET", "/links")["items"]}
    number = linked[values["connection"], values["account"]]
    ask("PUT", "/links/{connection}/{account}", {"key": number, "reason": "as it is"})
    ask("DELETE", "/links/{connection}/{account}")
    for verb in ("approve", "reject"):  # there is none: neither tenant asks for a second person
        ask("POST", f"/approvals/{{approval_id}}/{verb}", {"reason": "as agreed"})
    ask("DELETE", "/tokens/{token_id}")
    life.secrets |= {"planted-other", "planted-nothing", "planted-in-a-list"}


# -- what is left when all is over


def remains(life: Life, redis_said: Iterable[str], keys: Iterable[tuple[str, str]]) -> None:
    """Logs, Redis, Slack and files."""
    for path in sorted(life.system.home.glob("*.log")):
        life.outputs.add(f"log {path.stem}", path.read_text(errors="replace"))
    for command in redis_said:
        life.outputs.add("redis a command", command)
    for key, value in keys:
        life.outputs.add(f"redis {key}", value)
    for message in life.slack.messages:
        life.outputs.add("slack a message", json.dumps(message, ensure_ascii=False))
    for path in files(life.system.state):
        life.outputs.add(f"file {path.name}", path.read_bytes().decode("latin-1"))


def files(folder: Path) -> list[Path]:
    """Whatever the state directory holds, without the database itself."""
    return [each for each in folder.rglob("*") if each.is_file() and not each.name.startswith("crmsync.db")]


def columns(life: Life) -> Iterable[tuple[str, str]]:
    """Each column of the store that holds text, with all of it."""
    with life.system.store.read() as uow:
        for table in inspect(uow.connection).get_table_names():
            rows = uow.connection.execute(text(f"SELECT * FROM {table}")).mappings().all()
            for name in rows[0] if rows else ():
                yield f"{table}.{name}", "\n".join(_shown(row[name]) for row in rows)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def vendor_tokens(companies: Collection[Company]) -> set[str]:
    """What the vendors gave out: access tokens, sessions, tokens against forged requests."""
    found: set[str] = set()
    for each in companies:
        found |= {token.partition("!")[2] for token in each.salesforce.oauth._sessions}
        found |= set(each.zoho.accounts._live)
        found |= {*each.sap.access._tokens, *each.sap.access._sessions}
        found |= {token for token, _ in each.sap.access._sessions.values()}
    return found
