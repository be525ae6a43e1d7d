"""How a worker asks its broker."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from kombu import Connection

from crmsync.worker.intake import Channel, Transport


@pytest.fixture
def channel(valkey_url: str) -> Iterator[Channel]:
    with Connection(valkey_url, transport=Transport) as connection:
        yield connection.channel()


def test_a_channel_has_one_client_for_all_that_it_asks(channel):
    with channel.conn_or_acquire() as one, channel.conn_or_acquire() as other:
        assert one is other


def test_a_client_or_a_pipeline_that_is_there_already_is_used(channel):
    with channel.conn_or_acquire() as shared, channel.conn_or_acquire(shared) as given:
        assert given is shared


def test_threads_that_share_the_client_get_their_own_answers(channel):
    def echoed(number: int) -> bool:
        with channel.conn_or_acquire() as client:
            return client.echo(str(number)) == str(number).encode()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(echoed, range(200)))


def test_a_new_pool_has_a_client_of_its_own(channel):
    with channel.conn_or_acquire() as before:
        channel._disconnect_pools()  # as kombu does after a fork, and when it connects again

    with channel.conn_or_acquire() as after:
        assert after is not before
        assert after.ping()
