"""Services over a real store whose clock is told the time."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from crmsync import services as process
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.store import Store, schema
from tests.fakes import FakeClock, FakeMessenger


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def messenger() -> FakeMessenger:
    return FakeMessenger()


@pytest.fixture
def services(database_url: str, clock: FakeClock, messenger: FakeMessenger) -> Iterator[Services]:
    """This process's services: what a task gets."""
    store = Store(database_url, clock=clock)
    schema.migrate(store)
    made = Services(Settings.from_env(os.environ), store, messenger=messenger)
    before = process.use(made)
    yield made
    process.use(before)
    store.close()
