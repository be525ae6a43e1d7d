"""Request bodies and answers of the Books API."""

from typing import Any

from crmsync.sandbox.http import BadJson, Request, Response, answer
from crmsync.sandbox.zoho.fields import Doc


def body_of(request: Request) -> Doc:
    """The JSON object of a request, sent as it is or as the form field JSONString. Raises BadJson for plain forms."""
    inner = request
    if request.content_type == "application/x-www-form-urlencoded":
        inner = Request("POST", "", {}, request.form.get("JSONString", "").encode())
    value = inner.json()
    if not isinstance(value, dict):
        raise BadJson("object expected")
    return value


def optional_body(request: Request) -> Doc:
    return body_of(request) if request.body else {}


def success(message: str, status: int = 200, **content: Any) -> Response:
    return answer({"code": 0, "message": message, **content}, status)
