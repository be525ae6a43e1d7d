"""`crmsync prove` as an operator runs it: a few of its cases, on the suite's database and broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests import system as harness
from tests.system import BIN, until

pytestmark = pytest.mark.acceptance

PLACES = (
    "order_to_invoice.match_erp_customer:reserved",
    "order_to_invoice.create_order:sent",
    "order_to_invoice.create_invoice:stored",
    "order_to_invoice.create_invoice:cut",
    "order_to_invoice.create_order:trickling",
)


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    """Temporary folders of this test's own, so that what is left behind is seen."""
    (tmp_path / "tmp").mkdir()
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path / "tmp")}


@pytest.fixture
def started(environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        _command("--only", "worker-stopped"), env=environment, stdout=subprocess.PIPE, text=True, cwd="/"
    ) as process:
        yield process
        process.kill()


def _command(*options: str) -> list[str]:
    where = ["--database", harness.TEST_DATABASE_URL] if harness.TEST_DATABASE_URL else []
    where += ["--broker", harness.TEST_REDIS_URL] if harness.TEST_REDIS_URL else []
    return [str(BIN / "crmsync"), "prove", "--seed", "7", *options, *where]


def _processes_in(folder: Path) -> list[str]:
    """Command lines of processes whose environment names the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (path / "environ").read_bytes():
                found.append((path / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
def test_killed_workers_and_broken_answers_lose_and_double_nothing(
    tmp_path: Path, environment: Mapping[str, str]
) -> None:
    html, report = tmp_path / "matrix.html", tmp_path / "matrix.json"
    places = [word for place in PLACES for word in ("--case", place)]

    done = subprocess.run(
        _command(
            "--only",
            "kill",
            "--only",
            "cut-answers",
            "--only",
            "trickling-answers",
            *places,
            "--html",
            str(html),
            "--json",
            str(report),
        ),
        env=environment,
        capture_output=True,
        text=True,
        timeout=550,
        cwd="/",
    )

    assert done.returncode == 0, done.stdout + done.stderr
    cases = json.loads(report.read_text())["cases"]
    assert [f"{case['step']}:{case['boundary']}" for case in cases] == [*PLACES, ":"]
    assert [case["strikes"] for case in cases] == [*[1] * len(PLACES), 0]
    assert not any(case["lost"] + case["doubled"] + case["stuck"] for case in cases)
    assert "0 lost, 0 twice, 0 stuck." in html.read_text()
    assert list((tmp_path / "tmp").iterdir()) == []
    assert _processes_in(tmp_path) == []


def test_two_tenants_with_two_orgs_each_lose_double_and_cross_nothing(
    tmp_path: Path, environment: Mapping[str, str]
) -> None:
    """A small one; `crmsync prove --only two-companies` wins 200 deals a tenant."""
    report = tmp_path / "matrix.json"
    command = _command("--only", "two-companies", "--deals", "6", "--json", str(report))

    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=550, cwd="/")

    assert done.returncode == 0, done.stdout + done.stderr
    case, audit = json.loads(report.read_text())["cases"]
    assert case["strikes"] > 3
    assert audit["runs"] >= 3 + 3 + 6 + 4 * 3, "deals of each system's outage, the flood, and those won at once"
    assert not any(each["lost"] + each["doubled"] + each["stuck"] for each in (case, audit))


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
def test_an_interrupted_campaign_leaves_nothing_behind(tmp_path: Path, started: subprocess.Popen[str]) -> None:
    folder = tmp_path / "tmp"
    until(lambda: [*folder.glob("*/failpoints/armed"), *folder.glob("*/failpoints/struck")], what="a case has begun")

    started.send_signal(signal.SIGINT)

    assert started.wait(60) == 1
    assert list(folder.iterdir()) == []
    assert _processes_in(tmp_path) == []
