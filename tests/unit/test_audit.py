"""The chain of the audit: whatever is changed in it shows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from crmsync.domain.audit import GENESIS, AuditEntry, chained, verify


def chain(count: int) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    for number in range(1, count + 1):
        previous = entries[-1].hash if entries else GENESIS
        at = datetime(2026, 12, 1, 9, number, tzinfo=UTC)
        draft = AuditEntry(
            number,
            at,
            "ada",
            "cli",
            "token.create",
            "token",
            f"t{number}",
            "",
            {},
            {"role": "viewer"},
            "",
            previous,
            "",
        )
        entries.append(replace(draft, hash=chained(previous, draft.content())))
    return entries


def test_a_chain_that_nobody_touched_is_whole() -> None:
    entries = chain(3)

    verdict = verify(entries)

    assert (verdict.is_whole, verdict.count, verdict.head) == (True, 3, entries[-1].hash)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "eve"},
        {"verb": "token.revoke"},
        {"object_key": "t9"},
        {"tenant": "acme"},
        {"after": {"role": "admin"}},
        {"before": {"role": "admin"}},
        {"reason": "none"},
        {"origin": "api"},
        {"at": datetime(2026, 12, 2, tzinfo=UTC)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_entry_that_was_changed_breaks_the_chain(change: dict[str, object]) -> None:
    entries = chain(3)
    entries[1] = replace(entries[1], **change)  # type: ignore[arg-type]

    verdict = verify(entries)

    assert (verdict.is_whole, verdict.broken_at) == (False, 2)


def test_an_entry_that_was_made_to_fit_breaks_the_chain_behind_it() -> None:
    entries = chain(3)
    forged = replace(entries[1], name="eve")
    entries[1] = replace(forged, hash=forged.expected_hash())

    assert verify(entries).broken_at == 3


def test_whoever_also_mends_the_entry_behind_it_has_to_change_every_hash() -> None:
    """A hash stands for the one before it as well."""
    entries = chain(3)
    forged = replace(entries[1], name="eve")
    entries[1] = replace(forged, hash=forged.expected_hash())
    entries[2] = replace(entries[2], previous=entries[1].hash)

    assert verify(entries).broken_at == 3


def test_an_entry_that_was_taken_out_breaks_the_chain() -> None:
    entries = chain(3)

    assert verify([entries[0], entries[2]]).broken_at == 3


def test_entries_that_are_missing_at_the_end_show_where_a_later_hash_was_noted() -> None:
    entries = chain(3)

    assert verify(entries[:2]).is_whole
    assert not verify(entries[:2], noted=entries[2].hash).is_whole
    assert verify(entries, noted=entries[1].hash).is_whole
