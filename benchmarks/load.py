"""Posts webhooks as fast as a receiver takes them: raw sockets, kept alive, one a thread."""

from __future__ import annotations

import hashlib
import hmac
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

ANSWER_SECONDS = 90.0
DEAL_PATH = "/webhook/salesforce/deal-closed"


def signed(url: str, deal_id: str, secret: str, *, path: str = DEAL_PATH) -> bytes:
    """The bytes of the webhook of a won deal."""
    body = b'{"opportunityId":"%s"}' % deal_id.encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nContent-Type: application/json\r\n"
        f"X-Crmsync-Signature: sha256={signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def post_all(url: str, requests: Sequence[bytes], *, threads: int = 16) -> float:
    """Post each request once. Returns the seconds that it took. Raises: RuntimeError for an answer but 200."""
    started_at = time.perf_counter()
    answers = post_each(url, requests, threads=threads)
    seconds = time.perf_counter() - started_at
    if refused := set(answers) - {200}:
        raise RuntimeError(f"the receiver answered {sorted(refused)}")
    return seconds


def post_each(url: str, requests: Sequence[bytes], *, threads: int) -> list[int]:
    """Post each request once. Returns the status of each, in their order."""
    answers = [0] * len(requests)

    def post_share(start: int) -> None:
        share = range(start, len(requests), threads)
        for number, status in zip(share, _post_share(url, [requests[each] for each in share]), strict=True):
            answers[number] = status

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(post_share, range(threads)))
    return answers


def _post_share(url: str, requests: Sequence[bytes]) -> Iterator[int]:
    connection: socket.socket | None = None
    for request in requests:
        connection = connection or _connect(url)
        connection.sendall(request)
        status, is_open = _read_answer(connection)
        if not is_open:
            connection.close()
            connection = None
        yield status
    if connection is not None:
        connection.close()


def _connect(url: str) -> socket.socket:
    address = urlsplit(url)
    connection = socket.create_connection((address.hostname, address.port), timeout=ANSWER_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _read_answer(connection: socket.socket) -> tuple[int, bool]:
    """The status, and whether the connection may be used again."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _received(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    size = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
    while len(body) < size:
        body += _received(connection)
    return int(lines[0].split()[1]), b"connection: close" not in lines


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise RuntimeError("the receiver closed the connection")
    return data
