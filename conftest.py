"""Before anything of crmsync is imported: no test and no doctest sees the state directory of whoever runs them."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

# What reads the environment when it is imported, such as celeryconfig.py, does so before any fixture.
_HOME = Path(tempfile.mkdtemp(prefix="crmsync-tests-"))
os.environ["HOME"] = str(_HOME)
os.environ["CRMSYNC_HOME"] = str(_HOME / "state")


def pytest_unconfigure() -> None:
    shutil.rmtree(_HOME, ignore_errors=True)
