"""Connections that keep a deadline, whatever a server sends, at whatever pace, at any point of an exchange.

A timeout of a socket bounds one read, and a server that trickles a byte a second passes each of them. Here every read
and write is given what is left of the whole exchange, from the look-up of the host's name to the last byte of the body.
"""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from http import HTTPStatus
from http.client import BadStatusLine, HTTPResponse, RemoteDisconnected
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError

# Of the exchange's time, not beside it. Where the first of two name servers is down the second is asked after 5 s.
LOOK_UP_SECONDS, CONNECT_SECONDS = 11.0, 5.0

# Firewalls forget a connection that is still without telling either side, and servers close one just when the next call
# goes out; the first costs a whole deadline, both leave open whether a write was done. Of servers few wait for less.
IDLE_SECONDS = 15.0

_ends_at: ContextVar[float] = ContextVar("crmsync_exchange_ends_at")

_Address = tuple[Any, ...]  # as socket.getaddrinfo() answers


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Exchanges that begin inside the block end in *seconds*; outside of any, these connections do nothing."""
    token = _ends_at.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _ends_at.reset(token)


def _left(ends_at: float) -> float:
    """Raises: TimeoutError."""
    left = ends_at - time.monotonic()
    if left <= 0:
        raise TimeoutError("the exchange has lasted too long")
    return left


class NotConnectedError(NewConnectionError):
    """The connection was never made: no byte of a call has left. Its cause says why."""


class InsideError(OSError):
    """The name leads to a machine of this network, where an address that people give must not lead."""


class LeftOpenError(OSError):
    """A connection that had served another call had ended when the next one was sent: no byte of an answer has come."""


class PlainSocket(socket.socket):
    """A socket that keeps the deadline of the exchange it serves now."""

    ends_at = 0.0

    def recv(self, *args: Any) -> bytes:
        self.settimeout(_left(self.ends_at))
        return super().recv(*args)

    def recv_into(self, *args: Any) -> int:
        self.settimeout(_left(self.ends_at))
        return super().recv_into(*args)

    def sendall(self, *args: Any) -> None:
        self.settimeout(_left(self.ends_at))  # for all of it, not for each piece
        super().sendall(*args)


class TlsSocket(ssl.SSLSocket):
    """The same, encrypted. What SSLSocket does comes down to these three."""

    ends_at = 0.0

    def do_handshake(self, block: bool = False) -> None:
        self.ends_at = _ends_at.get()
        self.settimeout(_left(self.ends_at))
        super().do_handshake(block)

    def read(self, *args: Any) -> Any:
        self.settimeout(_left(self.ends_at))
        return super().read(*args)

    def send(self, *args: Any) -> int:
        self.settimeout(_left(self.ends_at))
        return super().send(*args)


class _Response(HTTPResponse):
    """Skips what servers send before the answer: the library knows 100 alone, and would take 103 for the answer.

    Then the answer itself would stay in the connection, and be read as that to the next call.
    """

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]
        if status == HTTPStatus.SWITCHING_PROTOCOLS:
            raise BadStatusLine("101, which was not requested")
        return version, HTTPStatus.CONTINUE if 100 <= status < 200 else status, reason


class _Connection(HTTPConnection):
    """Begins every exchange by telling its socket when that must be over."""

    sock: Any
    response_class = _Response
    _has_answered = False
    _called_at = 0.0

    @property
    def is_connected(self) -> bool:
        return time.monotonic() - self._called_at < IDLE_SECONDS and super().is_connected

    def connect(self) -> None:
        try:
            super().connect()
        except Exception as error:
            self.close()
            raise NotConnectedError(self, type(error).__name__) from error

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        # A socket of TLS within the TLS of a proxy wraps the one that reads.
        getattr(self.sock, "socket", self.sock).ends_at = _ends_at.get()
        self._called_at = time.monotonic()
        with self._told_if_left_open():
            super().send(data)

    def getresponse(self) -> Any:
        with self._told_if_left_open():
            response = super().getresponse()
        self._has_answered = True
        return response

    def close(self) -> None:
        super().close()
        self._has_answered = False

    @contextmanager
    def _told_if_left_open(self) -> Iterator[None]:
        had_answered = self._has_answered
        try:
            yield
        except (RemoteDisconnected, ConnectionResetError) as error:
            if had_answered:
                raise LeftOpenError(str(error)) from error
            raise

    def require(self, addresses: Collection[_Address]) -> None:
        """Raises: OSError for addresses to which this connection must not go."""

    def _new_conn(self) -> socket.socket:
        addresses = _addresses(self._dns_host, self.port, min(_ends_at.get(), time.monotonic() + LOOK_UP_SECONDS))
        self.require(addresses)  # what was checked is what is connected to: the name is not resolved again
        made = _connected(addresses, min(_ends_at.get(), time.monotonic() + CONNECT_SECONDS))
        for option in self.socket_options or ():
            made.setsockopt(*option)
        made.ends_at = _ends_at.get()
        return made


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _OutsideConnection(_Connection):
    """To the internet, and to no machine of this network."""

    def require(self, addresses: Collection[_Address]) -> None:
        require_outside(str(address[4][0]) for address in addresses)


class _OutsideTlsConnection(_OutsideConnection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _OutsidePool(HTTPConnectionPool):
    ConnectionCls = _OutsideConnection


class _OutsideTlsPool(HTTPSConnectionPool):
    ConnectionCls = _OutsideTlsConnection


POOLS = {"http": _Pool, "https": _TlsPool}
"""For urllib3's managers of pools, by scheme."""
OUTSIDE_POOLS = {"http": _OutsidePool, "https": _OutsideTlsPool}
"""The same, for addresses that people give: they lead to the internet alone."""


