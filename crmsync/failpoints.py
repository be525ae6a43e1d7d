"""Places at which `crmsync prove` kills or stops this process; the lab arms them, and without it they do nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from crmsync.errors import ConfigurationError

_LAB = "crmsync.lab.failpoints"

Watcher = Callable[[str, str], None]

_watcher: Watcher | None = None


def hit(boundary: str, step: str) -> None:
    """This process is at *boundary* of *step* ("flow.step"): the end of it, if that is armed."""
    if _watcher is not None:
        _watcher(boundary, step)


def watch(watcher: Watcher | None) -> None:
    """Call *watcher* at every boundary from now on; None ends that."""
    global _watcher
    _watcher = watcher


def arm_process(folder: Path | None) -> None:
    """Let the lab strike this process as *folder* says; without a folder nothing can. Raises: ConfigurationError."""
    if folder is not None:
        _lab().arm_process(folder)


def clock(folder: Path) -> Callable[[], datetime]:
    """A clock that is as wrong as *folder* says just now. Raises: ConfigurationError."""
    made: Callable[[], datetime] = _lab().clock(folder)
    return made


def _lab() -> Any:
    """By name: the product must not import the lab, and the production image leaves it out."""
    try:
        return import_module(_LAB)
    except ModuleNotFoundError as error:
        problem = {"CRMSYNC_FAILPOINTS": "is for `crmsync prove`, which is not installed here"}
        raise ConfigurationError(field_errors=problem) from error
