"""An address that people give leads to the internet, and to no machine of this network."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from crmsync.connectors.way_out import wire
from crmsync.connectors.way_out.faults import INSIDE
from crmsync.connectors.way_out.transport import Session, exchange, new_session
from crmsync.connectors.way_out.wire import InsideError, require_outside
from crmsync.errors import VendorUnavailableError

PUBLIC = "93.184.215.14"
INSIDE_ADDRESSES = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",  # where clouds tell a machine its credentials
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1%eth0",
    "fd00::1",
    "::ffff:10.1.2.3",
    "64:ff9b::a01:203",
    "2002:0a01:0203::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", INSIDE_ADDRESSES)
def test_an_address_of_this_network_is_refused_however_it_is_written(address: str) -> None:
    with pytest.raises(InsideError):
        require_outside([PUBLIC, address])


@pytest.mark.parametrize("address", [PUBLIC, "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::5db8:d70e"])
def test_one_of_the_internet_is_not(address: str) -> None:
    require_outside([address])


Names = Callable[..., list[str]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """What each look-up of a name answers, one after the other; returns where connections were then attempted."""

    def answer(*answers: str) -> list[str]:
        left, attempted = list(answers), []

        def looked_up(host: str, port: int, *_: Any) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (left.pop(0), port))]

        def connect(_: Any, address: Any) -> None:
            attempted.append(address[0])
            raise ConnectionRefusedError

        monkeypatch.setattr(wire, "_addresses", looked_up)
        monkeypatch.setattr(wire.PlainSocket, "connect", connect)
        return attempted

    return answer


def ask(session: Session, url: str = "https://sap.example.com/") -> VendorUnavailableError:
    with pytest.raises(VendorUnavailableError) as refused, exchange("SAP", "read", seconds=5):
        session.ask("GET", url, params=None, body=None, headers={})
    return refused.value


def test_a_name_that_leads_inside_is_refused_before_a_byte_is_sent(names: Names) -> None:
    attempted = names("10.1.2.3")

    error = ask(new_session(is_outside=True))

    assert (attempted, error.code, error.is_definite) == ([], INSIDE, True)
    assert "CRMSYNC_ALLOW_PRIVATE_ADDRESSES" in str(error)
    assert "10.1.2.3" not in str(error)


def test_the_name_is_looked_up_once_and_that_address_is_called(names: Names) -> None:
    """A name server that answers differently the second time leads nobody inside."""
    attempted = names(PUBLIC, "10.1.2.3")

    ask(new_session(is_outside=True))

    assert attempted == [PUBLIC]


def test_in_the_clear_it_is_refused_as_well(names: Names) -> None:
    attempted = names("127.0.0.1")

    assert ask(new_session(is_outside=True), "http://sap.example.com/").code == INSIDE
    assert attempted == []


def test_the_environments_own_connections_go_where_it_says(names: Names) -> None:
    attempted = names("10.1.2.3")

    assert ask(new_session()).code is None
    assert attempted == ["10.1.2.3"]


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "sap.localhost", "169.254.169.254"])
def test_a_proxy_is_not_asked_for_what_is_inside(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)

    assert ask(new_session(is_outside=True), f"https://{host}/").code == INSIDE
