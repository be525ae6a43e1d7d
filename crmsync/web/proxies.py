"""Which peers are our own proxies, whose headers about clients are trusted."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address


def is_among(text: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Whether the address of a peer belongs to one of *networks*."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    known_as = getattr(address, "ipv4_mapped", None) or address  # as IPv6 writes a peer that speaks IPv4
    return any(known_as in network for network in networks)
