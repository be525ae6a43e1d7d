"""A real store where the commands look for it, and dead letters in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from click.testing import CliRunner, Result

from crmsync.cli.dead_letters import dead_letters
from crmsync.cli.main import cli
from crmsync.errors import CrmsyncError, VendorUnavailableError
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.store import Store, schema
from tests.builders import DEAL_KEY
from tests.fakes import FakeCustomers, start_run

Bury = Callable[..., int]


@pytest.fixture
def store() -> Iterator[Store]:
    """The store that a command without configuration opens."""
    made = Store(Settings.from_env().database_url)
    schema.migrate(made)
    yield made
    made.close()


@pytest.fixture
def run_cli() -> Callable[..., Result]:
    """Run `crmsync …` as a person would; stdin is no terminal."""
    return lambda *words: CliRunner().invoke(cli, words)


@pytest.fixture
def systems(monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeCustomers]:
    """The CRM, the ERP and the books, which know every account and customer number."""
    made = {
        "salesforce": FakeCustomers("Salesforce"),
        "s4hana": FakeCustomers("SAP S/4HANA"),
        "zoho_books": FakeCustomers("Zoho Books", one_currency=True),
    }
    monkeypatch.setattr(Services, "connector", lambda self, connection, role="": made[connection])
    return made


@pytest.fixture
def run_letters() -> Callable[..., Result]:
    """Run `celery -A crmsync dead-letters …`; `answer` is typed into it."""
    return lambda *words, answer=None: CliRunner().invoke(dead_letters, words, input=answer)


@pytest.fixture
def bury(store: Store) -> Bury:
    """Make a run that died at *step*, and return the id of its dead letter; *read* says whether its deal was read."""

    def make(
        key: str = DEAL_KEY, error: CrmsyncError | None = None, *, step: str = "create_order", read: bool = True
    ) -> int:
        error = error or VendorUnavailableError("SAP answered 503.", system="SAP S/4HANA", code="503")
        with store.begin() as uow:
            first = "fetch_deal" if read else step
            run_id, _ = start_run(
                uow, "order_to_invoice", key, step=first, correlation_id="c" * 32, queued_until=uow.now
            )
            if read:
                _finish(uow, uow.runs.claim(run_id, first, lease_seconds=60), step)
            run = uow.runs.claim(run_id, step, lease_seconds=60)
            uow.runs.stop(run, title=None, amount=None, currency=None)
            uow.history.note(run, "stopped", started_at=uow.now, detail=str(error))
            return uow.dead_letters.add(run, error)[0].id

    return make


def _finish(uow: Any, run: Any, next_step: str) -> None:
    uow.runs.finish_step(
        run,
        {"customer": {"key": "001xx000003dgb2AAA"}},
        next_step=next_step,
        queued_until=uow.now,
        title="Acme Ltd – 200 sensors",
        amount=Decimal("47000.00"),
        currency="USD",
    )
    uow.history.note(run, "done", started_at=uow.now)
