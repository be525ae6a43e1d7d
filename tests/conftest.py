"""What every test may use: an environment without surprises, a real store, a real Redis."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import hypothesis
import pytest
from sqlalchemy.engine import make_url

from crmsync.store import Store, schema
from tests.system import database

# No test is timed: a machine that is busy makes an example slow, not wrong.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

_migrate = schema.migrate
_template = Path(tempfile.mkdtemp(prefix="crmsync-template-"), "crmsync.db")
atexit.register(shutil.rmtree, _template.parent, ignore_errors=True)


def _migrate_a_copy(store: Store) -> None:
    """Thousands of tests begin with an empty database: an empty file becomes a copy of one that was migrated once."""
    path = Path(make_url(store.url).database or "") if store.is_sqlite else None
    if path is not None and path.parent.is_dir() and not (path.exists() and path.stat().st_size):
        if not _template.exists():
            with closing(Store(f"sqlite:///{_template}")) as first:
                _migrate(first)
        shutil.copyfile(_template, path)
        path.chmod(0o600)
    _migrate(store)


schema.migrate = _migrate_a_copy

# What a developer's shell may hold and a test must not see.
_PREFIXES = ("CRMSYNC_", "SF_", "SAP_", "ZOHO_", "SLACK_", "CELERY_", "FLOWER_")
_NAMES = ("DATABASE_URL", "REDIS_URL", "PORT", "APP", "BROKER_URL", "LOADER")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of crmsync but a state directory of the test's own."""
    for name in list(os.environ):
        if name.startswith(_PREFIXES) or name in _NAMES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("CRMSYNC_HOME", str(tmp_path / "home"))


@pytest.fixture
def database_url(tmp_path: Path) -> Iterator[str]:
    with database(tmp_path) as url:
        yield url


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = Store(database_url)
    schema.migrate(store)
    yield store
    store.close()
