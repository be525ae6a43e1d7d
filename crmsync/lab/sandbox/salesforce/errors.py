"""Refusals in the shape of the REST API: an array of objects with message and errorCode."""

from typing import Any

from crmsync.lab.sandbox.http import Request, Response, answer


class SalesforceError(Exception):
    """A request that the platform refuses."""

    def __init__(self, code: str, message: str, status: int = 400, fields: tuple[str, ...] = ()) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status, self.fields = code, message, status, fields

    def row(self) -> dict[str, object]:
        """The entry of a REST error array; `fields` only where the data is at fault."""
        entry: dict[str, object] = {"message": self.message, "errorCode": self.code}
        return {**entry, "fields": list(self.fields)} if self.fields else entry

    def collection_row(self) -> dict[str, object]:
        """The entry of a collections result, where the code's key is another."""
        return {"statusCode": self.code, "message": self.message, "fields": list(self.fields)}

    def response(self) -> Response:
        return answer([self.row()], self.status)


def not_found(message: str = "The requested resource does not exist") -> SalesforceError:
    return SalesforceError("NOT_FOUND", message, 404)


def malformed_query(message: str) -> SalesforceError:
    return SalesforceError("MALFORMED_QUERY", message)


def object_of(request: Request) -> dict[str, Any]:
    """The JSON object of a request. Raises SalesforceError (JSON_PARSER_ERROR) for other JSON, BadJson for none."""
    body = request.json()
    if not isinstance(body, dict):
        raise SalesforceError("JSON_PARSER_ERROR", "The HTTP entity body must be an object")
    return body


def needs_json(request: Request) -> None:
    """Raises SalesforceError (415) unless the body is declared as JSON."""
    if request.content_type != "application/json":
        message = f"Content type {request.content_type!r} is not supported"
        raise SalesforceError("UNSUPPORTED_MEDIA_TYPE", message, 415)
