"""Invoices are found by when they were asked for: they are compared with the books."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    is_so = sa.text("kind = 'invoice'")
    op.create_index("ix_ledger_invoices_sent_at", "ledger", ["sent_at"], sqlite_where=is_so, postgresql_where=is_so)
