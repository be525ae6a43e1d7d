"""The records that are linked: links of customers and the documents of the ledger, as one list."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, or_, select

from crmsync.domain.ledger import number_of
from crmsync.store import UnitOfWork
from crmsync.store.owners import Owners, is_owned
from crmsync.store.tables import ledger, links

CUSTOMER, ORDER, INVOICE = "customer", "order", "invoice"
RECORD_TYPES = (CUSTOMER, ORDER, INVOICE)
LINKED = "linked"

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class RecordRow:
    """*place* is where it stands in the list: links before documents, newest first."""

    tenant: str
    type: str
    connection: str
    source_key: str
    target_key: str
    number: str
    status: str
    origin: str
    run_id: str
    created_at: datetime
    place: Place


def records(
    uow: UnitOfWork,
    tenant: str | None,
    *,
    record_type: str = "",
    key: str = "",
    status: str = "",
    after: Place | None = None,
    limit: int,
) -> list[RecordRow]:
    """The records of a tenant after a place in the list, with that *key* here or there; None: of all tenants."""
    found: list[RecordRow] = []
    if record_type in ("", CUSTOMER) and status in ("", LINKED) and (after is None or after[0] == "link"):
        found = _links(uow, tenant, key, after[1] if after else 0, limit)
    if len(found) >= limit or record_type == CUSTOMER or status == LINKED:
        return found
    place = after[1] if after and after[0] == "ledger" else 0
    return found + _documents(uow, tenant, record_type, key, status, place, limit - len(found))


def _links(uow: UnitOfWork, tenant: str | None, key: str, before: int, limit: int) -> list[RecordRow]:
    query = select(links).where(is_owned(tenant, links.c.source)).order_by(links.c.id.desc()).limit(limit)
    if key:
        query = query.where(or_(links.c.crm_key == key, links.c.key == key))
    if before:
        query = query.where(links.c.id < before)
    return [
        RecordRow(
            tenant=uow.owners.tenant_of(row.source),
            type=row.record_type,
            connection=row.connection,
            source_key=row.crm_key,
            target_key=row.key,
            number=row.key,
            status=LINKED,
            origin=row.origin,
            run_id="",
            created_at=row.created_at,
            place=("link", row.id),
        )
        for row in uow.connection.execute(query)
    ]


def _documents(
    uow: UnitOfWork,
    tenant: str | None,
    kind: str,
    key: str,
    status: str,
    before: int,
    limit: int,
) -> list[RecordRow]:
    query = select(ledger).where(is_owned(tenant, ledger.c.connection)).order_by(ledger.c.id.desc()).limit(limit)
    for column, value in ((ledger.c.kind, kind), (ledger.c.state, status)):
        if value:
            query = query.where(column == value)
    if key:
        query = query.where(or_(ledger.c.reference == key, ledger.c.document_key == key))
    if before:
        query = query.where(ledger.c.id < before)
    return [_document(row, uow.owners) for row in uow.connection.execute(query)]


def _document(row: Row[Any], owners: Owners) -> RecordRow:
    return RecordRow(
        tenant=owners.tenant_of(row.connection),
        type=row.kind,
        connection=row.connection,
        source_key=row.reference,
        target_key=row.document_key or "",
        number=number_of(row.document or {}),
        status=row.state,
        origin="created",
        run_id=row.run_id,
        created_at=row.created_at,
        place=("ledger", row.id),
    )
