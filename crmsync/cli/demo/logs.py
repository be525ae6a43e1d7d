"""Keeps what the processes print: a file for each, and the latest lines at hand."""

from __future__ import annotations

import threading
from collections import deque
from pathlib import Path

KEPT_LINES = 200


class Logs:
    """Call it with a process's name and a line, from any thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._latest: dict[str, deque[str]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, name: str, line: str) -> None:
        with self._lock:
            self._latest.setdefault(name, deque(maxlen=KEPT_LINES)).append(line)
            with (self.folder / f"{name}.log").open("a") as file:
                file.write(f"{line}\n")

    def contains(self, name: str, text: str) -> bool:
        with self._lock:
            return any(text in line for line in self._latest.get(name, ()))

    def tails(self, count: int) -> dict[str, list[str]]:
        """The last lines of each process that has said anything."""
        with self._lock:
            return {name: list(lines)[-count:] for name, lines in self._latest.items()}
