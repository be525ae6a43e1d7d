"""Why a breaker is open, whose it is, and when it last closed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from crmsync.store.tables import Instant

revision = "0006"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("breakers", sa.Column("system", sa.String(length=40), nullable=False, server_default=""))
    op.add_column("breakers", sa.Column("reason", sa.String(length=300), nullable=False, server_default=""))
    op.add_column("breakers", sa.Column("closed_at", Instant(), nullable=True))
