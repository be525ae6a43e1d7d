"""What one person proposes and another confirms; who stands behind a token, a session and a name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from crmsync.store.tables import Amount, Instant

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _approvals()
    op.add_column("users", sa.Column("identity", sa.String(length=64)))
    op.create_index("uq_users_identity", "users", ["identity"], unique=True)
    op.add_column("sessions", sa.Column("proof", sa.String(length=80), nullable=False, server_default=""))
    op.add_column("api_tokens", sa.Column("person", sa.String(length=100), nullable=False, server_default=""))
    _people_behind_tokens()


def _approvals() -> None:
    op.create_table(
        "approvals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.String(length=40), nullable=False),
        sa.Column("letter_id", sa.Integer(), nullable=False),
        sa.Column("decision", sa.String(length=20), nullable=False),
        sa.Column("answers", sa.JSON(), nullable=False),
        sa.Column("asked", sa.String(length=64), nullable=False),
        sa.Column("amount", Amount()),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("proposed_by", sa.String(length=100), nullable=False),
        sa.Column("proposed_at", Instant(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("decided_by", sa.String(length=100), nullable=False, server_default=""),
        sa.Column("decided_at", Instant()),
        sa.PrimaryKeyConstraint("id", name="pk_approvals"),
    )
    waits = sa.text("status = 'waiting'")
    op.create_index(
        "uq_approvals_waiting", "approvals", ["letter_id"], unique=True, sqlite_where=waits, postgresql_where=waits
    )


def _people_behind_tokens() -> None:
    """A token that a token may have made is nobody's: only the maker's name is known, and both have names."""
    op.execute(
        "UPDATE api_tokens SET person = lower(created_by)"
        " WHERE lower(created_by) NOT IN (SELECT lower(maker.name) FROM api_tokens AS maker)"
    )
    op.execute("UPDATE sessions SET proof = (SELECT CAST(version AS VARCHAR(20)) FROM users WHERE name = sessions.name)"
               " WHERE name IN (SELECT name FROM users)")  # fmt: skip
