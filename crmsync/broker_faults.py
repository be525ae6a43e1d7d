"""Explains why a broker can't be used: one sentence with a cure, whichever client raised the error."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator, Mapping

from redis.exceptions import ResponseError

from crmsync.broker_address import CA_VARIABLE
from crmsync.log import redact
from crmsync.plain import visible

_WORDS = 120  # of a server whose refusal we do not know

# What servers say: Redis by a word, which redis-py may make into a class, RabbitMQ by a number in brackets.
_NOT_ALLOWED = (
    "its user may not do what crmsync needs: allow all keys and channels (~* &*), and the commands of lists, sets, "
    "scripts and channels"
)
_CLUSTER = "it is part of a Redis Cluster, which crmsync can't use: use a standalone server"
_STRANGER = (
    "it can't be reached: what answers there hangs up, or speaks another language. Is that the broker's port, does it "
    "admit this machine (protected mode), and has it room for one more client?"
)
_ANSWERS: Mapping[str, str] = {
    "WRONGPASS": "it refuses the user or the password",
    "invalid password": "it refuses the password",
    "invalid username-password": "it refuses the user or the password",
    "NOAUTH": "it asks for a password, and the address has none",
    "Authentication required": "it asks for a password, and the address has none",
    "AUTH <password> called without any password": "it has no password, and the address has one: leave that out",
    "NoPermissionError": _NOT_ALLOWED,
    "no permissions": _NOT_ALLOWED,
    "DB index is out of range": "it has no database of that number",
    "max number of clients": "it has too many clients: raise maxclients, or run fewer processes",
    "ReadOnlyError": "it is a read-only replica: use the primary",
    "OutOfMemoryError": "its memory is full: raise maxmemory, and check what fills it",
    "MISCONF": "it can't write to its disk, so it accepts no messages",
    "NOREPLICAS": "too few of its replicas answer, so it accepts no messages",
    "MasterDownError": "it is a replica that has lost its primary: use the primary",
    "BusyLoadingError": "it is still loading its data after a start: wait until it has finished",
    "busy running a script": "it is busy running a script: wait, or stop the script with SCRIPT KILL",
    "protected mode": "it accepts only local connections (protected mode): give it a password, and put that "
    "into the address",
    "unknown command": "it lacks a command that crmsync needs: use Redis 6.2 or newer or Valkey, without "
    "renamed commands",
    **dict.fromkeys(("ClusterDownError", "MovedError", "AskError", "CrossSlotError", "cluster mode"), _CLUSTER),
    **dict.fromkeys(("InvalidResponse", "Connection closed by server", "Connection not ready"), _STRANGER),
    "connection limit": "it accepts no more connections: raise the limit of the user or of the virtual host",
    "(403)": "it refuses the user or the password, or the user may not do what crmsync needs",
    "(530)": "it has no such virtual host, or the user may not use it",
    "(406)": "it has a queue of our name and of another type: delete that queue while no worker runs",
    "Name or service": "its host name can't be resolved: is it right?",
}


def sentence(error: BaseException, *, timeout_seconds: float) -> str:
    """What is wrong, without the address: that may hold a password."""
    causes = list(_causes(error))
    for each in causes:
        found = _of_tls(each) or _of_answer(f"{type(each).__name__}: {each}") or _of_socket(each, timeout_seconds)
        if found:
            return found
    refusal = next((each for each in causes if isinstance(each, ResponseError)), None)
    if refusal is not None:
        return f"it refuses: {redact(visible(str(refusal)))[:_WORDS]}"
    return f"it can't be reached ({type(causes[-1]).__name__})"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """From the innermost outwards, where the fault is most precise."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    yield from reversed(found)


def _of_tls(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}); {CA_VARIABLE} names a CA of your own"
    if isinstance(error, ssl.SSLError) and not isinstance(error, TimeoutError):
        return f"TLS to it fails ({error.reason or type(error).__name__}): is that a port for TLS?"
    return ""


def _of_answer(text: str) -> str:
    return next((meaning for sign, meaning in _ANSWERS.items() if sign in text), "")


def _of_socket(error: BaseException, timeout_seconds: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_seconds:g} s"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens at its address"
    if isinstance(error, socket.gaierror):
        return "its host name can't be resolved: is it right?"
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return _STRANGER
    if isinstance(error, FileNotFoundError):
        return "there is no such socket"
    if isinstance(error, PermissionError):
        return "this user may not open its socket"
    # Without a number: py-amqp's, of what is no AMQP. EINVAL: the peer had gone before the socket was set up.
    if isinstance(error, OSError):
        return _STRANGER if error.errno in (None, errno.EINVAL) else f"it can't be reached ({error.strerror})"
    return ""
