"""`make specs`: fetch the vendors' specifications, and keep only what is exactly what the tests were written for."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.request import urlopen

from tests.specs import FETCHED, OWN

SOURCES = OWN / "sources.json"
SECONDS = 60


def sources() -> Mapping[str, Mapping[str, str]]:
    """By the name of the file below the folder: its url, sha256 and licence."""
    found: Mapping[str, Mapping[str, str]] = json.loads(SOURCES.read_text())
    return found


def fetch(folder: Path, read: Callable[[str], bytes]) -> Iterator[str]:
    """What could not be fetched, and why; what is there already is not fetched again."""
    for name, source in sources().items():
        path = folder / name
        if path.is_file() and _is(path.read_bytes(), source):
            continue
        try:
            content = read(source["url"])
        except OSError as error:
            yield f"{name}: {error}"
            continue
        if not _is(content, source):
            yield f"{name}: {source['url']} is another file by now"
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _is(content: bytes, source: Mapping[str, str]) -> bool:
    return hashlib.sha256(content).hexdigest() == source["sha256"]


def _read(url: str) -> bytes:
    with urlopen(url, timeout=SECONDS) as answer:
        content: bytes = answer.read()
    return content


if __name__ == "__main__":
    problems = list(fetch(FETCHED, _read))
    print("\n".join(problems) or f"The specifications are in {FETCHED}.")
    sys.exit(bool(problems))
