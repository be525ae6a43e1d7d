"""What a connector may store for its other processes: text by name, for one connection."""

from __future__ import annotations

from typing import Protocol


class Notes(Protocol):
    """Keeps notes for all processes, as store/notes.py does."""

    def read(self, name: str) -> str | None: ...

    def write(self, name: str, text: str) -> None: ...


class OwnNotes:
    """Notes of this process only."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def read(self, name: str) -> str | None:
        return self._texts.get(name)

    def write(self, name: str, text: str) -> None:
        self._texts[name] = text
