"""Answers over a bad line, and the oddities that are spelled out: what arrives, byte for byte."""

import gzip
import socket
import time
import zlib
from collections.abc import Callable

import pytest
import requests

from crmsync.lab.sandbox import Sandbox
from crmsync.lab.sandbox.kernel.faults import ELSEWHERE, UnknownFault
from crmsync.lab.sandbox.kernel.wire import CUTS, PLACES, Message, Wire, pieces
from tests.sandbox.clients import BooksClient, CrmClient, ErpClient, order

MESSAGE = Message("HTTP/1.1 200 OK", ["Content-Type: text/plain", "Content-Length: 10"], b"0123456789")
VERSIONS = "/services/data"


def received(sandbox: Sandbox, target: str = VERSIONS, *, most: int = 4096) -> tuple[bytes, bool]:
    """What a plain socket gets of a GET, at most so much of it; and whether the connection was reset."""
    address = ("127.0.0.1", int(sandbox.salesforce.url.rpartition(":")[2]))
    found = b""
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        try:
            while len(found) < most and (data := connection.recv(65536)):
                found += data
        except ConnectionResetError:
            return found, True
    return found, False


def test_an_answer_is_cut_inside_its_body(sandbox: Sandbox) -> None:
    sandbox.faults.add("salesforce", "cut", "versions", sent=100)
    head, _, body = received(sandbox)[0].partition(b"\r\n\r\n")
    stated = next(line for line in head.decode().splitlines() if line.startswith("Content-Length"))
    assert len(body) == 100 < int(stated.partition(":")[2])


def test_a_reset_is_a_reset(sandbox: Sandbox) -> None:
    sandbox.faults.add("salesforce", "reset", "versions", sent=100)
    assert received(sandbox)[1]


def test_a_stalled_answer_stands_until_the_caller_leaves(sandbox: Sandbox, crm: CrmClient) -> None:
    sandbox.faults.add("salesforce", "stall", "versions", times=1)
    started = time.monotonic()
    with pytest.raises(requests.ConnectionError, match="timed out"):
        crm.session.get(f"{crm.env['SF_LOGIN_URL']}{VERSIONS}", timeout=0.1)
    assert time.monotonic() - started < 5
    assert crm.session.get(f"{crm.env['SF_LOGIN_URL']}{VERSIONS}", timeout=5).status_code == 200


def test_chunks_have_no_end(sandbox: Sandbox) -> None:
    sandbox.faults.add("salesforce", "unended", "versions", times=1)
    found = received(sandbox)[0]
    assert b"Transfer-Encoding: chunked" in found
    assert not found.endswith(b"0\r\n\r\n")

    sandbox.faults.add("salesforce", "endless", "versions", times=1)
    assert len(received(sandbox, most=3_000_000)[0]) >= 3_000_000


def test_what_says_gzip_is_plain(sandbox: Sandbox, crm: CrmClient) -> None:
    sandbox.faults.add("salesforce", "garbled", "versions")
    with pytest.raises(requests.exceptions.ContentDecodingError):
        crm.session.get(f"{crm.env['SF_LOGIN_URL']}{VERSIONS}", timeout=5)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_bomb_unpacks_to_its_size(sandbox: Sandbox, crm: CrmClient, layers: int) -> None:
    sandbox.faults.add("salesforce", "bomb", "versions", size=3 * 1024 * 1024, layers=layers)
    with crm.session.get(f"{crm.env['SF_LOGIN_URL']}{VERSIONS}", timeout=5, stream=True) as answer:
        packed = answer.raw.read(decode_content=False)
    assert len(packed) < 20_000
    for _ in range(layers):
        packed = gzip.decompress(packed)
    assert packed == b" " * 3 * 1024 * 1024


@pytest.mark.parametrize("place", PLACES)
def test_a_trickle_never_comes_to_its_end(sandbox: Sandbox, crm: CrmClient, place: str) -> None:
    sandbox.faults.add("salesforce", "trickle", "versions", place=place, seconds=0.001, times=1)
    assert len(received(sandbox, most=700)[0]) >= 700


BEGINNINGS: dict[str, Callable[[bytes], bool]] = {
    "status": lambda found: found == b"HTTP/1.1 200 OKyyyy",
    "headers": lambda found: found.endswith(b"X-Slow: yyyy") and b"\r\n\r\n" not in found,
    "continue": lambda found: found == b"HTTP/1.1 100 Continue\r\n\r\n" * 5,
    "chunk": lambda found: found.endswith(b"\r\n\r\n5;name=yyyy"),
    "trailer": lambda found: found.endswith(b"0\r\n" + b"X-Slow: y\r\n" * 4),
    "gzip": lambda found: _unpacked(found) == b"",
    "body": lambda found: found.endswith(b"\r\n\r\n0123") and b"Content-Length: 1000000" in found,
}


