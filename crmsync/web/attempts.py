"""Limits attempts: to sign in, by name and address; to use the API, by token. Counted over all processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address, ip_network

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter
from redis import Redis

from crmsync.connectors.limits.redis_link import Link, NoRedisError
from crmsync.domain.access import fingerprint

OF_A_NAME = RateLimitItemPerMinute(10, 5, namespace="crmsync:sign-in:name")
OF_AN_ADDRESS = RateLimitItemPerMinute(50, 5, namespace="crmsync:sign-in:address")
_IPV6_PREFIX = 64  # what one household or machine has

Limited = Sequence[tuple[RateLimitItem, str]]


class Counted:
    """Each process counts, and all together in Redis; without Redis each has its own limit."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._own = FixedWindowRateLimiter(MemoryStorage())
        self._shared: FixedWindowRateLimiter | None = None

    def hit(self, wanted: Limited) -> bool:
        """Count one more of each. False if any is one too many."""
        is_allowed = _hit(self._own, wanted)
        with suppress(NoRedisError):
            is_allowed &= self._in_redis(lambda shared: _hit(shared, wanted))
        return is_allowed

    def clear(self, limit: RateLimitItem, key: str) -> None:
        self._own.clear(limit, key)
        with suppress(NoRedisError):
            self._in_redis(lambda shared: _clear(shared, limit, key))

    def _in_redis(self, question: Callable[[FixedWindowRateLimiter], bool]) -> bool:
        def ask(client: Redis) -> bool:
            if self._shared is None:
                # The library wants an address; it works with the pool that is handed in.
                self._shared = FixedWindowRateLimiter(RedisStorage("redis://", connection_pool=client.connection_pool))
            return question(self._shared)

        return self._link.ask(ask)


class Attempts:
    """Limits attempts to sign in."""

    def __init__(self, link: Link) -> None:
        self._counted = Counted(link)

    def allow(self, name: str, address: str) -> bool:
        """Count one more attempt. False if it is one too many: then the password is not even checked."""
        # What people type into a form may be anything, so only its fingerprint is kept.
        wanted = ((OF_AN_ADDRESS, fingerprint(network_of(address))), (OF_A_NAME, fingerprint(name)))
        return self._counted.hit(wanted)

    def forget(self, name: str) -> None:
        """Forget the attempts of a name that has signed in."""
        self._counted.clear(OF_A_NAME, fingerprint(name))


class Requests:
    """Limits requests to the API."""

    def __init__(self, link: Link, per_minute: int) -> None:
        self.per_minute = per_minute
        self._limit = RateLimitItemPerMinute(per_minute, namespace="crmsync:api")
        self._counted = Counted(link)

    def seconds_to_wait(self, token_id: str) -> int:
        """Count one more request of a token; for how long it is to wait, 0 where it may go on."""
        return 0 if self._counted.hit([(self._limit, token_id)]) else seconds_to_wait(self._limit)


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


def seconds_to_wait(limit: RateLimitItem = OF_A_NAME, now: Callable[[], float] = time.time) -> int:
    """How many seconds until the window in which nothing more is taken ends."""
    period = limit.get_expiry()
    return int(period - now() % period) + 1


def _hit(limiter: FixedWindowRateLimiter, wanted: Limited) -> bool:
    return all([limiter.hit(limit, key) for limit, key in wanted])  # each is counted, also behind one that refuses


def _clear(limiter: FixedWindowRateLimiter, limit: RateLimitItem, key: str) -> bool:
    limiter.clear(limit, key)
    return True
