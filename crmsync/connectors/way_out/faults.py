"""Translates errors of the libraries below the transport into those of errors.py, without their texts."""

from __future__ import annotations

import re
import socket
import ssl
import zlib
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from typing import Any

import requests
from urllib3.exceptions import ConnectTimeoutError, HTTPError, ProxyError

from crmsync import errors
from crmsync.connectors.way_out.wire import InsideError

CERTIFICATE, PROXY, INSIDE = "CERTIFICATE", "PROXY", "INSIDE"  # the codes of faults that people must mend here
LIBRARY_ERRORS = (requests.RequestException, HTTPError, HTTPException, OSError, ValueError, zlib.error, EOFError)

_UNSENT = (ConnectTimeoutError, requests.ConnectTimeout, requests.exceptions.InvalidURL)
_TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: (\d{3})")

# OpenSSL's numbers of what is wrong with a certificate: x509_vfy.h.
_CERTIFICATE_FAULTS: Mapping[int, str] = {
    9: "is not valid yet: check the clock of this machine",
    10: "has expired: its owner must renew it; check the clock of this machine, too",
    18: "is self-signed: name its certificate, or that of your company's authority, in REQUESTS_CA_BUNDLE",
    19: "comes from an authority that this machine does not trust: name its certificate in REQUESTS_CA_BUNDLE",
    20: "comes from an authority that this machine does not trust: name its certificate in REQUESTS_CA_BUNDLE",
    21: "comes from an authority that this machine does not trust: name its certificate in REQUESTS_CA_BUNDLE",
    62: "is for another host: check the address in the settings",
    64: "is for another address: check the address in the settings",
}


_ASKS_FOR_OURS = "asks for a certificate of the client, and crmsync has none"
_NOTHING_IN_COMMON = "has no form of TLS in common with crmsync, or asks for a certificate of the client"
_NO_VERSION = "has no version of TLS in common with crmsync, which needs 1.2 or later"
_NO_TLS = "does not speak TLS at this address: check the port, and whether it is https:// at all"
# OpenSSL's names of what ends a handshake before a certificate is checked.
_TLS_FAULTS: Mapping[str, str] = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _ASKS_FOR_OURS,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": _NOTHING_IN_COMMON,
    "TLSV1_ALERT_PROTOCOL_VERSION": _NO_VERSION,
    "UNSUPPORTED_PROTOCOL": _NO_VERSION,
    "TLSV1_UNRECOGNIZED_NAME": "does not know the host that the settings name",
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
}


class BrokenAnswerError(requests.RequestException):
    """An answer came, and ended or went wrong in the middle."""


class ProxyAddressError(OSError):
    """The proxy that this machine is told to use has no address that could be called."""


class TooLargeError(requests.RequestException):
    """An answer is larger than anything that we ask for."""


class UntrustedError(OSError):
    """The certificates that this machine is told to trust can't be read."""


def fault(system: str, operation: str, error: BaseException) -> errors.CrmsyncError:
    """What an error of a library below means."""
    chain = list(causes(error))
    common: dict[str, Any] = {"system": system, "operation": operation}
    for each in chain:
        if isinstance(each, ssl.SSLCertVerificationError):
            return _certificate_error(system, operation, each.verify_code)
        if isinstance(each, UntrustedError):
            return errors.CertificateError(str(each), code=CERTIFICATE, **common)
        if refused := _TUNNEL_REFUSED.search(str(each)):
            return proxy_refusal(system, operation, refused[1])
        if isinstance(each, ProxyAddressError):
            what = "The variable HTTPS_PROXY (or HTTP_PROXY, ALL_PROXY) does not contain the address of an HTTP proxy"
            cure = "write http://host:port, and in a password @ : / # % as %40 %3A %2F %23 %25"
            return errors.VendorUnavailableError(f"{what}: {cure}.", code=PROXY, is_definite=True, **common)
        if isinstance(each, InsideError):
            what = f"The address of {system} leads into this network, which connections added by users must not reach"
            cure = "correct it, or set CRMSYNC_ALLOW_PRIVATE_ADDRESSES=true"
            return errors.VendorUnavailableError(f"{what}: {cure}.", code=INSIDE, is_definite=True, **common)
        if isinstance(each, TooLargeError):
            return errors.UnexpectedAnswerError(f"The answer of {system} is larger than crmsync takes.", **common)
    is_unsent = any(isinstance(each, _UNSENT) for each in chain)
    if is_unsent and any(isinstance(each, ProxyError) for each in chain):
        what = f"{system} can't be reached through the proxy of this machine"
        cure = "check HTTPS_PROXY, its host, its port and whether it is http:// or https://"
        return errors.VendorUnavailableError(f"{what}: {cure}.", code=PROXY, is_definite=True, **common)
    if told := next((_TLS_FAULTS[name] for each in chain if (name := _reason(each)) in _TLS_FAULTS), ""):
        return errors.CertificateError(f"{system} {told}.", code=CERTIFICATE, **common)
    return errors.VendorUnavailableError(f"{system} {_what(is_unsent, chain)}.", is_definite=is_unsent, **common)


def proxy_refusal(system: str, operation: str, status: int | str) -> errors.VendorUnavailableError:
    return errors.VendorUnavailableError(
        f"The proxy in front of {system} refused the connection with {status}: check HTTPS_PROXY and its credentials.",
        system=system,
        operation=operation,
        code=f"{PROXY} {status}",
        is_definite=True,
    )


def _what(is_unsent: bool, chain: list[BaseException]) -> str:
    if any(isinstance(each, socket.gaierror) for each in chain):
        return "can't be reached: its host name can't be resolved on this machine"
    if is_unsent and any(isinstance(each, ConnectionRefusedError) for each in chain):
        return "can't be reached: its host refuses the connection at that port"
    if is_unsent:
        return "can't be reached"
    is_broken = any(isinstance(each, BrokenAnswerError) for each in chain)
    return "broke off in the middle of its answer" if is_broken else "did not answer"


def _reason(error: BaseException) -> str:
    return str(error.reason or "") if isinstance(error, ssl.SSLError) else ""


def _certificate_error(system: str, operation: str, number: int) -> errors.CertificateError:
    what = _CERTIFICATE_FAULTS.get(number, f"can't be verified (OpenSSL {number})")
    return errors.CertificateError(
        f"The certificate of {system} {what}.", system=system, operation=operation, code=CERTIFICATE
    )


def causes(error: BaseException) -> Iterator[BaseException]:
    """*error* and all that it was made of; libraries keep that in various places."""
    found, seen = [error], set[int]()
    while found:
        each = found.pop(0)
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            inside = (*each.args, getattr(each, "reason", None), each.__cause__, each.__context__)
            found += [part for part in inside if isinstance(part, BaseException)]
