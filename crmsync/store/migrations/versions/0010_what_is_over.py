"""Which runs are reduced to what must stay of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_OVER = sa.text("status IN ('done', 'discarded') AND NOT is_reduced")


def upgrade() -> None:
    op.add_column("runs", sa.Column("is_reduced", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index("ix_runs_over", "runs", ["updated_at"], postgresql_where=_OVER, sqlite_where=_OVER)
