"""The part of `crmsync doctor` that knocks at the doors of the receiver that runs, with the proofs of their senders."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from crmsync.cli.finding import Finding, not_checked
from crmsync.connectors.salesforce.settings import SalesforceSettings, WebhookKeys
from crmsync.connectors.zoho_books.settings import ZohoBooksSettings
from crmsync.errors import CertificateError, CrmsyncError
from crmsync.settings import Secret, Settings

AREA = "Doors"
SECONDS = 10.0

_DEALS, _PAYMENTS = "/webhook/salesforce/deal-closed", "/webhook/zoho/payment"
_JSON, _XML = {"Content-Type": "application/json"}, {"Content-Type": "text/xml; charset=utf-8"}
_LET_IN = "a signed message was let in; it started nothing"


@dataclass(frozen=True, slots=True)
class Knock:
    """A message that a door lets in if it knows the secret of *variable*."""

    name: str
    path: str
    variable: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    """What answered: *status* is 0 where nobody did, and *error* says why."""

    status: int
    body: Any = None
    error: CrmsyncError | None = None


def all_of(settings: Settings) -> Iterator[Finding]:
    if not {"salesforce", "zoho_books"} & set(settings.systems):
        yield not_checked(AREA, "all doors", "neither Salesforce nor Zoho Books is configured")
    knocks: list[Knock] = []
    for found in _at_each_door(settings):
        if isinstance(found, Knock):
            knocks.append(found)
        else:
            yield found
    if knocks:
        yield from _knocked(settings, knocks)


def _at_each_door(settings: Settings) -> Iterator[Knock | Finding]:
    """How each door that is set up is knocked at, and what is so of those that are not."""
    crm, books = settings.systems.get("salesforce"), settings.systems.get("zoho_books")
    if crm is not None:
        keys = crm.webhook_keys
        secrets_of_deals = (*keys.signature, *keys.standard, *keys.bearer, *keys.token)
        yield from _unless_withheld(_DEALS, secrets_of_deals, _of_deals(crm))
    if books is not None:
        yield from _unless_withheld(_PAYMENTS, books.webhook_secrets, _of_payments(books))


def _unless_withheld(door: str, keys: Iterable[Secret], found: Iterator[Knock | Finding]) -> Iterator[Knock | Finding]:
    if any(key.is_withheld for key in keys):
        what = "its secrets are withheld from this process; run `crmsync doctor` where the receiver runs as well"
        yield not_checked(AREA, door, what)
    else:
        yield from found


# -- the proofs


def _of_deals(crm: SalesforceSettings) -> Iterator[Knock | Finding]:
    keys = crm.webhook_keys
    if not any((keys.signature, keys.standard, keys.bearer, keys.token)):
        what = "refuses everything: SF_WEBHOOK_SECRET is not set, so deals come by catch-up alone, minutes late"
        yield Finding(AREA, _DEALS, False, what)
        return
    body = _probe()
    for form, proof in _proofs(keys, body).items():
        yield Knock(f"deals by {form}", _DEALS, _variable(crm, form), body, {**proof, **_JSON})
    if keys.token:
        yield _outbound(crm, keys.token[0])


def _variable(crm: SalesforceSettings, form: str) -> str:
    """Forms that have no secret of their own share one."""
    own = {"bearer": crm.webhook_bearer, "token": crm.webhook_token}.get(form)
    return f"SF_WEBHOOK_{form.upper()}" if own else "SF_WEBHOOK_SECRET"


def _proofs(keys: WebhookKeys, body: bytes) -> dict[str, dict[str, str]]:
    """The headers of each form of proof that is open, by its name."""
    from crmsync.connectors.kit import signatures
    from crmsync.connectors.salesforce.webhooks import SIGNATURE_HEADER

    found: dict[str, dict[str, str]] = {}
    if keys.signature:
        found["signature"] = {SIGNATURE_HEADER: f"sha256={signatures.sign(keys.signature[0], body)}"}
    if keys.standard:
        found["Standard Webhooks"] = signatures.standard_headers(keys.standard[0], "probe", body, datetime.now(UTC))
    if keys.bearer:
        found["bearer"] = {"Authorization": f"Bearer {keys.bearer[0].reveal()}"}
    return found


def _outbound(crm: SalesforceSettings, token: Secret) -> Knock | Finding:
    name = "deals by Outbound Message"
    if not crm.organization_id:
        what = "it refuses Outbound Messages until SF_ORGANIZATION_ID is set"
        is_chosen = bool(crm.webhook_token) or crm.webhook_forms == ("token",)
        return Finding(AREA, name, False, what) if is_chosen else not_checked(AREA, name, what)
    path = f"{_DEALS}?{_query(token)}"
    return Knock(name, path, _variable(crm, "token"), f"<probe>{crm.organization_id}</probe>".encode(), _XML)


def _query(token: Secret) -> str:
    from urllib.parse import urlencode

    return urlencode({"token": token.reveal()})


def _of_payments(books: ZohoBooksSettings) -> Iterator[Knock | Finding]:
    from crmsync.connectors.kit import signatures
    from crmsync.connectors.zoho_books.webhooks import SIGNATURE_HEADER

    if not books.webhook_secrets:
        what = "refuses everything: ZOHO_WEBHOOK_SECRET is not set, so payments come by catch-up alone, minutes late"
        yield Finding(AREA, _PAYMENTS, False, what)
        return
    body = _probe()
    proof = {SIGNATURE_HEADER: signatures.sign(books.webhook_secrets[0], body), **_JSON}
    yield Knock("payments", _PAYMENTS, "ZOHO_WEBHOOK_SECRET", body, proof)


def _probe() -> bytes:
    return json.dumps({"probe": secrets.token_hex(8)}).encode()


# -- knocking


def _knocked(settings: Settings, knocks: list[Knock]) -> Iterator[Finding]:
    """At the address that senders use, where it is known; else at this machine's own."""
    from crmsync.cli.processes import local_url

    here, outside = local_url(settings), settings.receiver_url
    url = outside or here
    first = _ask(url, knocks[0], is_here=not outside)
    if not first.status:
        yield _nobody(
            url, here, first.error, is_running=bool(outside) and _ask(here, knocks[0], is_here=True).status > 0
        )
        return
    for knock in knocks:
        reply = first if knock is knocks[0] else _ask(url, knock, is_here=not outside)
        yield judged(knock, reply, url)


