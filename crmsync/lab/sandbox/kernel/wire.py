"""How an answer travels when the line is bad: cut, stalled, garbled, without an end, or a byte at a time.

An answer is sent in pieces with a pause between them; after the last piece the connection is closed, reset, or held
until the caller hangs up.
"""

import gzip
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat

CUTS = ("cut", "reset", "stall")
KINDS = (*CUTS, "unended", "endless", "garbled", "bomb", "trickle")
PLACES = ("status", "headers", "continue", "chunk", "trailer", "gzip", "body")
LONGEST_HOLD_SECONDS = 3600.0
MEBIBYTE = 1024 * 1024
NO_LENGTH = {"content-length", "transfer-encoding"}
EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"  # a block of deflate that holds nothing
GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"


@dataclass(frozen=True)
class Wire:
    """One way of travelling.

    `sent` is how many bytes of the body arrive before it is cut or stalls (None: half of them), `seconds` the pause
    between two pieces of a trickle, `place` where it trickles, `size` what a bomb unpacks to, packed `layers` times.
    """

    kind: str
    place: str = "body"
    seconds: float = 1.0
    sent: int | None = None
    size: int = 256 * MEBIBYTE
    layers: int = 1


@dataclass(frozen=True)
class Message:
    """An answer before it is sent: the status line, the header lines, and the body."""

    status: str
    headers: list[str]
    body: bytes

    def head(self, *more: str) -> bytes:
        return "\r\n".join([self.status, *self.headers, *more, "", ""]).encode("latin-1")

    def unmeasured(self, *more: str) -> bytes:
        """The head without a length, so that chunks may follow."""
        kept = [line for line in self.headers if line.partition(":")[0].lower() not in NO_LENGTH]
        return Message(self.status, kept, b"").head("Transfer-Encoding: chunked", *more)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def pieces(wire: Wire, message: Message) -> Iterator[bytes]:
    """The bytes of the answer, piece by piece; there may be no end to them."""
    if wire.kind == "trickle":
        return TRICKLES[wire.place](message)
    return (_cut if wire.kind in CUTS else SHAPES[wire.kind])(wire, message)


def _cut(wire: Wire, message: Message) -> Iterator[bytes]:
    """Less than was announced; where there is no body, the head itself is cut."""
    if not message.body:
        yield message.head()[:-2]
        return
    sent = len(message.body) // 2 if wire.sent is None else min(wire.sent, len(message.body) - 1)
    yield message.head() + message.body[:sent]


def _unended(wire: Wire, message: Message) -> Iterator[bytes]:
    yield message.unmeasured() + (chunk(message.body) if message.body else b"")


def _endless(wire: Wire, message: Message) -> Iterator[bytes]:
    yield message.unmeasured() + (chunk(message.body) if message.body else b"")
    yield from repeat(chunk(b" " * 65536))


def _garbled(wire: Wire, message: Message) -> Iterator[bytes]:
    body = message.body or b"plain"
    yield Message(message.status, message.headers, body).head("Content-Encoding: gzip") + body


def _bomb(wire: Wire, message: Message) -> Iterator[bytes]:
    yield message.unmeasured(f"Content-Encoding: {', '.join(['gzip'] * wire.layers)}")
    for part in _packed(wire.size, wire.layers):
        yield chunk(part)
    yield b"0\r\n\r\n"


def _packed(size: int, layers: int) -> Iterator[bytes]:
    """Blanks, packed: one mebibyte is packed once, and repeated as a block that needs nothing before it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(b" " * MEBIBYTE) + packer.flush(zlib.Z_FULL_FLUSH)
    number = max(1, size // MEBIBYTE)
    inner = [
        GZIP_HEAD,
        *repeat(block, number),
        b"\x03\x00",
        struct.pack("<II", _sum(number), number * MEBIBYTE % 2**32),
    ]
    whole = b"".join(inner)
    for _ in range(layers - 1):
        whole = gzip.compress(whole)
    return (whole[start : start + 65536] for start in range(0, len(whole), 65536))


def _sum(mebibytes: int) -> int:
    found, block = 0, b" " * MEBIBYTE
    for _ in range(mebibytes):
        found = zlib.crc32(block, found)
    return found


def _in_status(message: Message) -> Iterator[bytes]:
    yield message.status.encode("latin-1")
    yield from repeat(b"y")


def _in_headers(message: Message) -> Iterator[bytes]:
    yield message.head()[:-2] + b"X-Slow: "
    yield from repeat(b"y")


def _in_continue(message: Message) -> Iterator[bytes]:
    return repeat(b"HTTP/1.1 100 Continue\r\n\r\n")


def _in_chunk(message: Message) -> Iterator[bytes]:
    yield message.unmeasured() + b"5;name="
    yield from repeat(b"y")


def _in_trailer(message: Message) -> Iterator[bytes]:
    yield message.unmeasured() + (chunk(message.body) if message.body else b"") + b"0\r\n"
    yield from repeat(b"X-Slow: y\r\n")


def _in_gzip(message: Message) -> Iterator[bytes]:
    yield message.unmeasured("Content-Encoding: gzip") + chunk(GZIP_HEAD)
    yield from repeat(chunk(EMPTY_BLOCK))


def _in_body(message: Message) -> Iterator[bytes]:
    """Byte for byte what was to be said, and then blanks: it never is enough."""
    kept = [line for line in message.headers if line.partition(":")[0].lower() not in NO_LENGTH]
    yield Message(message.status, kept, b"").head("Content-Length: 1000000")
    yield from (message.body[at : at + 1] for at in range(len(message.body)))
    yield from repeat(b" ")


SHAPES: dict[str, Callable[[Wire, Message], Iterator[bytes]]] = {
    "unended": _unended,
    "endless": _endless,
    "garbled": _garbled,
    "bomb": _bomb,
}
TRICKLES: dict[str, Callable[[Message], Iterator[bytes]]] = dict(
    zip(PLACES, (_in_status, _in_headers, _in_continue, _in_chunk, _in_trailer, _in_gzip, _in_body), strict=True)
)


def send(connection: socket.socket, wire: Wire, message: Message) -> None:
    """Send an answer this way, and end its connection."""
    pause = wire.seconds if wire.kind == "trickle" else 0.0
    for piece in pieces(wire, message):
        connection.sendall(piece)
        if pause and _has_hung_up(connection, pause):
            return
    if wire.kind == "stall":
        _has_hung_up(connection, LONGEST_HOLD_SECONDS)
    if wire.kind == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


def _has_hung_up(connection: socket.socket, seconds: float) -> bool:
    """Wait; True as soon as the caller, or the end of the server, closes the connection."""
    connection.settimeout(seconds)
    try:
        return not connection.recv(1)
    except TimeoutError:
        return False
    finally:
        connection.settimeout(None)
