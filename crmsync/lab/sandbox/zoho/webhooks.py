"""The outgoing payment webhook: its body forms and its signature.

Source: shared fact sheet, section 7. The signed text is every query pair and form pair, sorted by key and joined
without separators, followed by the raw body where that is no form.
"""

import hashlib
import hmac
import json
from urllib.parse import parse_qsl, urlencode, urlsplit

from crmsync.lab.sandbox.http import dumps
from crmsync.lab.sandbox.zoho.fields import Doc

FORMS = ("json", "flat", "jsonstring", "form", "raw")
URLENCODED = "application/x-www-form-urlencoded"
SIGNATURE = "X-Zoho-Webhook-Signature"


def payment_body(payment: Doc, form: str) -> tuple[bytes, str]:
    """The body and content type of a payment webhook.

    `json` is the default payload, `flat` the same without its wrapper, `jsonstring` the older single form field, `form`
    own key and value pairs, `raw` a JSON text made from placeholders, in which numbers are texts.
    """
    if form not in FORMS:
        raise ValueError(f"form {form!r} is none of {', '.join(FORMS)}")
    if form in ("json", "flat"):
        return dumps({"payment": payment} if form == "json" else payment), "application/json"
    if form == "jsonstring":
        return urlencode({"JSONString": dumps({"payment": payment}).decode()}).encode(), URLENCODED
    pairs = {name: str(payment[name]) for name in ("payment_id", "amount", "date", "customer_id", "reference_number")}
    if payment["invoices"]:
        pairs["invoice_id"] = payment["invoices"][0]["invoice_id"]
    return (
        (urlencode(pairs).encode(), URLENCODED) if form == "form" else (json.dumps(pairs).encode(), "application/json")
    )


def sign(secret: str, url: str, body: bytes, content_type: str) -> str:
    """The value of the signature header.

    >>> sign("crmsyncTestSecret2026", "http://x/", b'{"payment":{"payment_id":"1"}}', "application/json")[:12]
    'cf16ea9eeb8d'
    """
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    if content_type == URLENCODED:
        pairs += parse_qsl(body.decode(), keep_blank_values=True)
    signed = "".join(key + value for key, value in sorted(pairs)).encode()
    signed += b"" if content_type == URLENCODED else body
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
