"""One running sandbox for all tests of it, as new before each."""

import copy
from collections.abc import Iterator

import pytest

from crmsync.lab.sandbox import Sandbox
from tests.sandbox.clients import BooksClient, CrmClient, ErpClient


@pytest.fixture(scope="session")
def running() -> Iterator[Sandbox]:
    with Sandbox(seed=7) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Iterator[Sandbox]:
    profiles = (running.profile.salesforce, running.profile.sap, running.profile.zoho)
    kept = [copy.deepcopy(vars(profile)) for profile in profiles]
    running.reset()
    yield running
    for profile, values in zip(profiles, kept, strict=True):
        vars(profile).update(values)


@pytest.fixture
def crm(sandbox: Sandbox) -> Iterator[CrmClient]:
    with CrmClient(sandbox) as client:
        yield client


@pytest.fixture
def erp(sandbox: Sandbox) -> Iterator[ErpClient]:
    with ErpClient(sandbox) as client:
        yield client


@pytest.fixture
def books(sandbox: Sandbox) -> Iterator[BooksClient]:
    with BooksClient(sandbox) as client:
        yield client
