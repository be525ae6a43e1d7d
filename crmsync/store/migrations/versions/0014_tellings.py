"""What stuck deals say of it in the CRM; and which fields a dead letter is about."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from crmsync.store.tables import Instant

revision = "0014"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dead_letters", sa.Column("field_errors", sa.JSON(), nullable=False, server_default="{}"))
    op.create_table(
        "tellings",
        sa.Column("deal", sa.String(length=100), nullable=False),
        sa.Column("status", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.String(length=255), nullable=False),
        sa.Column("told_at", Instant()),
        sa.Column("changed_at", Instant()),
        sa.Column("looked_at", Instant(), nullable=False),
        sa.Column("is_refused", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("deal", name="pk_tellings"),
    )
