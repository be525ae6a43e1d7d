"""Stores as earlier releases left them, made by their own migrations."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import text

import crmsync.store
from crmsync.store import Store

MIGRATIONS = Path(crmsync.store.__file__).with_name("migrations")


def migrate_to(store: Store, revision: str) -> None:
    """The tables of an empty database as the release of that migration has them."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with store.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def insert(store: Store, table: str, **values: Any) -> None:
    """A row, as any release may have written it."""
    with store.engine.begin() as connection:
        connection.execute(text(_statement(table, values)), values)


def _statement(table: str, values: Mapping[str, Any]) -> str:
    names, parameters = ", ".join(values), ", ".join(f":{name}" for name in values)
    return f"INSERT INTO {table} ({names}) VALUES ({parameters})"


def instant(store: Store, at: datetime) -> str:
    """As crmsync's own type writes it: SQLite knows no zones."""
    return at.strftime("%Y-%m-%d %H:%M:%S.%f") if store.is_sqlite else at.isoformat()


def insert_run(store: Store, flow: str, subject_key: str, *, step: str, at: datetime, **values: Any) -> str:
    """A run of a release before tenants. Returns its id."""
    run_id = uuid.uuid4().hex
    stamp = instant(store, at)
    texts = {"status": "active", "title": "", "currency": "", "correlation_id": "c", "customer_key": ""}
    learned = {"results": {}, "answers": {}, "progress": {}}
    given = {**texts, **learned, "fence": 1, "attempts": 0, "starts": 0, **values}
    known = {name: json.dumps(value) if name in learned else value for name, value in given.items()}
    stamps = dict.fromkeys(("created_at", "updated_at", "due_at"), stamp)
    insert(store, "runs", id=run_id, flow=flow, subject_key=subject_key, step=step, **stamps, **known)
    return run_id
