"""The audit: rows that are only ever added."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Row, Select, select, text

from crmsync.domain.audit import GENESIS, REASON_LENGTH, Act, AuditEntry, chained, without_secrets
from crmsync.store.rows import Rows
from crmsync.store.tables import audit

_LOCK_KEY = 7_236_542  # PostgreSQL's advisory lock of whoever adds: an entry needs the hash of the last one
_NOTHING: Mapping[str, Any] = {}


class Audit(Rows):
    _last = ""  # the hash of this transaction's own last entry: nobody else adds before it ends

    def add(
        self,
        act: Act,
        verb: str,
        object_type: str,
        object_key: str,
        *,
        tenant: str = "",
        before: Mapping[str, Any] = _NOTHING,
        after: Mapping[str, Any] = _NOTHING,
    ) -> None:
        """Add what *act* does to an object, in the transaction that does it.

        Others who add wait until this transaction ends, so let it be the last thing that the transaction does.
        """
        content = {
            "at": self._now.isoformat(),
            "name": act.name[:100],
            "origin": act.origin.value,
            "verb": verb,
            "object_type": object_type,
            "object_key": object_key[:200],
            "tenant": tenant,
            "before": without_secrets(before),
            "after": without_secrets(after),
            "reason": act.reason[:REASON_LENGTH],
        }
        previous = self._last or self._last_hash()
        facts = {"at": self._now, "before": _text(content["before"]), "after": _text(content["after"])}
        self._last = chained(previous, content)
        row = {**content, **facts, "previous": previous, "hash": self._last}
        self._connection.execute(audit.insert(), row)

    def newest(
        self, tenant: str | None, *, object_type: str = "", object_key: str = "", before_id: int = 0, limit: int
    ) -> list[AuditEntry]:
        """The newest first; of one tenant, None: of all; about one object, and older than *before_id* where said."""
        query = _QUERY.order_by(audit.c.id.desc()).limit(limit)
        wanted = {audit.c.object_type: object_type, audit.c.object_key: object_key}
        query = query.where(*(column == value for column, value in wanted.items() if value))
        if tenant is not None:
            query = query.where(audit.c.tenant == tenant)
        if before_id:
            query = query.where(audit.c.id < before_id)
        return [_entry(row) for row in self._connection.execute(query)]

    def in_order(self) -> Iterator[AuditEntry]:
        """All of them, oldest first; a few at a time."""
        for row in self._connection.execute(_QUERY.order_by(audit.c.id), execution_options={"yield_per": 500}):
            yield _entry(row)

    def _last_hash(self) -> str:
        if self._connection.dialect.name != "sqlite":  # which has one writer at a time
            self._connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})"))
        query = select(audit.c.hash).order_by(audit.c.id.desc()).limit(1)
        return self._connection.execute(query).scalar() or GENESIS


_QUERY: Select[Any] = select(audit)


def _text(facts: Any) -> str:
    return json.dumps(facts, sort_keys=True, ensure_ascii=False)


def _entry(row: Row[Any]) -> AuditEntry:
    values = dict(row._mapping)
    values["before"], values["after"] = json.loads(values["before"]), json.loads(values["after"])
    return AuditEntry(**values)
