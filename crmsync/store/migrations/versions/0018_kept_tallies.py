"""What is over is counted once, here; from now on only what is newer."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_LAG = timedelta(minutes=15)  # as in store/tallies.py


def upgrade() -> None:
    now = datetime.now(UTC)
    until = now - _LAG
    _keep("runs", _counts("runs", "flow", "created_at", until), until.isoformat(), now)
    _keep("deliveries", _counts("deliveries", "source, is_healed", "received_at", until), until.isoformat(), now)
    last = op.get_bind().execute(
        sa.text("SELECT max(id) FROM ledger WHERE created_at < :until").bindparams(_instant(until))
    )
    number = int(last.scalar() or 0) + 1
    _keep("ledger", _counts("ledger", "kind", "id", number), number, now)


def _counts(table: str, keys: str, position: str, until: Any) -> list[list[Any]]:
    query = f"SELECT {keys}, count(*) FROM {table} WHERE {position} < :until GROUP BY {keys}"  # noqa: S608
    given = _instant(until) if isinstance(until, datetime) else sa.bindparam("until", until)
    rows = [list(row) for row in op.get_bind().execute(sa.text(query).bindparams(given))]
    return [[name, bool(rest[0]), rest[1]] if len(rest) == 2 else [name, *rest] for name, *rest in rows]


def _instant(until: datetime) -> Any:
    """As crmsync's own type writes it: SQLite knows no zones."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    return sa.bindparam("until", until.replace(tzinfo=None) if is_sqlite else until, sa.DateTime(timezone=True))


def _keep(name: str, counts: list[list[Any]], until: Any, now: datetime) -> None:
    if not counts:
        return
    facts = sa.table("facts", sa.column("name"), sa.column("value"))
    value = json.dumps({"until": until, "at": now.isoformat(), "counts": counts})
    op.get_bind().execute(sa.insert(facts).values(name=f"tally.{name}", value=value))
