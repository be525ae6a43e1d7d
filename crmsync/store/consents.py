"""The consents that people were asked for; what is sealed is thrown away when one is over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, select, update

from crmsync.domain.audit import Origin
from crmsync.domain.consents import KEPT, ConsentRequest, ConsentStatus
from crmsync.store.rows import Rows
from crmsync.store.tables import consents

_MESSAGE_LENGTH = 500


@dataclass(frozen=True, slots=True)
class KeptConsent:
    request: ConsentRequest
    sealed: str


class Consents(Rows):
    """An id, or a state, is nobody else's: a request names its tenant and its connection."""

    def add(self, new: ConsentRequest, *, state_hash: str, sealed: str) -> None:
        """What came of those of yesterday is forgotten meanwhile."""
        self._connection.execute(delete(consents).where(consents.c.asked_at < self._now - KEPT))
        row = {name: getattr(new, name) for name in ConsentRequest.__slots__}
        self._connection.execute(consents.insert().values(**row, state_hash=state_hash, sealed=sealed))

    def get(self, consent_id: str) -> KeptConsent | None:
        row = self._connection.execute(select(consents).where(consents.c.id == consent_id)).first()
        return _kept(row) if row is not None else None

    def of_state(self, state_hash: str) -> KeptConsent | None:
        row = self._connection.execute(select(consents).where(consents.c.state_hash == state_hash)).first()
        return _kept(row) if row is not None else None

    def advance(self, consent_id: str, before: ConsentStatus, after: ConsentStatus, *, sealed: str) -> bool:
        """Move a consent from one state to the next.

        False if somebody else has done so, or it is too late. A state, and a code, are used once.
        """
        mine = (consents.c.id == consent_id, consents.c.status == before.value, consents.c.expires_at > self._now)
        values = {"status": after.value, "sealed": sealed}
        return self._connection.execute(update(consents).where(*mine).values(**values)).rowcount == 1

    def end(self, consent_id: str, status: ConsentStatus, message: str) -> bool:
        """End a consent. False if it is over already."""
        over = [each.value for each in ConsentStatus if each.is_over]
        mine = (consents.c.id == consent_id, consents.c.status.not_in(over))
        values = {"status": status.value, "message": message[:_MESSAGE_LENGTH], "sealed": ""}
        return self._connection.execute(update(consents).where(*mine).values(**values)).rowcount == 1


def _kept(row: Row[Any]) -> KeptConsent:
    values = dict(row._mapping)
    sealed = values.pop("sealed")
    values.pop("state_hash")
    typed = {"status": ConsentStatus(values["status"]), "origin": Origin(values["origin"])}
    return KeptConsent(ConsentRequest(**{**values, **typed}), sealed)
