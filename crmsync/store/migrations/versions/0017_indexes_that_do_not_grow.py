"""Indexes of what is under way, so that no question that is asked again and again reads what is over."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_NEEDLESS = {
    "ix_runs_status_due_at": "runs",
    "ix_deliveries_received_at": "deliveries",
    "ix_alerts_due_at": "alerts",
}
_WHOLE = {
    "ix_runs_created_at": ("runs", ["flow", "status", "created_at"]),
    "ix_deliveries_source_received_at": ("deliveries", ["source", "received_at"]),
}
_OF_SOME = {
    "ix_runs_not_done": ("runs", ["flow", "status", "step"], "status <> 'done'"),
    "ix_runs_due": ("runs", ["due_at", "queued_until", "lease_until"], "status = 'active'"),
    "ix_runs_given_back": ("runs", ["updated_at"], "status = 'active' AND due_at > updated_at"),
    "ix_runs_reduced": ("runs", ["flow", "updated_at"], "is_reduced"),
    "ix_ledger_made_again": ("ledger", ["kind", "sent_at"], "generation > 1"),
    "ix_ledger_not_confirmed": ("ledger", ["connection", "kind", "state"], "state <> 'confirmed'"),
    "ix_alerts_news": ("alerts", ["due_at"], "told < occurrences OR is_stale"),
    "ix_alerts_closed_at": ("alerts", ["closed_at"], "closed_at IS NOT NULL"),
}


def upgrade() -> None:
    for name, table in _NEEDLESS.items():
        op.drop_index(name, table)
    for name, (table, columns) in _WHOLE.items():
        op.create_index(name, table, columns)
    for name, (table, columns, which) in _OF_SOME.items():
        op.create_index(name, table, columns, sqlite_where=sa.text(which), postgresql_where=sa.text(which))
