"""Failpoints strike once, where they are armed, and nowhere without a folder."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import crmsync.failpoints
from crmsync.errors import ConfigurationError
from crmsync.lab import failpoints
from crmsync.lab.failpoints import Failpoint

STEP = "order_to_invoice.create_order"

# A process that passes every boundary of a step, and makes one request that signs in, one that reads, one that writes.
PROGRAM = f"""
import sys
from pathlib import Path
from urllib3.connection import HTTPConnection
from crmsync import failpoints
from crmsync.lab.failpoints import leave

class Options:
    def __init__(self, method, url):
        self.request_method, self.request_url = method, url

def call(method, url):
    print("called", method, url, flush=True)
    connection = HTTPConnection("localhost")
    connection._response_options = Options(method, url)
    connection.getresponse()

HTTPConnection.getresponse = lambda self: None
failpoints.arm_process(Path(sys.argv[1]))
failpoints.hit("claimed", "{STEP}")
call("GET", "/orders")
failpoints.hit("reserved", "{STEP}")
call("POST", "/oauth2/token")
call("GET", "/token")
call("POST", "/orders")
failpoints.hit("answered", "{STEP}")
failpoints.hit("stored", "{STEP}")
leave()
call("POST", "/slack")
print("alive", flush=True)
"""


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm_process(None)


def run(folder: Path) -> tuple[int, list[str]]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(folder)], capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize(
    ("boundary", "call", "last"),
    [
        ("claimed", "any", None),
        ("sent", "any", "called GET /orders"),
        ("sent", "create", "called POST /orders"),
        ("sent", "write", "called POST /orders"),
        ("answered", "create", "called POST /orders"),
    ],
    ids=lambda value: str(value),
)
def test_the_process_dies_exactly_there(tmp_path: Path, boundary: str, call: str, last: str | None) -> None:
    failpoints.arm(tmp_path, Failpoint(STEP, boundary, call))

    status, lines = run(tmp_path)

    assert status == -9
    assert (lines[-1] if lines else None) == last
    strike = failpoints.struck(tmp_path)
    assert strike is not None
    assert strike.pid > 0


def test_it_strikes_once(tmp_path: Path) -> None:
    failpoints.arm(tmp_path, Failpoint(STEP, "stored"))

    assert run(tmp_path)[0] == -9
    assert run(tmp_path)[1][-1] == "alive"


def test_another_step_is_left_alone(tmp_path: Path) -> None:
    failpoints.arm(tmp_path, Failpoint("order_to_invoice.create_invoice", "stored"))

    assert run(tmp_path)[1][-1] == "alive"
    assert failpoints.struck(tmp_path) is None


def test_what_a_thread_calls_after_its_step_belongs_to_none(tmp_path: Path) -> None:
    failpoints.arm(tmp_path, Failpoint(STEP, "unacknowledged"))

    assert run(tmp_path)[1][-1] == "alive"


def test_without_a_folder_nothing_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failpoints.arm(tmp_path, Failpoint(STEP, "claimed"))
    monkeypatch.chdir(tmp_path)

    crmsync.failpoints.hit("claimed", STEP)  # this process would be gone

    assert failpoints.struck(tmp_path) is None


def test_arming_again_forgets_what_struck_before(tmp_path: Path) -> None:
    (tmp_path / "struck").write_text("12 34.5")
    assert failpoints.struck(tmp_path) == failpoints.Strike(12, 34.5)

    failpoints.arm(tmp_path, Failpoint(STEP, "stored"))

    assert failpoints.struck(tmp_path) is None


@pytest.mark.parametrize("arm", [crmsync.failpoints.arm_process, crmsync.failpoints.clock], ids=["worker", "clock"])
def test_without_the_lab_the_switch_is_refused(
    arm: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "crmsync.lab.failpoints", None)

    with pytest.raises(ConfigurationError) as refused:
        arm(tmp_path)

    assert "crmsync prove" in refused.value.field_errors["CRMSYNC_FAILPOINTS"]
