"""People's passwords: Argon2id with OWASP's parameters for little memory, and the same work for unknown names."""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MINIMUM_LENGTH = 12
MAXIMUM_LENGTH = 200
MEMORY_KIB, ITERATIONS, LANES = 19 * 1024, 2, 1

# Of a password that nobody has: what is given for an unknown name is compared with it.
_NOBODYS = "$argon2id$v=19$m=19456,t=2,p=1$Y3Jtc3luYy1ub2JvZHktLQ$0000000000000000000000000000000000000000000"
_one_at_a_time = threading.Lock()  # each needs 19 MiB


def check_new(password: str) -> None:
    """Raises: ValueError for one that is too short to be safe, or so long that it costs too much."""
    if not MINIMUM_LENGTH <= len(password) <= MAXIMUM_LENGTH:
        raise ValueError(f"a password has {MINIMUM_LENGTH} to {MAXIMUM_LENGTH} characters")


def hashed(password: str) -> str:
    with _one_at_a_time:
        return _hasher().hash(password)


def is_right(password: str, password_hash: str | None) -> bool:
    """Whether it is the password of *password_hash*; None stands for an unknown name, and takes as long."""
    from argon2.exceptions import InvalidHashError, VerificationError

    if len(password) > MAXIMUM_LENGTH:
        return False
    try:
        with _one_at_a_time:
            return _hasher().verify(password_hash or _NOBODYS, password) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher  # loaded with the first sign-in: most processes have none

    return PasswordHasher(time_cost=ITERATIONS, memory_cost=MEMORY_KIB, parallelism=LANES)
