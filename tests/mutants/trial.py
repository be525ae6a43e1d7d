"""One copy of the tree, with an interpreter of its own that imports crmsync from there, and the tests on it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutants.table import Mutant

ROOT = Path(__file__).parent.parent.parent
PATIENCE_SECONDS = 1800

KILLED, LIVED, SPOILT = "killed", "lived", "spoilt"
_PASSED, _FAILED = 0, 1  # exit statuses of pytest; all others mean that no test has judged


@dataclass(frozen=True, slots=True)
class Outcome:
    """*by* is the test that failed; of a mutant that is spoilt, which no test has judged, what happened instead."""

    name: str
    result: str
    seconds: float
    by: str = ""


class Copy:
    """A copy of the working tree in *folder*, changes that are not committed and all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pytest: subprocess.Popen[str] | None = None
        for name in _files():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
        self._make_environment()

    def _make_environment(self) -> None:
        """The packages of this environment, but crmsync from the copy, also for the commands that tests start."""
        venv, bin_folder = self.folder / ".venv", Path(sys.executable).parent
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        paths = {"base": str(venv), "platbase": str(venv)}
        packages = Path(sysconfig.get_path("purelib", vars=paths))
        # A folder that is named here brings no such files of its own: not the one that leads to the tree itself.
        (packages / "copy.pth").write_text(f"{self.folder}\n{sysconfig.get_path('purelib')}\n")
        for script in bin_folder.iterdir():
            if not script.is_symlink() and script.read_bytes().startswith(f"#!{bin_folder}".encode()):
                own = venv / "bin" / script.name
                own.write_text(script.read_text().replace(str(bin_folder), str(venv / "bin"), 1))
                own.chmod(0o755)

    @contextmanager
    def changed(self, mutant: Mutant) -> Iterator[None]:
        file = self.folder / mutant.file
        before = file.read_text()
        file.write_text(mutant.applied(before))
        try:
            yield
        finally:
            file.write_text(before)

    def tried(self, mutant: Mutant) -> Outcome:
        began_at = time.monotonic()
        with self.changed(mutant):
            status, said = self.test([mutant.test])
        result = {_PASSED: LIVED, _FAILED: KILLED}.get(status, SPOILT)
        by = _failed(said) if result == KILLED else "" if result == LIVED else f"pytest ended with {status}"
        return Outcome(mutant.name, result, time.monotonic() - began_at, by)

    def test(self, tests: Sequence[str]) -> tuple[int | None, str]:
        """The status of pytest, and what it said; None where it had to be ended."""
        command = [str(self.folder / ".venv/bin/python"), "-B", "-m", "pytest", "-qq", "-x", "--tb=line"]
        options = ["-p", "no:randomly", "-p", "no:cacheprovider", *tests]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LANG": "C.UTF-8"}
        output: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self._pytest = subprocess.Popen(
            command + options, cwd=self.folder, env=environment, start_new_session=True, **output
        )
        try:
            said, _ = self._pytest.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.end()
            return None, f"not over after {PATIENCE_SECONDS} s"
        return self._pytest.returncode, said

    def end(self) -> None:
        """Whatever runs in it."""
        if self._pytest is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._pytest.pid, signal.SIGKILL)
            self._pytest.wait()


def _files() -> list[str]:
    """What git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def _failed(said: str) -> str:
    """The name of the test that failed, or that never came to its end."""
    found = re.search(r"^(?:FAILED|ERROR) (\S.*?)(?: - |$)", said, re.MULTILINE)
    return f"{found[1] if found else '?'}{' (hangs)' if 'Failed: Timeout' in said else ''}"
