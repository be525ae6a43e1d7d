"""Before anything of crmsync is imported: no test and no doctest sees the state directory of whoever runs them."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

# What reads the environment when it is imported, such as celeryconfig.py, does so before any fixture.
_HOME = Path(tempfile.mkdtemp(prefix="crmsync-tests-"))
os.environ["HOME"] = str(_HOME)
os.environ["CRMSYNC_HOME"] = str(_HOME / "state")


def pytest_unconfigure() -> None:
    """Once this process is gone: a server that it has started there ends with it, and would make its folder anew."""
    words = ["sh", "-c", '(sleep 3; rm -rf "$0") >/dev/null 2>&1 &', str(_HOME)]
    subprocess.run(words, stdin=subprocess.DEVNULL, start_new_session=True, check=False)
