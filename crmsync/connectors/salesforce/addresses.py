"""The organization's own address: detects that it has moved, and decides to which addresses credentials may be sent."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import urlsplit

from crmsync.connectors.salesforce.causes import MOVED
from crmsync.connectors.salesforce.errors import SYSTEM
from crmsync.errors import AccountRefusedError, CertificateError, CrmsyncError, VendorUnavailableError

_ADDRESS = re.compile(r"(https?)://([A-Za-z0-9.-]{1,253}|\[::1\])(?::\d{1,5})?")
_THIS_MACHINE = ("localhost", "127.0.0.1", "[::1]")
# Where organizations live: production, sandboxes, government, and the operator in China
# (help.salesforce.com, "My Domain URL Formats").
_SALESFORCE_HOSTS = (
    "salesforce.com",
    "force.com",
    "salesforce.mil",
    "cloudforce.com",
    "database.com",
    "sfcrmproducts.cn",
)
_NOT_ITS_OWN = re.compile(r"HTTP \d{3}|PROXY( \d{3})?")  # a proxy looks up the name itself
_SURELY_MOVED = frozenset((MOVED, "HTTP 301", "HTTP 307", "HTTP 308"))


def has_moved(error: CrmsyncError) -> bool:
    """Whether a failure at an address says that the organization has another one: Salesforce's word, or a redirect."""
    return error.code in _SURELY_MOVED


def may_have_moved(error: CrmsyncError) -> bool:
    """Whether a failure at an address may mean that the organization has another one by now.

    That is said by Salesforce, by whatever answers there in its place, or nobody answers at the address any more.
    """
    if isinstance(error, CertificateError) or error.code == MOVED:
        return True
    is_silent = error.code is None
    return isinstance(error, VendorUnavailableError) and (is_silent or bool(_NOT_ITS_OWN.fullmatch(error.code or "")))


def trusted(address: str, login_url: str, extra_hosts: Collection[str] = ()) -> str:
    """*address*, if the token may be sent there.

    >>> trusted("https://acme.my.salesforce.com", "https://login.salesforce.com")
    'https://acme.my.salesforce.com'
    """
    if is_trusted(address, login_url, extra_hosts):
        return address
    raise AccountRefusedError(
        "Salesforce returned an API address to which crmsync sends no credentials: it must start with https:// "
        "and be Salesforce's own.",
        system=SYSTEM,
        operation="token",
        field_errors={"instance_url": "is not an address of Salesforce that starts with https://"},
        advice="Check SF_LOGIN_URL; add a host of your own to SF_EXTRA_HOSTS. Then run `crmsync doctor`.",
    )


def is_trusted(address: str, login_url: str, extra_hosts: Collection[str] = ()) -> bool:
    """Whether *address* is https to a host of Salesforce, of the sign-in, or of *extra_hosts*.

    In the clear only on this machine, or on the sign-in's host: that settings.py has let the sign-in be in the clear is
    the user's will (CRMSYNC_ALLOW_HTTP).
    """
    found = _ADDRESS.fullmatch(address)
    if found is None:
        return False
    scheme, host = found[1], found[2].lower()
    login = urlsplit(login_url)
    if host in _THIS_MACHINE:
        return True
    if scheme == "http":
        return login.scheme == "http" and host == login.hostname
    return host == login.hostname or _is_below(host, (*_SALESFORCE_HOSTS, *extra_hosts))


def _is_below(host: str, domains: Collection[str]) -> bool:
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)
