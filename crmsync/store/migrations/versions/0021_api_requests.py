"""Writes by the API, each with its key and its answer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from crmsync.store.tables import Instant

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_requests",
        sa.Column("caller", sa.String(length=20), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), server_default="0", nullable=False),
        sa.Column("answer", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("caller", "key", name="pk_api_requests"),
    )
    op.create_index("ix_api_requests_created_at", "api_requests", ["created_at"])
