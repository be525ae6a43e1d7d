"""Cases from the field, T9: the sign-in names the new address late, never, or one that is not to be trusted."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest
from sqlalchemy import select

from crmsync import errors
from crmsync.connectors.limits import breaker
from crmsync.connectors.limits.breaker import GuardedBudget, SharedBreaker
from crmsync.connectors.limits.budget import UNLIMITED
from crmsync.connectors.salesforce import organization
from crmsync.domain.breaker import FailedCall
from crmsync.services import Services
from crmsync.store.tables import alerts
from tests.fakes import FakeClock
from tests.field.raw_server import RawServer, Script
from tests.field.test_vendor_edges import OLD_ADDRESS, WRITTEN, Moved
from tests.field.vendors import Signed, salesforce, write_back

SURELY = {name: old for name, old in OLD_ADDRESS.items() if name != "401" and "page" not in name}


@pytest.mark.parametrize("old", SURELY.values(), ids=SURELY)
def test_T9__a_sign_in_that_still_names_the_old_address_is_waited_for(
    old: tuple[Script, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(organization, "time", SimpleNamespace(monotonic=lambda: now))
    with RawServer(*old) as before, RawServer(WRITTEN) as after:
        sign_in = Signed(before.url)
        crm = salesforce(before.url, authorizer=sign_in)
        for seconds in (0, 1, 11, 12):
            now = 1000.0 + seconds
            with pytest.raises(errors.NotNowError):
                write_back(crm)
        assert sign_in.renewals == 2, "one in ten seconds"

        crm._organization._authorizer = Moved(before.url, after.url)
        now += 11
        write_back(crm)

    assert len(after.requests) == 1


@pytest.mark.parametrize("old", SURELY.values(), ids=SURELY)
def test_T9__an_address_that_is_never_named_is_told_once_and_found_by_who_looks(
    services: Services, clock: FakeClock, old: tuple[Script, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "BELIEVED_SECONDS", -1.0)
    monkeypatch.setattr(organization, "time", SimpleNamespace(monotonic=lambda: clock.now.timestamp()))
    watched = SharedBreaker("salesforce", "Salesforce", services._breakers())
    with RawServer(*old) as before, RawServer(WRITTEN) as after:
        sign_in = Moved(before.url, before.url)
        crm = salesforce(before.url, GuardedBudget(UNLIMITED, watched), sign_in)
        for _ in range(60):
            with pytest.raises((errors.NotNowError, errors.AccountRefusedError)):
                write_back(crm)
            clock.advance(10)
        assert len(before.requests) < 40

        sign_in._new = after.url
        for _ in range(60):
            clock.advance(10)
            with contextlib.suppress(errors.NotNowError, errors.AccountRefusedError):
                write_back(crm)

    assert len(after.requests) > 1
    with services.store.read() as uow:
        (told,) = uow.connection.execute(select(alerts)).all()
    assert "SF_LOGIN_URL" in told.content["cause"]
    assert told.closed_at is not None, "and it answers again"


def test_T9__who_finds_the_new_address_looks_there_although_the_breaker_is_open(
    services: Services, clock: FakeClock
) -> None:
    with RawServer(*OLD_ADDRESS["a page, 404"]) as before, RawServer(WRITTEN) as after:
        watched = SharedBreaker("salesforce", "Salesforce", services._breakers())
        crm = salesforce(before.url, GuardedBudget(UNLIMITED, watched), Moved(before.url, after.url))
        for _ in range(services.settings.behaviour.breaker_failures):
            watched.failed(FailedCall(is_probe=False))
        with pytest.raises(errors.NotNowError):
            write_back(crm)
        clock.advance(60)

        write_back(crm)

    assert len(after.requests) == 1
    with services.store.read() as uow:
        assert not [each for each in uow.breakers.all(None) if each.is_open]


def test_T9__an_untrusted_address_belongs_to_the_account_and_is_asked_for_anew() -> None:
    with RawServer(WRITTEN) as after:
        with pytest.raises(errors.AccountRefusedError, match="sends no credentials"):
            write_back(salesforce(after.url, authorizer=Signed("https://evil.example.com")))
        write_back(salesforce(after.url, authorizer=Moved("https://evil.example.com", after.url)))

    assert len(after.requests) == 1
