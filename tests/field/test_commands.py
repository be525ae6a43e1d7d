"""Cases from the field: P9 (an alert's command in another shell), P13 (what a person would plausibly type)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.system import BIN


def shell(*words: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """A command as a person types it, in a shell that knows nothing but *env*."""
    full = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(cwd), **env}
    return subprocess.run(
        words, cwd=cwd, env=full, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )


# -- P13: what lies in the current folder


def test_P13__a_celeryconfig_of_somebody_else_in_the_folder_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "celeryconfig.py").write_text("raise SystemExit('the wrong file')\n")
    code = "from crmsync.celery import app; print(app.conf.task_default_queue)"

    asked = shell("python", "-c", f"import sys; sys.path.insert(0, ''); {code}", cwd=tmp_path, REDIS_URL="redis://x")

    assert (asked.stdout, asked.stderr) == ("housekeeping\n", "")


def test_P13__celery_says_what_is_wrong_with_the_environment_without_a_traceback(tmp_path: Path) -> None:
    asked = shell("celery", "-A", "crmsync", "beat", cwd=tmp_path, CRMSYNC_LEASE_SECONDS="1e12")

    assert asked.returncode != 0
    assert "CRMSYNC_LEASE_SECONDS: expected a number from 1 to 3600" in asked.stderr
    assert "Traceback" not in asked.stderr
