"""The connected peers, and since when the server waits for each: a slow peer delays only itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(eq=False, slots=True)
class Peer:
    """A connection. *waiting_since* is None while the application has its request."""

    close: Callable[[], None]
    waiting_since: float | None
    held_bytes: int = 0  # of a body that has not arrived whole; then they count for the application until it is done
    is_idle: bool = False  # it was answered, and nothing of another request was seen


class Peers:
    """Every connection of a process. A request has *seconds* to arrive, an answer *seconds* to be taken.

    Beyond *limit* connections, or *bytes_max* of bodies that arrive or wait to be worked on, the one that is waited
    for longest is dropped: who fills the server up with connections loses his own, because nobody else's is waited for
    that long.
    """

    def __init__(self, *, seconds: float, limit: int, bytes_max: int, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._limit = limit
        self._bytes_max = bytes_max
        self._clock = clock
        self._held_bytes = 0
        self._all: set[Peer] = set()

    def __len__(self) -> int:
        return len(self._all)

    def add(self, close: Callable[[], None]) -> Peer:
        """A new connection, for which another may have to go."""
        while len(self._all) >= self._limit and self.drop_slowest():
            pass
        peer = Peer(close, self._clock())
        self._all.add(peer)
        return peer

    def remove(self, peer: Peer) -> None:
        self._all.discard(peer)
        self._let_go(peer)

    def wait_for(self, peer: Peer, *, is_idle: bool = False) -> None:
        """From now on it is the peer's turn: to send a request, or to take an answer."""
        peer.waiting_since, peer.is_idle = self._clock(), is_idle

    def hold(self, peer: Peer, size: int) -> None:
        """*size* bytes more of a body have come."""
        peer.held_bytes += size
        self._held_bytes += size
        while self._held_bytes > self._bytes_max and self.drop_slowest(holding=True):
            pass

    def work_for(self, peer: Peer) -> int:
        """Its request is whole: it is our turn. Returns the size of its body, for done()."""
        peer.waiting_since, peer.is_idle = None, False
        size, peer.held_bytes = peer.held_bytes, 0
        return size

    def done(self, size: int) -> None:
        """A body of *size* is needed no more, whether its sender is still there or not."""
        self._held_bytes -= size

    def drop_late(self) -> int:
        """Close those whose time is over; returns how many."""
        ends_at = self._clock() - self._seconds
        late = [peer for peer in self._all if peer.waiting_since is not None and peer.waiting_since <= ends_at]
        for peer in late:
            self._drop(peer)
        return len(late)

    def drop_all(self, *, idle: bool) -> None:
        """Close every connection that we wait for, or only those without anything of a request."""
        for peer in [peer for peer in self._all if peer.waiting_since is not None and (peer.is_idle or not idle)]:
            self._drop(peer)

    def drop_slowest(self, *, holding: bool = False) -> bool:
        """False: there is none that we wait for."""
        waiting = [peer for peer in self._all if peer.waiting_since is not None and (peer.held_bytes or not holding)]
        if not waiting:
            return False
        self._drop(min(waiting, key=lambda peer: peer.waiting_since or 0.0))
        return True

    def _drop(self, peer: Peer) -> None:
        self.remove(peer)
        peer.close()

    def _let_go(self, peer: Peer) -> None:
        self._held_bytes -= peer.held_bytes
        peer.held_bytes = 0
