"""A link for each currency of a customer where the other system bills it in one only; who made it, and whose name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_NEW = {"currency": 3, "name": 200, "city": 100, "linked_by": 100}


def upgrade() -> None:
    """What was linked before has no currency yet: it is looked up when a deal first needs it."""
    with op.batch_alter_table("links") as table:
        for name, length in _NEW.items():
            table.add_column(sa.Column(name, sa.String(length=length), nullable=False, server_default=""))
        table.drop_constraint(op.f("uq_links_connection_record_type_crm_key"), type_="unique")
        table.create_unique_constraint(
            op.f("uq_links_connection_record_type_crm_key_currency"),
            ["connection", "record_type", "crm_key", "currency"],
        )
        table.create_index("ix_links_key", ["connection", "key"])
