"""Payments, stock, and runs that look again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from crmsync.store.tables import Amount, Instant

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("progress", sa.JSON(), nullable=False, server_default="{}"))
        batch_op.add_column(sa.Column("again", sa.Boolean(), nullable=False, server_default=sa.false()))
    _make_deliveries_anew()
    with op.batch_alter_table("ledger", schema=None) as batch_op:
        batch_op.add_column(sa.Column("document_key", sa.String(length=100), nullable=True))
        batch_op.create_index("ix_ledger_document", ["connection", "kind", "document_key"], unique=False)
    _fill_document_keys()

    op.create_table(
        "applications",
        sa.Column("payment_key", sa.String(length=40), nullable=False),
        sa.Column("invoice_key", sa.String(length=40), nullable=False),
        sa.Column("paid_on", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("payment_key", "invoice_key", name=op.f("pk_applications")),
    )
    with op.batch_alter_table("applications", schema=None) as batch_op:
        batch_op.create_index("ix_applications_invoice_key", ["invoice_key"], unique=False)

    op.create_table(
        "products",
        sa.Column("key", sa.String(length=40), nullable=False),
        sa.Column("code", sa.String(length=255), nullable=False),
        sa.Column("matching", sa.String(length=255), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("seen_at", Instant(), nullable=False),
        sa.Column("is_known", sa.Boolean(), nullable=True),
        sa.Column("held_available", Amount(), nullable=True),
        sa.Column("held_low", sa.Boolean(), nullable=True),
        sa.Column("wanted_available", Amount(), nullable=True),
        sa.Column("wanted_low", sa.Boolean(), nullable=True),
        sa.Column("problem", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_products")),
    )
    with op.batch_alter_table("products", schema=None) as batch_op:
        batch_op.create_index("ix_products_is_active", ["is_active"], unique=False)


def _make_deliveries_anew() -> None:
    """With a small key: a random one costs every webhook a page of an index."""
    op.execute("CREATE TABLE old_deliveries AS SELECT source, event_key, subject_key, received_at FROM deliveries")
    op.drop_table("deliveries")
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("event_key", sa.String(length=100), nullable=True),
        sa.Column("subject_key", sa.String(length=100), nullable=False),
        sa.Column("received_at", Instant(), nullable=False),
        sa.Column("is_healed", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("source", "event_key", name=op.f("uq_deliveries_source_event_key")),
    )
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.create_index("ix_deliveries_received_at", ["received_at"], unique=False)
        batch_op.create_index("ix_deliveries_subject", ["source", "subject_key"], unique=False)
    op.execute(
        "INSERT INTO deliveries (source, event_key, subject_key, received_at) "
        "SELECT source, event_key, subject_key, received_at FROM old_deliveries"
    )
    op.drop_table("old_deliveries")


def _fill_document_keys() -> None:
    """Documents that were made before: payments on their invoices must find them."""
    ledger = sa.table(
        "ledger", sa.column("id", sa.Integer), sa.column("document", sa.JSON), sa.column("document_key", sa.String)
    )
    connection = op.get_bind()
    for row in connection.execute(sa.select(ledger.c.id, ledger.c.document)).all():
        key = (row.document or {}).get("key")
        if key:
            connection.execute(sa.update(ledger).where(ledger.c.id == row.id).values(document_key=str(key)))
