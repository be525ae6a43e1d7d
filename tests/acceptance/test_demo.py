"""`crmsync demo --once`, as somebody runs it who has just installed crmsync."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

CRMSYNC = Path(sys.executable).with_name("crmsync")


def start(tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    """With nothing in the environment but where programs and the user's home are."""
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    return subprocess.Popen(
        [CRMSYNC, "demo", *words], env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def processes_of(tmp_path: Path) -> set[str]:
    """Processes whose environment or command line names the test's folder."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            known = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
        except OSError:  # it has just ended, or is somebody else's
            continue
        if os.fsencode(tmp_path) in known and folder.name != str(os.getpid()):
            found.add(folder.name)
    return found


def test_the_demo_shows_the_story_and_leaves_nothing_behind(tmp_path):
    demo = start(tmp_path, "--once")
    output, _ = demo.communicate(timeout=600)
    text = " ".join(output.split())

    for told in (
        "47,000.00 USD",
        "order 4711 made: 47,000.00 USD net",
        "invoice INV-000001 mailed",
        "the deal shows order 4711, invoice INV-000001, status Synced",
        "0 calls to other systems since; there is 1 order, 1 invoice, 1 mail",
        "A deal is stuck",
        "celery -A crmsync dead-letters list",
        "VendorUnavailableError",
        "celery -A crmsync dead-letters replay 1 --yes",
        "order 4712 made: 17,880.00 USD net",
        "asked for once, there once",
        "the deal is paid in part: 7,000.00 USD",
        "the deal is paid: 47,000.00 USD",
        "crmsync catch-up --yes",
        "2 runs started, 1 of them missed",
        "order 4714 made: 9,600.00 USD net",
        "crmsync inventory run",
        "products show what SAP has",
        "products are low on stock",
        "GATEWAY-10: 4",
        "Every document is where it should be, exactly once.",
    ):
        assert told in text, output
    assert "\x1b[" not in output
    assert demo.returncode == 0
    assert processes_of(tmp_path) == set()
    assert list(tmp_path.glob("crmsync-demo-*")) == []


def test_an_interrupted_demo_leaves_nothing_behind(tmp_path):
    demo = start(tmp_path)
    assert demo.stdout is not None
    for line in demo.stdout:
        if re.search(r"Next try in", line):
            break

    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=300)

    assert demo.returncode == 1
    assert processes_of(tmp_path) == set()
    assert list(tmp_path.glob("crmsync-demo-*")) == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_demo_leaves_no_process_behind(tmp_path):
    demo = start(tmp_path)
    assert demo.stdout is not None
    next(line for line in demo.stdout if "Next try in" in line)

    demo.kill()
    demo.communicate(timeout=300)

    deadline = time.monotonic() + 15
    while processes_of(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_of(tmp_path) == set()
