"""Prints the memory of a process and all its descendants, as PSS: shared pages are counted once, divided.

    python benchmarks/pss.py PID

Linux only; the sum is what the tree costs the machine.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main(pid: int) -> None:
    tree = process_tree(pid)
    for member in tree:
        print(f"{pss_bytes(member) / 1e6:8.1f} MB  {member:>7}  {words(member)}")
    print(f"{sum(map(pss_bytes, tree)) / 1e6:8.1f} MB  in {len(tree)} processes")


def process_tree(pid: int) -> list[int]:
    """*pid* and its descendants, parents first."""
    return [pid, *(member for child in children(pid) for member in process_tree(child))]


def children(pid: int) -> list[int]:
    """Of all its threads: the supervisor starts each process in a thread of its own."""
    files = Path(f"/proc/{pid}/task").glob("*/children")
    return sorted(int(word) for file in files for word in file.read_text().split())


def pss_bytes(pid: int) -> int:
    """0 for a process that has ended meanwhile."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))


def words(pid: int) -> str:
    return " ".join(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").split())[:90]


if __name__ == "__main__":
    main(int(sys.argv[1]))
