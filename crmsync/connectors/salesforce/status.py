"""Writes the state of a deal to it, and the optional field for a sentence about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from crmsync.connectors.base import StatusWritten
from crmsync.connectors.salesforce import schemas
from crmsync.connectors.salesforce.api import SalesforceApi
from crmsync.connectors.salesforce.errors import SYSTEM
from crmsync.connectors.salesforce.settings import SalesforceSettings
from crmsync.connectors.way_out.answers import Explain, Failure, Reply, error_of
from crmsync.errors import CrmsyncError, UnexpectedAnswerError

LEFT_OUT_SECONDS = 900.0  # then a field that was refused is tried again: somebody may have made it meanwhile
_WRITE = "write status"

Values = Mapping[str, Any]
T = TypeVar("T")


class ReasonField:
    """The field for the sentence, if there is one. An organization that refuses it gets everything else."""

    def __init__(self, settings: SalesforceSettings) -> None:
        self._name = settings.status_reason_field
        self._refusal: CrmsyncError | None = None
        self._refused_at = 0.0

    @property
    def refusal(self) -> CrmsyncError | None:
        """Why the sentence is left out now."""
        is_recent = time.monotonic() - self._refused_at < LEFT_OUT_SECONDS
        return self._refusal if is_recent else None

    def written(self, reason: str, write: Callable[[Values], T]) -> T:
        """What *write* brings, with the field's value; without it where the field alone is at fault."""
        if not self._name or self.refusal is not None:
            return write({})
        try:
            done = write({self._name: reason or None})
        except CrmsyncError as error:
            if set(error.field_errors) != {self._name}:
                raise
            self._refusal, self._refused_at = error, time.monotonic()
            return write({})
        self._refusal = None
        return done


class StatusWriter:
    """Writes the status of deals, and reads their stamps before and after it in the same call."""

    def __init__(
        self, api: SalesforceApi, settings: SalesforceSettings, *, explain: Explain, reason_field: ReasonField
    ) -> None:
        self._api = api
        self._settings = settings
        self._explain = explain
        self._reason_field = reason_field

    def write(self, deal_id: str, status: str, reason: str) -> StatusWritten:
        """One call; another one where the organization refuses the field for the sentence.

        Raises: RecordNotFoundError.
        """
        values = {self._settings.status_field: status}
        before, after = self._reason_field.written(reason, lambda own: self._written(deal_id, {**values, **own}))
        return StatusWritten(before, after, self._reason_field.refusal)

    def _written(self, deal_id: str, values: Values) -> tuple[datetime | None, datetime | None]:
        path = f"/sobjects/Opportunity/{deal_id}"
        stamp = ("GET", f"{path}?fields={schemas.STAMP}", None)
        before, written, after = self._api.composite(_WRITE, [stamp, ("PATCH", path, values), stamp])
        failure = self._explain(written)
        if failure is not None or written.status >= 300:
            raise error_of(SYSTEM, _WRITE, written, failure or Failure())
        return _stamp(before), _stamp(after)


def _stamp(reply: Reply) -> datetime | None:
    """When the deal was last changed; None where it can't be read, which is no reason to write once more."""
    try:
        return schemas.load(schemas.STAMPED, reply.body, operation=_WRITE)["changed_at"]
    except UnexpectedAnswerError:
        return None
