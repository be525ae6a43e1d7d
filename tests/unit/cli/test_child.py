"""A command that runs for months does its first checks in a child, and keeps nothing of what they import."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.unit.cli.test_up import CONFIGURED

HEAVY = "{'sqlalchemy', 'requests', 'redis', 'celery', 'kombu', 'psycopg'}"


def run(code: str) -> subprocess.CompletedProcess[str]:
    """In an interpreter of its own, which has one thread."""
    environment = {**os.environ, **CONFIGURED}
    return subprocess.run(
        [sys.executable, "-c", f"import sys\nfrom crmsync.cli.child import in_a_child\n{code}"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_what_the_child_imports_is_not_kept():
    result = run(
        "from crmsync.cli import processes, up\n"
        "from crmsync.supervisor import Supervisor\n"
        "from crmsync.settings import Settings\n"
        "def work():\n    import crmsync.services; print('worked')\n"
        "settings = up.checked(__import__('os').environ)\n"
        "processes.specs(settings)\n"
        "in_a_child(work)\n"
        f"print({HEAVY} & set(sys.modules))"
    )

    assert (result.stdout, result.stderr) == ("worked\nset()\n", "")


@pytest.mark.parametrize(
    ("failure", "status", "words"),
    [
        ("raise ConfigurationError('It is wrong.', advice='Put it right.')", 2, "✗ It is wrong.\nPut it right."),
        ("raise CrmsyncError('It failed.')", 1, "✗ It failed."),
        ("raise ValueError('a bug')", 1, "Traceback"),
        ("import os; os.kill(os.getpid(), 9)", 137, ""),
    ],
    ids=["of the configuration", "of the work", "a bug", "killed"],
)
def test_a_child_that_fails_says_why_and_ends_the_command(failure, status, words):
    result = run(
        "from crmsync.errors import ConfigurationError, CrmsyncError\n"
        f"def work():\n    {failure}\n"
        "in_a_child(work)\nprint('went on')"
    )

    assert (result.returncode, result.stdout) == (status, "")
    assert words in result.stderr


def test_sqlite_does_without_the_driver_of_postgresql(tmp_path):
    url = f"sqlite:///{tmp_path / 'crmsync.db'}"

    result = run(f"from crmsync.store import Store\nStore({url!r}).close()\nprint('psycopg' in sys.modules)")

    assert (result.stdout, result.stderr) == ("False\n", "")
