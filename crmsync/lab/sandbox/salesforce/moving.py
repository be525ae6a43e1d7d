"""An org that has moved: what its old addresses answer, and how the new one is told.

The token endpoint answers at every address, as the vendor's login hosts do, and names the newest.
"""

from collections.abc import Callable

from crmsync.lab.sandbox.http import ConnectionDropped, Request, Response, html
from crmsync.lab.sandbox.salesforce.errors import SalesforceError

NOT_RESET = "Destination URL not reset. The URL returned from login must be set"


def _session(request: Request, url: str) -> Response:
    return SalesforceError("INVALID_SESSION_ID", "Session expired or invalid", 401).response()


def _redirected(status: int) -> Callable[[Request, str], Response]:
    return lambda request, url: Response(status, b"", {"Location": url + request.target})


def _not_reset(status: int) -> Callable[[Request, str], Response]:
    return lambda request, url: SalesforceError("URL_NOT_RESET", NOT_RESET, status).response()


def _page(request: Request, url: str) -> Response:
    return html(404, "Page not found")


def _gone(request: Request, url: str) -> Response:
    raise ConnectionDropped


# What an address answers from which the org has moved away, by name
OLD_ADDRESSES: dict[str, Callable[[Request, str], Response]] = {
    "expired": _session,
    "moved": _redirected(301),
    "found": _redirected(302),
    "temporary": _redirected(307),
    "permanent": _redirected(308),
    "not-reset": _not_reset(404),
    "not-reset-400": _not_reset(400),
    "page": _page,
    "gone": _gone,
}
