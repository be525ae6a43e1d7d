"""Shows the output of several processes on one terminal, each with its coloured name in front."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from threading import Lock
from typing import TextIO

_COLOURS = ("36", "32", "33", "35", "34", "31")
_RESET = "\x1b[0m"


class Console:
    """Call it with a name and a line; lines of different processes never mix."""

    def __init__(self, names: Sequence[str], *, stream: TextIO | None = None, colour: bool | None = None) -> None:
        self._stream = stream if stream is not None else sys.stdout
        self._colour = self._stream.isatty() if colour is None else colour
        self._names = list(names)
        self._width = max(map(len, names), default=0)
        self._lock = Lock()

    def __call__(self, name: str, line: str) -> None:
        with self._lock, suppress(OSError, ValueError):  # the reader may have gone: the processes go on without one
            self._stream.write(f"{self._prefix(name)} {line}\n")
            self._stream.flush()

    def _prefix(self, name: str) -> str:
        label = f"{name:<{self._width}} |"
        return f"\x1b[{self._colour_of(name)}m{label}{_RESET}" if self._colour else label

    def _colour_of(self, name: str) -> str:
        position = self._names.index(name) if name in self._names else -1
        return _COLOURS[position % len(_COLOURS)]
