"""What people were told of stock and of dead letters, and the numbers under which they look for things."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# Beginnings of causes that are none of a dead letter's.
_OTHERS = ("account:", "held:", "inventory:", "order:", "process:", "silence:", "stranded:", "watch:", "webhooks_")


def upgrade() -> None:
    op.add_column("products", sa.Column("told_low", sa.Boolean()))
    op.execute("UPDATE products SET told_low = held_low")  # so far people were told what had been written
    _add_numbers()
    op.add_column("dead_letters", sa.Column("alert_cause", sa.String(200), nullable=False, server_default=""))
    op.create_index("ix_dead_letters_alert_cause", "dead_letters", ["alert_cause"])
    op.add_column("alerts", sa.Column("is_stale", sa.Boolean(), nullable=False, server_default=sa.false()))
    _fold_alerts(op.get_bind())


def _add_numbers() -> None:
    """Documents by what people call them, in capitals and without zeros in front; deals by their account."""
    op.add_column("ledger", sa.Column("document_number", sa.String(100)))
    op.add_column("runs", sa.Column("customer_key", sa.String(40), nullable=False, server_default=""))
    if op.get_bind().dialect.name == "postgresql":
        number, customer = "document ->> 'number'", "results #>> '{fetch_deal,customer,key}'"
    else:
        number, customer = "json_extract(document, '$.number')", "json_extract(results, '$.fetch_deal.customer.key')"
    op.execute(f"UPDATE ledger SET document_number = ltrim(upper({number}), '0') WHERE state = 'confirmed'")  # noqa: S608
    op.execute(f"UPDATE runs SET customer_key = {customer} WHERE {customer} IS NOT NULL")  # noqa: S608
    op.create_index("ix_ledger_document_number", "ledger", ["document_number"])
    op.create_index("ix_runs_customer_key", "runs", ["customer_key"])
    op.create_index("ix_runs_correlation_id", "runs", ["correlation_id"])


def _fold_alerts(bind: sa.Connection) -> None:
    """Open alerts get the causes of today; what the sweeper finds solved it closes."""
    alerts = sa.table("alerts", *map(sa.column, ("id", "cause", "closed_at", "updated_at")))
    letters = sa.table("dead_letters", *map(sa.column, ("id", "run_id", "step", "status", "alert_cause", "kind")))
    breakers = sa.table("breakers", *map(sa.column, ("connection", "system")))
    systems = dict(bind.execute(sa.select(breakers.c.connection, breakers.c.system)).all())
    waiting = bind.execute(sa.select(letters).where(letters.c.status.in_(("waiting", "replaying")))).all()
    for alert in bind.execute(sa.select(alerts).where(alerts.c.closed_at.is_(None))).all():
        family, _, rest = alert.cause.partition(":")
        mine = sa.update(alerts).where(alerts.c.id == alert.id)
        if family == "breaker":
            bind.execute(mine.values(cause=f"outage:{systems.get(rest) or rest}"))
        elif family == "closed":
            bind.execute(mine.values(closed_at=alerts.c.updated_at))
        elif not alert.cause.startswith(_OTHERS):
            cause = f"letters:{alert.cause}"[:200]
            bind.execute(mine.values(cause=cause))
            ids = [
                letter.id
                for letter in waiting
                if letter.step == family and (letter.kind == "failure" or alert.cause.endswith(letter.run_id))
            ]
            bind.execute(sa.update(letters).where(letters.c.id.in_(ids)).values(alert_cause=cause))
