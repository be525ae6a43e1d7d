"""Cases from the field, T1, T2, T7, V2, V4: answers in odd forms, which are still the vendor's own."""

from __future__ import annotations

import pytest

from crmsync import errors
from tests.field.raw_server import Peer, RawServer, answer
from tests.field.test_vendor_edges import REQUEST
from tests.field.vendors import ORDER_SERVICE, ORDERS, csrf_token, json_answer, sap, zoho, zoho_answer

INVOICE = b'{"code": 0, "invoice": {"invoice_id": "46", "invoice_number": "%s", "total": %s, "currency_code": "USD"}}'
OK = answer(INVOICE % (b"INV-1", b"1"))
METADATA = "http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"


def read_invoice(server: RawServer) -> str:
    return zoho(server.url).read_invoice("46").number


def in_xml(code: str, text: str, detail: str = "") -> bytes:
    inner = f"<innererror><errordetails>{detail}</errordetails></innererror>"
    found = f'<?xml version="1.0"?><error xmlns="{METADATA}"><code>{code}</code><message xml:lang="en">{text}</message>'
    return answer(f"{found}{inner}</error>".encode(), "400 Bad Request", content_type="application/xml")


LOCK = "<errordetail><code>V2/468</code><message>x</message><severity>error</severity></errordetail>"


@pytest.mark.parametrize(
    ("refusal", "error", "code"),
    [
        (in_xml("V1/042", "Sold-to party is blocked &amp; closed"), errors.RejectedError, "V1/042"),
        (in_xml("/IWBEP/CX_MGW_BUSI", "x", LOCK), errors.ConcurrentUpdateError, "V2/468"),
        (in_xml("ZZ/001", "Customer 1 is being processed by user ANN"), errors.ConcurrentUpdateError, "ZZ/001"),
    ],
    ids=["an error", "a lock in its details", "a lock by its sentence"],
)
def test_T7__an_error_that_sap_gives_in_xml_is_its_own(
    refusal: bytes, error: type[errors.CrmsyncError], code: str
) -> None:
    with RawServer(refusal) as server:
        server.at(ORDER_SERVICE + "?", csrf_token())
        with pytest.raises(error) as caught:
            sap(server.url).read_order("4711")

    assert caught.value.code == code
    assert "Sold-to" not in str(caught.value)
    assert code != "V1/042" or caught.value.words == "Sold-to party is blocked & closed"


@pytest.mark.parametrize("status", ["102 Processing", "103 Early Hints"])
def test_T1__what_comes_before_an_answer_is_not_taken_for_it(status: str) -> None:
    """Otherwise the answer itself, a moment later, would be read as that to the next call on this connection."""

    def late(peer: Peer) -> None:
        peer.send(f"HTTP/1.1 {status}\r\nLink: </x>\r\n\r\n".encode())
        peer.wait(0.1)
        peer.send(OK)

    with RawServer(late, answer(INVOICE % (b"INV-2", b"1"))) as server:
        books = zoho(server.url)
        assert [books.read_invoice(key).number for key in ("46", "47")] == ["INV-1", "INV-2"]


