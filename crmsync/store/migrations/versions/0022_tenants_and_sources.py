"""Everything that is remembered belongs to a tenant and to the connection that it comes from.

What an installation has so far belongs to the tenant of the environment, whose connections are named as before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from crmsync.store.tables import Instant

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_CRM, _ERP, _BOOKS = "salesforce", "s4hana", "zoho_books"
_SOURCES = {
    "compare_orders": _ERP,
    **dict.fromkeys(
        ("payment_to_invoices", "invoice_to_deal", "catch_up_payments", "compare_invoices"),
        _BOOKS,
    ),
}
"""The connection that the subjects of a flow come from, where that is not the CRM."""

_OLD_INDEXES = {
    "runs": ("ix_runs_created_at", "ix_runs_not_done", "ix_runs_due"),
    "applications": ("ix_applications_invoice_key",),
    "products": ("ix_products_is_active",),
}
_WHOLE = {
    "ix_runs_created_at": ("runs", ["tenant", "flow", "status", "created_at"]),
    "ix_applications_invoice_key": ("applications", ["invoice_key", "connection"]),
    "ix_products_is_active": ("products", ["connection", "is_active"]),
}
_OF_SOME = {
    "ix_runs_not_done": ("runs", ["flow", "status", "step", "tenant"], "status <> 'done'"),
    "ix_runs_due": ("runs", ["source", "due_at", "queued_until", "leased_until"], "status = 'active'"),
}


def upgrade() -> None:
    for table, names in _OLD_INDEXES.items():
        for name in names:
            op.drop_index(name, table)
    _runs()
    _links()
    _rekey("applications", ["payment_key", "invoice_key", "connection"], _BOOKS)
    _rekey("products", ["connection", "key"], _CRM)
    _rekey("tellings", ["connection", "deal"], _CRM)
    for name, (table, columns) in _WHOLE.items():
        op.create_index(name, table, columns)
    for name, (table, columns, which) in _OF_SOME.items():
        op.create_index(name, table, columns, sqlite_where=sa.text(which), postgresql_where=sa.text(which))
    for table, column in (("dead_letters", "connection"), ("alerts", "connection"), ("alerts", "tenant")):
        op.add_column(table, sa.Column(column, sa.String(length=40), nullable=False, server_default=""))
    if op.get_bind().dialect.name == "postgresql":  # SQLite counts no letters
        op.alter_column("deliveries", "source", type_=sa.String(length=100))
        op.alter_column("facts", "name", type_=sa.String(length=120))
    _bindings()
    _deliveries()
    _facts()


def _runs() -> None:
    op.add_column("runs", sa.Column("tenant", sa.String(length=40), nullable=False, server_default="default"))
    op.add_column("runs", sa.Column("source", sa.String(length=40), nullable=False, server_default=_CRM))
    runs = sa.table("runs", sa.column("flow"), sa.column("source"))
    for flow, source in _SOURCES.items():
        op.execute(sa.update(runs).where(runs.c.flow == flow).values(source=source))
    with op.batch_alter_table("runs") as table:
        table.alter_column("source", existing_type=sa.String(length=40), server_default=None)
        # A process of an earlier release, which knows no source, must not open a second run of a deal. It finds a
        # column missing in whatever it asks of runs, and does with them what it does without a database: it waits.
        table.alter_column("lease_until", new_column_name="leased_until")
        table.drop_constraint(op.f("uq_runs_flow_subject_key"), type_="unique")
        table.create_unique_constraint(op.f("uq_runs_flow_subject_key_source"), ["flow", "subject_key", "source"])


def _links() -> None:
    op.add_column("links", sa.Column("source", sa.String(length=40), nullable=False, server_default=_CRM))
    with op.batch_alter_table("links") as table:
        table.alter_column("source", existing_type=sa.String(length=40), server_default=None)
        table.drop_constraint(op.f("uq_links_connection_record_type_crm_key_currency"), type_="unique")
        table.create_unique_constraint(
            op.f("uq_links_connection_record_type_crm_key_source_currency"),
            ["connection", "record_type", "crm_key", "source", "currency"],
        )


def _rekey(name: str, key: Sequence[str], connection: str) -> None:
    """The rows of a table belong to *connection*, which is part of their new *key*."""
    op.add_column(name, sa.Column("connection", sa.String(length=40), nullable=False, server_default=connection))
    with op.batch_alter_table(name) as table:
        table.alter_column("connection", existing_type=sa.String(length=40), server_default=None)
        table.drop_constraint(f"pk_{name}", type_="primary")
        table.create_primary_key(f"pk_{name}", list(key))


def _bindings() -> None:
    op.create_table(
        "bindings",
        sa.Column("tenant", sa.String(length=40), nullable=False),
        sa.Column("flow", sa.String(length=60), nullable=False),
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "flow", "source", name="pk_bindings"),
    )


_CATCH_UP = "catch_up."


def _seen_at(source: str) -> str:
    """The name of what catch-up saw, with the connection where it was seen."""
    is_old = source.startswith(_CATCH_UP)
    return f"{source}.{_SOURCES.get(source.removeprefix(_CATCH_UP), _CRM)}" if is_old else source


def _deliveries() -> None:
    deliveries = sa.table("deliveries", sa.column("source"))
    for flow in ("order_to_invoice", "payment_to_invoices", "invoice_to_deal"):
        source = f"{_CATCH_UP}{flow}"
        op.execute(sa.update(deliveries).where(deliveries.c.source == source).values(source=_seen_at(source)))


def _facts() -> None:
    facts = sa.table("facts", sa.column("name"), sa.column("value"))
    bind = op.get_bind()
    for name, value in bind.execute(sa.select(facts.c.name, facts.c.value)).all():
        new = _renamed(name), _recounted(name, value)
        if new != (name, value):
            bind.execute(sa.update(facts).where(facts.c.name == name).values(name=new[0], value=new[1]))


def _renamed(name: str) -> str:
    """Of what there is one of each the name tells the connection.

    >>> _renamed("catch_up.catch_up_deals.until"), _renamed("period.inventory.3600"), _renamed("go_live")
    ('catch_up.catch_up_deals.salesforce.until', 'period.inventory.salesforce.3600', 'go_live')
    """
    ones = {
        "catalogue.whole_at": _CRM,
        "catalogue.read_at": _CRM,
        "burst.accepted_until": _CRM,
        "payments.foreign_invoices": _BOOKS,
    }
    if name in ones:
        return f"{name}.{ones[name]}"
    if name == "compare_orders.until":
        return f"compare_orders.{_ERP}.until"
    family, _, rest = name.partition(".")
    if family in ("period", "catch_up"):
        flow, _, what = rest.rpartition(".")
        return f"{family}.{flow}.{_SOURCES.get(flow, _CRM)}.{what}"
    return f"{family}.{_seen_at(rest)}" if family in ("gone", "gone_healed") else name


def _recounted(name: str, value: str) -> str:
    if name not in ("tally.runs", "tally.deliveries") or not value:
        return value
    kept = json.loads(value)
    if name == "tally.runs":
        kept["counts"] = [["default", *count] for count in kept["counts"]]
    else:
        kept["counts"] = [[_seen_at(source), *count] for source, *count in kept["counts"]]
    return json.dumps(kept)
