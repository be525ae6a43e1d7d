"""Passwords: what is kept of them, and that an unknown name costs as much as a known one."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher, extract_parameters

from crmsync.domain import passwords

PASSWORD = "correct horse battery staple"


def test_what_is_kept_has_owasps_parameters_and_is_never_the_same() -> None:
    first, second = passwords.hashed(PASSWORD), passwords.hashed(PASSWORD)

    found = extract_parameters(first)
    assert (found.type.name, found.memory_cost, found.time_cost, found.parallelism) == ("ID", 19 * 1024, 2, 1)
    assert first != second
    assert PASSWORD not in first


def test_only_the_password_itself_is_right() -> None:
    kept = passwords.hashed(PASSWORD)

    assert passwords.is_right(PASSWORD, kept)
    assert not passwords.is_right(PASSWORD + " ", kept)
    assert not passwords.is_right("", kept)


def test_an_unknown_name_is_verified_like_a_known_one(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = []
    monkeypatch.setattr(
        passwords, "_hasher", lambda: type("Spy", (), {"verify": lambda _, kept, given: costs.append(kept) or True})()
    )

    assert not passwords.is_right(PASSWORD, None), "nobody has the password of an unknown name"
    unknown, known = extract_parameters(costs[0]), extract_parameters(PasswordHasher(2, 19 * 1024, 1).hash("x"))
    assert unknown == known


@pytest.mark.parametrize("password", ["short", "x" * 11, "x" * 201])
def test_a_new_password_has_a_length_that_is_safe_and_cheap(password: str) -> None:
    with pytest.raises(ValueError, match="characters"):
        passwords.check_new(password)