@pytest.mark.parametrize("place", PLACES)
def test_a_trickle_is_at_its_place(place: str) -> None:
    parts = pieces(Wire("trickle", place), MESSAGE)
    assert BEGINNINGS[place](b"".join(next(parts) for _ in range(5)))


def _unpacked(found: bytes) -> bytes:
    """The body of chunks, unpacked."""
    words = found.partition(b"\r\n\r\n")[2].split(b"\r\n")
    assert found.count(b"\x00\x00\xff\xff") == 4
    return zlib.decompressobj(31).decompress(b"".join(words[1::2]))


@pytest.mark.parametrize("kind", CUTS)
def test_an_answer_without_a_body_is_cut_inside_its_head(kind: str) -> None:
    (sent,) = pieces(Wire(kind), Message("HTTP/1.1 204 No Content", [], b""))
    assert b"\r\n\r\n" not in sent


@pytest.mark.parametrize("kind", [*CUTS, "unended", "garbled"])
def test_the_work_of_an_answer_that_did_not_arrive_is_done(sandbox: Sandbox, erp: ErpClient, kind: str) -> None:
    customer = erp.customer()
    sandbox.faults.add("sap", kind, "create_order", times=1)
    with pytest.raises(
        (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError)
    ):
        erp.session.post(erp.url("API_SALES_ORDER_SRV/A_SalesOrder"), json=order(customer), timeout=0.3)
    assert len(sandbox.ledger()["orders"]) == 1


def test_a_place_that_does_not_exist_is_an_error(sandbox: Sandbox) -> None:
    with pytest.raises(UnknownFault):
        sandbox.faults.add("sap", "trickle", place="moon")
    with pytest.raises(UnknownFault):
        sandbox.faults.play("sap-no-such-oddity")
    with pytest.raises(UnknownFault):
        sandbox.faults.add("zoho", "vanish", "create_invoice")


# -- the oddities


ODDITIES = Sandbox().faults.oddities


@pytest.mark.parametrize("name", ODDITIES)
def test_every_oddity_can_be_played(sandbox: Sandbox, name: str) -> None:
    fault = sandbox.faults.play(name, times=1)
    assert (fault.system, sandbox.faults.all()[0]["kind"]) == (name.partition("-")[0], fault.kind)


@pytest.mark.parametrize(
    ("name", "status", "kind", "text"),
    [
        ("edge-420", 420, "text/html", "Too much traffic"),
        ("edge-maintenance", 200, "text/html", "Down for maintenance"),
        ("edge-not-found", 404, "text/html", "Page not found"),
        ("edge-not-acceptable", 406, None, ""),
        ("edge-empty", 200, None, ""),
        ("edge-login", 302, None, ""),
    ],
)
def test_an_edge_answers_instead_of_the_application(
    sandbox: Sandbox, crm: CrmClient, name: str, status: int, kind: str | None, text: str
) -> None:
    sandbox.faults.play(f"salesforce-{name}", operation="query", times=1)
    answer = crm.query("SELECT Id FROM Account", allow_redirects=False)
    assert (answer.status_code, answer.headers.get("Content-Type", "").partition(";")[0] or None) == (status, kind)
    assert text in answer.text
    assert "Sforce-Limit-Info" not in answer.headers
    assert crm.query("SELECT Id FROM Account").json()["records"] == []


def test_token_endpoints_have_passing_faults(sandbox: Sandbox, crm: CrmClient, books: BooksClient) -> None:
    said = {}
    for name in ("unknown-error", "login-rate", "grant-inactive", "token-server-error"):
        sandbox.faults.play(f"salesforce-{name}", times=1)
        said[name] = crm.token().json()
    assert said["unknown-error"] == {"error": "unknown_error", "error_description": "retry your request"}
    assert said["login-rate"] == {"error": "invalid_grant", "error_description": "login rate exceeded"}
    assert said["grant-inactive"]["error_description"] == "user is inactive"
    sandbox.faults.play("zoho-general-error", times=1)
    answer = books.token()
    assert (answer.status_code, answer.json()) == (200, {"error": "general_error"})
    sandbox.faults.play("zoho-token-too-many", times=1)
    answer = books.token()
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")


