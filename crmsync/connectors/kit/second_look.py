"""Decides whose fault an ambiguous refusal is: if a call about no record is refused too, it is the account's."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from crmsync.connectors.way_out.answers import Failure, Reply

BELIEVED_SECONDS = 60.0  # how long an account that was seen to be well counts as such


@dataclass(slots=True)
class SecondLook:
    """A read of *url*; *judge* says what its answer means for the account, given the code of the refusal."""

    url: str
    judge: Callable[[Reply, str], Failure | None]
    _well_until: float = 0.0

    def judged(self, failure: Failure, look: Callable[[str], Reply | None]) -> Failure:
        """*failure*, or the account's in its place; *look* reads an address, and gives None where nothing is learnt."""
        if time.monotonic() < self._well_until:
            return failure
        reply = look(self.url)
        if reply is None:
            return failure
        found = self.judge(reply, failure.code)
        if found is None:
            self._well_until = time.monotonic() + BELIEVED_SECONDS
        return found or failure
