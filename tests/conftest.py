"""What every test may use: an environment without surprises, a real store, a real Redis."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from crmsync.store import Store, schema

# What a developer's shell may hold and a test must not see.
_PREFIXES = ("CRMSYNC_", "SF_", "SAP_", "ZOHO_", "SLACK_", "CELERY_", "FLOWER_")
_NAMES = ("DATABASE_URL", "REDIS_URL", "PORT", "APP", "BROKER_URL", "LOADER")

TEST_DATABASE_URL = os.environ.get("CRMSYNC_TEST_DATABASE_URL", "")
TEST_REDIS_URL = os.environ.get("REDIS_URL", "")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of crmsync but a state directory of the test's own."""
    for name in list(os.environ):
        if name.startswith(_PREFIXES) or name in _NAMES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("CRMSYNC_HOME", str(tmp_path / "home"))


@pytest.fixture
def database_url(tmp_path: Path) -> Iterator[str]:
    """An empty database: SQLite, or a schema of its own in CRMSYNC_TEST_DATABASE_URL."""
    if not TEST_DATABASE_URL:
        yield f"sqlite:///{tmp_path / 'crmsync.db'}"
        return
    name = f"t_{uuid.uuid4().hex[:12]}"
    engine = create_engine(TEST_DATABASE_URL, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    separator = "&" if "?" in TEST_DATABASE_URL else "?"
    yield f"{TEST_DATABASE_URL}{separator}options=-csearch_path%3D{name}"
    with engine.connect() as connection:
        connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
    engine.dispose()


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = Store(database_url)
    schema.migrate(store)
    yield store
    store.close()