def test_T1__an_answer_that_changes_the_protocol_is_an_outage_and_its_connection_is_left() -> None:
    with RawServer(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", OK) as server:
        books = zoho(server.url)
        with pytest.raises(errors.VendorUnavailableError):
            books.read_invoice("46")
        assert books.read_invoice("46").number == "INV-1"


@pytest.mark.parametrize("total", [b"1e999", b"1E+400000000", b'"1e99"', b"1e-999", b"NaN", b"Infinity"])
def test_T1__an_amount_that_no_currency_has_is_none(total: bytes) -> None:
    odd = answer(INVOICE % (b"INV-1", total))
    with RawServer(odd) as server, pytest.raises(errors.UnexpectedAnswerError, match=r"invoice\.total"):
        read_invoice(server)

    net = total.decode().strip('"')
    with RawServer(json_answer({"d": {"SalesOrder": "4711", "TotalNetAmount": net}})) as server:
        assert sap(server.url).read_order("4711").net is None


def test_T1__a_number_of_a_million_digits_is_none() -> None:
    digits = b'"' + b"9" * 1_000_000 + b'"'
    told = answer(b'{"code": %s, "message": ""}' % digits)
    with RawServer(told) as server, pytest.raises(errors.VendorUnavailableError):
        read_invoice(server)
    with RawServer(answer(b'{"d": {"results": [], "__count": %s}}' % digits)) as server:
        assert sap(server.url).find_orders("SF-1") == []


@pytest.mark.parametrize("value", [{"__deferred": {}}, [], None, 7], ids=str)
def test_T1__a_key_of_stock_that_is_no_text_stops_nothing(value: object) -> None:
    row: dict[str, object] = {
        "Material": "A",
        "Plant": "1",
        "MatlWrhsStkQtyInMatlBaseUnit": "5",
        "InventorySpecialStockType": "",
    }
    row["InventoryStockType"] = value
    with RawServer(json_answer({"d": {"results": [row], "__count": "1"}})) as server:
        assert list(sap(server.url).stock()) == [[]]


def test_T1__a_remark_on_an_order_that_nests_without_end_does_not_hide_the_order() -> None:
    nested = "[" * 20_000
    with RawServer() as server:
        server.at(ORDER_SERVICE, csrf_token())
        server.at(ORDERS, json_answer({"d": {"SalesOrder": "4711"}}, "201 Created", f"sap-message: {nested}"))
        assert sap(server.url).create_order(REQUEST).number == "4711"


@pytest.mark.parametrize("number", [b"INV-\\u00001", b"INV-1\\u0000"], ids=["inside", "behind"])
def test_T1__a_text_that_no_database_takes_is_read_without_it(number: bytes) -> None:
    with RawServer(answer(INVOICE % (number, b"1"))) as server:
        assert read_invoice(server) == "INV-1"
    with RawServer(answer(INVOICE % (b"INV-\\ud800", b"1"))) as server:
        assert read_invoice(server) == "INV-?"


LABELS = ["text/plain", "text/html", "application/json; charset=iso-8859-1", "application/json; charset=us-ascii", ""]


@pytest.mark.parametrize("label", LABELS)
def test_T7__json_is_utf_8_whatever_a_gateway_calls_it(label: str) -> None:
    """Otherwise the customer is made under a name that nobody has, and stands so on the invoice."""
    with RawServer(answer(INVOICE % ("Müller-Ł".encode(), b"1"), content_type=label)) as server:
        assert read_invoice(server) == "Müller-Ł"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "iso-8859-1"])
def test_T7__another_encoding_is_read_where_it_is_named(encoding: str) -> None:
    body = (INVOICE % (b"M\xfcller", b"1")).decode("iso-8859-1").encode(encoding)
    with RawServer(answer(body, content_type=f"application/json; charset={encoding}")) as server:
        assert read_invoice(server) == "Müller"


def test_T1__a_byte_order_mark_is_no_page_of_somebody_else() -> None:
    with RawServer(answer(b"\xef\xbb\xbf" + INVOICE % (b"INV-1", b"1"))) as server:
        assert read_invoice(server) == "INV-1"


@pytest.mark.parametrize("reset", ["0", "00"])
def test_V4__a_limit_that_is_over_now_is_not_asked_about_without_a_pause(reset: str) -> None:
    refused = json_answer({"code": 44, "message": "…"}, "429 Too Many Requests", f"X-Rate-Limit-Reset: {reset}")
    with RawServer(refused) as server, pytest.raises(errors.RateLimitedError) as caught:
        read_invoice(server)

    assert caught.value.retry_after_seconds == 60


@pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden", "429 Too Many Requests", "200 OK"])
@pytest.mark.parametrize(("code", "seconds"), [(44, 60), (45, 3600), (1070, 5)])
def test_V4__a_limit_of_zoho_is_one_under_any_status(code: int, seconds: float, status: str) -> None:
    with RawServer(zoho_answer(code, status)) as server, pytest.raises(errors.RateLimitedError) as caught:
        read_invoice(server)

    assert caught.value.retry_after_seconds == seconds