def require_outside(addresses: Iterable[str]) -> None:
    """Check addresses.

    Raises: InsideError if one of *addresses* is of this machine, of a private network, or of no single machine.

    >>> require_outside(["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
    >>> require_outside(["93.184.215.14", "::ffff:169.254.169.254"])
    Traceback (most recent call last):
        ...
    crmsync.connectors.way_out.wire.InsideError: an address inside of this network
    """
    if not all(map(_is_outside, addresses)):
        raise InsideError("an address inside of this network")


_NAT64 = ip_network("64:ff9b::/96")


def _is_outside(text: str) -> bool:
    """Whoever wraps an address of version 4 in one of version 6 means the machine behind it."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        address = inner or address
    return address.is_global and not address.is_multicast


def _addresses(host: str, port: int, ends_at: float) -> list[_Address]:
    host = host.strip("[]")
    with suppress(OSError):  # an address needs no look-up
        return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
    return _looked_up(host, port, ends_at)


def _looked_up(host: str, port: int, ends_at: float) -> list[_Address]:
    """In a thread of its own, which is left behind at the deadline: a look-up can't be interrupted."""
    found: queue.SimpleQueue[list[_Address] | Exception] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found.put(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM))
        except Exception as error:
            found.put(error)

    threading.Thread(target=look_up, name="name look-up", daemon=True).start()
    try:
        result = found.get(timeout=_left(ends_at))
    except queue.Empty:
        raise TimeoutError("the name server does not answer") from None
    if isinstance(result, Exception):
        raise result
    return result


def _connected(addresses: list[_Address], ends_at: float) -> PlainSocket:
    """To the first of *addresses* that takes the connection. Raises: what the last of them did."""
    failure: OSError = OSError("the name has no address")
    for left, (family, kind, protocol, _, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
        made = PlainSocket(family, kind, protocol)
        try:
            made.settimeout(_left(ends_at) / left)  # one that swallows everything leaves time for the others
            made.connect(address)
        except OSError as error:
            failure = error
            made.close()
        else:
            return made
    raise failure
