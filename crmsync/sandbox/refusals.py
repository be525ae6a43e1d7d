"""Records of Salesforce that refuse to be changed: validation rules, approval locks, rows that others hold."""

from collections.abc import Sequence

from crmsync.sandbox.salesforce.org import Refusal

# The text for a lock of a row is documented (shared fact sheet, section 3), that of an approval lock from memory.
TEXTS = {
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": "A validation rule of the organization refuses this record",
    "ENTITY_IS_LOCKED": "the entity is locked for editing",
    "UNABLE_TO_LOCK_ROW": "unable to obtain exclusive access to this record or 1 records: {}",
}


def refusal_of(record_id: str, reason: str, message: str | None, fields: Sequence[str], times: int | None) -> Refusal:
    """A refusal with this code; a code without a known text needs its own `message`. Raises ValueError."""
    text = message or TEXTS.get(reason, "").format(record_id)
    if not text:
        raise ValueError(f"{reason} needs a message")
    return Refusal(reason, text, tuple(fields), times)
