"""Whose account each connection is; tokens know the credentials that brought them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from crmsync.store.tables import Instant

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("connection", sa.String(length=40), nullable=False),
        sa.Column("identity", sa.String(length=300), nullable=False),
        sa.Column("credentials", sa.String(length=64), nullable=False),
        sa.Column("met_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("connection", name=op.f("pk_accounts")),
    )
    # Tokens from before carry none: they are not used, and everybody signs in once more.
    op.add_column("tokens", sa.Column("credentials", sa.String(length=64), nullable=False, server_default=""))
