"""Timestamps in cursors."""

from __future__ import annotations

from datetime import datetime


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