def _nobody(url: str, here: str, error: CrmsyncError | None, *, is_running: bool) -> Finding:
    if is_running:
        what = f"the receiver answers at {here}, but not at {url}, where its senders go: {error}"
        return Finding(AREA, "from outside", False, what)
    if isinstance(error, CertificateError):
        return Finding(AREA, "from outside", False, f"{error} ({url})")
    return not_checked(AREA, "all doors", f"nothing answers at {url}; start crmsync, then run this again")


def _ask(url: str, knock: Knock, *, is_here: bool) -> Reply:
    from crmsync.connectors.way_out.transport import exchange, new_session

    try:
        with exchange("The receiver", "probe", seconds=SECONDS):
            session = new_session(is_direct=is_here)
            answer = session.post(f"{url}{knock.path}", data=knock.body, headers=dict(knock.headers))
    except CrmsyncError as error:
        return Reply(0, error=error)
    try:
        return Reply(answer.status_code, answer.json())
    except ValueError:
        return Reply(answer.status_code)


def judged(knock: Knock, reply: Reply, url: str) -> Finding:
    """What the answer to *knock* means."""
    told = reply.body if isinstance(reply.body, dict) else {}
    if reply.status == 200 and told.get("status") == "probe":
        return Finding(AREA, knock.name, True, _LET_IN)
    if reply.status == 400 and told.get("error") == "MalformedWebhookError":
        return Finding(AREA, knock.name, True, "the proof was accepted, by a receiver of another release", is_note=True)
    return Finding(AREA, knock.name, False, _problem(knock, reply, told, f"{url}{knock.path.partition('?')[0]}"))


def _problem(knock: Knock, reply: Reply, told: Mapping[str, Any], place: str) -> str:
    if not reply.status:
        return f"{reply.error} ({place})"
    if told.get("reason") == "organization":
        return f"the receiver at {place} runs with another SF_ORGANIZATION_ID than the one that is set here"
    if reply.status == 401 and told.get("reason"):
        return (
            f"the receiver at {place} refuses the proof that is made with {knock.variable} as it is set here "
            f"(“{told.get('message')}”): it runs with another secret. Set the same, and restart it."
        )
    if 300 <= reply.status < 400:
        return f"{place} leads elsewhere (HTTP {reply.status}), and senders do not follow: correct CRMSYNC_DOORS_URL"
    if told.get("error"):
        return f"the receiver at {place} answered with {reply.status}: {told.get('message')}"
    return (
        f"what answers at {place} is not the receiver (HTTP {reply.status}): look at PORT, or at the proxy and "
        "CRMSYNC_DOORS_URL"
    )
