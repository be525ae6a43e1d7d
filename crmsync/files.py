"""Creates files that only their owner can read, whatever the umask and whoever made the folder."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

FOLDER = 0o700
FILE = 0o600
OTHERS = 0o077


def keep_private() -> None:
    """From here on this process makes files and folders that only its user can open."""
    os.umask(OTHERS)


def make_private_folder(folder: Path) -> None:
    """Make *folder*, 0700; one that exists stays as somebody made it."""
    folder.mkdir(parents=True, exist_ok=True, mode=FOLDER)


def make_private_file(path: str | Path) -> None:
    """Make the file where there is none. Raises: OSError.

    One that exists is not opened: closing it would drop the locks that SQLite holds on it in this process.
    """
    make_private_folder(Path(path).parent)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE))


def take_from_others(path: Path) -> None:
    """Leave *path* to its owner, if that is us and it is a file."""
    try:
        found = path.stat()
    except OSError:
        return
    if found.st_uid == os.getuid() and stat.S_ISREG(found.st_mode) and found.st_mode & OTHERS:
        with suppress(OSError):  # a disk that is read-only; `crmsync doctor` looks at what others may do
            path.chmod(FILE)


def private_opener(path: str, flags: int) -> int:
    """For open(): a file that it makes is 0600."""
    return os.open(path, flags, FILE)


def open_to_others(path: Path) -> str:
    """What others may do with *path*: "read", "read and write", or "" for nothing."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""
    return " and ".join(verb for verb, bits in (("read", 0o044), ("write", 0o022)) if mode & bits)


def exposed(folder: Path) -> list[Path]:
    """The files in *folder* that others may read or write, if they can get there."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and open_to_others(path)]
