"""What a webhook means, once it has been read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """Something happened to a record. *event_key* is the vendor's own id of the message, "" where it has none."""

    subject_key: str
    event_key: str = ""
