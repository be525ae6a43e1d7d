"""The vendor's own words with a dead letter, sealed; and which operations a breaker holds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dead_letters", sa.Column("words", sa.Text(), nullable=False, server_default=""))
    op.add_column("breakers", sa.Column("operations", sa.String(length=300), nullable=False, server_default=""))
