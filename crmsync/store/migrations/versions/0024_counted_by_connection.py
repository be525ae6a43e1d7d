"""The ledger is counted by connection, and each alert says whose it is.

What was told so far concerned the tenant of the environment, or the whole installation.
"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_OF_THE_INSTALLATION = ("watch:", "process:", "webhooks_refused")


def upgrade() -> None:
    _count()
    alerts = sa.table("alerts", sa.column("cause"), sa.column("tenant"))
    of_nobody = sa.or_(*(alerts.c.cause.startswith(each, autoescape=True) for each in _OF_THE_INSTALLATION))
    op.execute(sa.update(alerts).where(alerts.c.tenant == "", ~of_nobody).values(tenant="default"))


def _count() -> None:
    """As far as the ledger was counted by kind; afterwards nobody reads that tally."""
    facts = sa.table("facts", sa.column("name"), sa.column("value"))
    ledger = sa.table("ledger", sa.column("id"), sa.column("connection"), sa.column("kind"))
    bind, is_it = op.get_bind(), facts.c.name == "tally.ledger"
    value = bind.execute(sa.select(facts.c.value).where(is_it)).scalar()
    if not value:
        return
    kept = json.loads(value)
    place = (ledger.c.connection, ledger.c.kind)
    counts = sa.select(*place, sa.func.count()).where(ledger.c.id < kept["until"]).group_by(*place).order_by(*place)
    kept["counts"] = [list(row) for row in bind.execute(counts)]
    bind.execute(sa.update(facts).where(is_it).values(name="tally.ledger_by_connection", value=json.dumps(kept)))
