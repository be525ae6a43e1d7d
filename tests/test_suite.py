"""The suite itself: it leaves alone whatever its developer has."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
STARTING = "crmsync/flows"  # whoever imports it reads celeryconfig.py, which starts a server in the state directory


def test_a_test_has_another_home_than_whoever_runs_it() -> None:
    assert Path.home() != Path(pwd.getpwuid(os.getuid()).pw_dir)


def test_nothing_is_left_in_the_home_of_whoever_runs_the_tests(tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", STARTING]

    ended = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)

    assert ended.returncode == 0, ended.stdout
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == []
