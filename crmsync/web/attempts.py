"""How often somebody may try to sign in: counted for each address and each name, in all processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address, ip_network

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter
from redis import Redis

from crmsync.connectors.limits.redis_link import Link, NoRedisError
from crmsync.domain.access import fingerprint

OF_A_NAME = RateLimitItemPerMinute(10, 5, namespace="crmsync:sign-in:name")
OF_AN_ADDRESS = RateLimitItemPerMinute(50, 5, namespace="crmsync:sign-in:address")
_IPV6_PREFIX = 64  # what one household or machine has


class Attempts:
    """Each process counts, and all together in Redis; without Redis each has its own limit."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._own = FixedWindowRateLimiter(MemoryStorage())
        self._shared: FixedWindowRateLimiter | None = None

    def allow(self, name: str, address: str) -> bool:
        """Count one more attempt. False if it is one too many: then the password is not even looked at."""
        wanted = ((OF_AN_ADDRESS, fingerprint(network_of(address))), (OF_A_NAME, fingerprint(name)))
        is_allowed = all([self._own.hit(limit, key) for limit, key in wanted])
        with suppress(NoRedisError):
            is_allowed &= self._in_redis(lambda shared: all([shared.hit(limit, key) for limit, key in wanted]))
        return is_allowed

    def forget(self, name: str) -> None:
        """Who has signed in begins anew."""
        key = fingerprint(name)  # what people type into a form may be anything
        self._own.clear(OF_A_NAME, key)
        with suppress(NoRedisError):
            self._in_redis(lambda shared: _cleared(shared, key))

    def _in_redis(self, question: Callable[[FixedWindowRateLimiter], bool]) -> bool:
        def ask(client: Redis) -> bool:
            if self._shared is None:
                # The library wants an address; it works with the pool that is handed in.
                self._shared = FixedWindowRateLimiter(RedisStorage("redis://", connection_pool=client.connection_pool))
            return question(self._shared)

        return self._link.ask(ask)


def _cleared(limiter: FixedWindowRateLimiter, key: str) -> bool:
    limiter.clear(OF_A_NAME, key)
    return True


def network_of(address: str) -> str:
    """Who counts as one: an address, or where addresses are plenty its network.

    >>> network_of("203.0.113.9"), network_of("2001:db8::1"), network_of("?")
    ('203.0.113.9', '2001:db8::/64', '?')
    """
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return str(ip_network(f"{found}/{_IPV6_PREFIX}", strict=False)) if found.version == 6 else str(found)


def seconds_to_wait(now: Callable[[], float] = time.time) -> int:
    """Until the window of five minutes is over in which nothing more is taken."""
    period = OF_A_NAME.get_expiry()
    return int(period - now() % period) + 1
