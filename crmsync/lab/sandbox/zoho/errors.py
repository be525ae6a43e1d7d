"""Refusals in the shape of the Books API: a code and a message, no more."""

from crmsync.lab.sandbox.http import Response, answer


class ZohoError(Exception):
    """A request that Books refuses."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status

    def response(self) -> Response:
        return answer({"code": self.code, "message": self.message}, self.status)


def missing(what: str) -> ZohoError:
    return ZohoError(1002, f"{what} does not exist.", 404)


def invalid(name: str) -> ZohoError:
    return ZohoError(2, f"Invalid value passed for {name}")
