"""A rehearsal at the one place where calls leave: reads go out, a write never does."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest
import responses

from crmsync.connectors.kit.http import VendorClient
from crmsync.connectors.kit.rehearsal import WouldWriteError, rehearsal
from crmsync.connectors.way_out.lease import deadline
from crmsync.connectors.way_out.transport import new_session

URL = "https://books.test/books/v3/invoices"
SECRETS = {"Authorization": "Bearer s3cret", "x-csrf-token": "s3cret", "Cookie": "SAP=s3cret"}


class Credentials:
    """Counts how often it was asked to sign in."""

    asked = 0

    def headers(self):
        self.asked += 1
        return {"Authorization": "Bearer s3cret"}

    def renew(self, stale):
        return False


@pytest.fixture
def credentials():
    return Credentials()


@pytest.fixture
def client(credentials):
    return VendorClient(
        system="Books", session=new_session(), authorizer=credentials, explain=lambda reply: None, call_seconds=5
    )


@responses.activate
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_read_goes_out(client, method):
    responses.add(method, URL, body="{}" if method == "GET" else "")

    with rehearsal():
        client.call("read", method, URL)

    assert len(responses.calls) == 1


@responses.activate
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "post"])
def test_a_write_is_shown_as_it_would_be_sent_and_never_is(client, credentials, method):
    headers = {**SECRETS, "X-Upsert": "true"}
    with rehearsal(), pytest.raises(WouldWriteError) as caught:
        client.call("create", method, URL, params={"send": "false"}, json={"rate": Decimal("235.10")}, headers=headers)

    write = caught.value.write
    assert (write.operation, write.method, write.url) == ("create", method, f"{URL}?send=false")
    assert write.body == {"rate": 235.1}
    assert write.headers == {"X-Upsert": "true", "Content-Type": "application/json"}
    assert "s3cret" not in repr(write) + str(caught.value)
    assert (len(responses.calls), credentials.asked) == (0, 0)


@pytest.mark.parametrize(("body", "shown"), [(b"Id,Stock\n1,2\n", "Id,Stock\n1,2\n"), (None, None)])
def test_a_body_that_is_no_json_is_shown_as_it_is(client, body, shown):
    with rehearsal(), pytest.raises(WouldWriteError) as caught:
        client.call("upload", "PUT", URL, data=body)

    assert caught.value.write.body == shown


@responses.activate
def test_after_it_writes_go_out_again(client):
    responses.add("POST", URL, json={})
    with rehearsal(), pytest.raises(WouldWriteError):
        client.call("create", "POST", URL)

    client.call("create", "POST", URL)

    assert len(responses.calls) == 1


def test_a_worker_can_not_rehearse():
    with deadline(time.monotonic() + 60), pytest.raises(RuntimeError), rehearsal():
        pytest.fail("a step ran in a rehearsal")