@pytest.mark.parametrize(("name", "status"), [("found", 302), ("moved", 307)])
def test_a_token_endpoint_points_elsewhere(sandbox: Sandbox, name: str, status: int) -> None:
    sandbox.faults.play(f"sap-token-{name}-elsewhere")
    answer = requests.post(f"{sandbox.sap.url}/sap/bc/sec/oauth2/token", timeout=5, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (status, ELSEWHERE)


def test_the_root_gives_no_csrf_token_and_the_metadata_does(sandbox: Sandbox, erp: ErpClient) -> None:
    sandbox.faults.play("sap-csrf-root-silent")
    fetch = {"x-csrf-token": "Fetch"}
    root, metadata = (erp.call("GET", f"API_SALES_ORDER_SRV/{path}", headers=fetch) for path in ("", "$metadata"))
    assert (root.status_code, "x-csrf-token" in root.headers) == (200, False)
    assert metadata.headers["x-csrf-token"]


def test_a_refused_csrf_token_is_not_named_as_such(sandbox: Sandbox, erp: ErpClient) -> None:
    customer = erp.customer()
    sandbox.faults.play("sap-csrf-refused-silently", times=1)
    answer = erp.create_order(order(customer))
    assert (answer.status_code, answer.headers.get("x-csrf-token")) == (403, None)
    assert sandbox.ledger()["orders"] == []


def test_an_order_is_made_incomplete(sandbox: Sandbox, erp: ErpClient) -> None:
    customer = erp.customer()
    sandbox.faults.play("sap-incomplete", times=1)
    answer = erp.create_order(order(customer))
    message = requests.utils.unquote(answer.headers["sap-message"])
    assert (answer.status_code, "SLS_LORD/009" in message, '"severity": "warning"' in message) == (201, True, True)
    made = erp.call("GET", f"API_SALES_ORDER_SRV/A_SalesOrder('{answer.json()['d']['SalesOrder']}')").json()["d"]
    assert (made["DeliveryBlockReason"], made["HeaderBillingBlockReason"]) == ("01", "01")


def test_an_order_vanishes_after_it_was_made(sandbox: Sandbox, erp: ErpClient) -> None:
    customer = erp.customer()
    sandbox.faults.play("sap-vanish", times=1)
    answer = erp.create_order(order(customer))
    number = answer.json()["d"]["SalesOrder"]
    assert answer.status_code == 201
    assert erp.call("GET", f"API_SALES_ORDER_SRV/A_SalesOrder('{number}')").status_code == 404
    assert sandbox.ledger()["orders"] == []


def test_locks_and_refusals_have_the_vendors_codes(sandbox: Sandbox, crm: CrmClient, erp: ErpClient) -> None:
    deal, customer = sandbox.deals.create(), erp.customer()
    for name, code in (("lock-user", "MC/601"), ("lock-customer", "V2/468"), ("lock-table", "VL/045")):
        sandbox.faults.play(f"sap-{name}", times=1)
        answer = erp.create_order(order(customer))
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    sandbox.faults.play("salesforce-nested-lock", times=1)
    row = crm.call("PATCH", f"/sobjects/Opportunity/{deal.id}", json={"NextStep": "x"}).json()[0]
    assert (row["errorCode"], "UNABLE_TO_LOCK_ROW" in row["message"]) == ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", True)
    sandbox.faults.play("salesforce-validation-rule", times=1)
    row = crm.call("PATCH", f"/sobjects/Opportunity/{deal.id}", json={"NextStep": "x"}).json()[0]
    assert row["fields"] == []


def test_an_organisation_may_be_over(sandbox: Sandbox, books: BooksClient) -> None:
    for name, status, code in (("plan-over", 400, 103001), ("no-organisation-under-200", 200, 9017)):
        sandbox.faults.play(f"zoho-{name}", operation="create_invoice", times=1)
        answer = books.call("POST", "/invoices", json={})
        assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_oddities_are_played_through_the_control_api(sandbox: Sandbox, crm: CrmClient) -> None:
    known = requests.get(f"{sandbox.control_url}/control/oddities", timeout=5).json()["oddities"]
    assert set(known) == set(ODDITIES)
    url = f"{sandbox.control_url}/control/oddities/salesforce-edge-420"
    assert requests.post(url, json={"times": 1, "operation": "query"}, timeout=5).json()["status"] == 420
    assert crm.query("SELECT Id FROM Account").status_code == 420
