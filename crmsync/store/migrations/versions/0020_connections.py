"""Connections that people make."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from crmsync.store.tables import Instant

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "connections",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=40), nullable=False),
        sa.Column("system", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("auth_kind", sa.String(length=40), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("secrets", sa.Text(), nullable=False),
        sa.Column("secret_names", sa.JSON(), nullable=False),
        sa.Column("key_id", sa.String(length=12), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("sync_enabled", sa.Boolean(), nullable=False),
        sa.Column("interval_seconds", sa.Integer()),
        sa.Column("direction", sa.String(length=20), nullable=False),
        sa.Column("last_success_at", Instant()),
        sa.Column("last_error", sa.String(length=500), server_default="", nullable=False),
        sa.Column("last_error_at", Instant()),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_connections"),
        sa.UniqueConstraint("tenant", "name", name="uq_connections_tenant_name"),
    )
