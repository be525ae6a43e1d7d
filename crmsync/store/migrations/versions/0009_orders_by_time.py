"""Orders are found by when they were asked for: they are compared with the ERP."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    is_order = sa.text("kind = 'order'")
    op.create_index("ix_ledger_orders_sent_at", "ledger", ["sent_at"], sqlite_where=is_order, postgresql_where=is_order)
