"""The supervisor, with real processes: order, restarts, and no orphan however it ends."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crmsync.errors import ConfigurationError
from crmsync.supervisor import Console, ProcessSpec, Supervisor, parse_procfile

# A tree of three: a leader, a child in its group, and a grandchild; each writes its own process id.
FAMILY = """
import os, subprocess, sys, time
open(sys.argv[1], "a").write(f"{os.getpid()}\\n")
depth = int(sys.argv[2])
if depth:
    subprocess.Popen([sys.executable, __file__, sys.argv[1], str(depth - 1)])
time.sleep(120)
"""

# Prints the process ids once all have started; run as a process of its own, so that it can be killed.
HOST = """
import json, os, sys
from pathlib import Path
from crmsync.supervisor import ProcessSpec, Supervisor
specs = [ProcessSpec(name, command) for name, command in json.loads(sys.argv[1])]
supervisor = Supervisor(specs, env=os.environ, cwd=Path.cwd(), grace_seconds=float(sys.argv[2]))
sys.exit(supervisor.run())
"""


@pytest.fixture
def family(tmp_path: Path) -> Callable[[str], list[str]]:
    script = tmp_path / "family.py"
    script.write_text(FAMILY)
    return lambda name: [sys.executable, str(script), str(tmp_path / f"{name}.pids"), "2"]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """A supervisor in a process of its own."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*commands: tuple[str, object], grace_seconds: float = 5, **env: str) -> subprocess.Popen[bytes]:
        with open(tmp_path / "host.log", "ab") as log:
            words = [sys.executable, "-c", HOST, json.dumps(commands), str(grace_seconds)]
            started.append(subprocess.Popen(words, stdout=log, stderr=log, env={**os.environ, **env}))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def supervise(*specs: ProcessSpec, lines: list[tuple[str, str]] | None = None, **options: object) -> Supervisor:
    on_line = (lambda *line: None) if lines is None else lambda *line: lines.append(line)
    options = {"grace_seconds": 5, **options}
    return Supervisor(specs, env=os.environ, cwd=Path.cwd(), on_line=on_line, **options)  # type: ignore[arg-type]


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


def poll(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def pids_in(tmp_path: Path) -> set[int]:
    return {int(word) for file in tmp_path.glob("*.pids") for word in file.read_text().split()}


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if is_alive(pid)}


def is_alive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def guardian_of(pid: int) -> int:
    """0 while there is none."""
    listing = subprocess.run(
        ["ps", "-ww", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split(maxsplit=2) for line in listing.splitlines()]
    return next((int(row[0]) for row in rows if row[1] == str(pid) and "trap" in row[2]), 0)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda n: n.name)
def test_supervisor_leaves_no_orphan(number, host, family, tmp_path):
    process = host(("one", family("one")), ("two", family("two")))
    poll(lambda: len(pids_in(tmp_path)) == 6)

    process.send_signal(number)

    assert process.wait(20) == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    poll(lambda: not alive(pids_in(tmp_path)))


def test_no_orphan_where_the_kernel_has_no_parent_death_signal(host, family, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").symlink_to(shutil.which("sh"))
    process = host(("one", family("one")), PATH=str(tmp_path / "bin"))
    poll(lambda: len(pids_in(tmp_path)) == 3)

    process.kill()

    poll(lambda: not alive(pids_in(tmp_path)))


def test_no_orphan_when_the_guardian_was_killed_before(host, family, tmp_path):
    process = host(("one", family("one")))
    poll(lambda: len(pids_in(tmp_path)) == 3)
    poll(lambda: guardian_of(process.pid))
    first = guardian_of(process.pid)

    os.kill(first, signal.SIGKILL)
    poll(lambda: guardian_of(process.pid) not in (0, first))
    time.sleep(0.1)  # the new one is told right after it was started
    process.kill()

    poll(lambda: not alive(pids_in(tmp_path)))


def test_a_process_deaf_to_sigterm_is_killed_after_the_grace(host, tmp_path):
    deaf = f"trap '' TERM; echo $$ > {tmp_path}/deaf.pids; while :; do sleep 0.1; done"
    process = host(("deaf", sh(deaf)), grace_seconds=0.3)
    poll(lambda: pids_in(tmp_path))

    process.terminate()

    assert process.wait(20) == 0
    assert not alive(pids_in(tmp_path))


def test_a_second_signal_does_not_wait_for_the_grace(host, tmp_path):
    process = host(("deaf", sh(f"trap '' TERM; echo $$ > {tmp_path}/deaf.pids; sleep 120")), grace_seconds=100)
    poll(lambda: pids_in(tmp_path))

    process.terminate()
    time.sleep(0.5)
    process.terminate()

    assert process.wait(20) == 0
    poll(lambda: not alive(pids_in(tmp_path)))


def test_a_process_that_dies_is_started_again(tmp_path):
    lines: list[tuple[str, str]] = []
    with supervise(ProcessSpec("crash", sh("echo up; exit 3")), lines=lines):
        poll(lambda: lines.count(("crash", "up")) == 2)

    assert lines[1] == ("crash", "ended with status 3; it starts again in 1 s")


def test_what_a_dead_process_had_started_ends_before_the_restart(family, tmp_path):
    with supervise(ProcessSpec("one", family("one"))) as supervisor:
        poll(lambda: len(pids_in(tmp_path)) == 3)
        first = pids_in(tmp_path)
        os.kill(supervisor.pids()["one"], signal.SIGKILL)
        poll(lambda: len(pids_in(tmp_path)) == 6)

        assert not alive(first)


def test_the_next_process_starts_when_the_one_before_is_ready(tmp_path):
    lines: list[tuple[str, str]] = []
    ready = tmp_path / "ready"
    redis = ProcessSpec("redis", sh(f"sleep 0.3; touch {ready}; echo ready; sleep 120"), ready=ready.exists)
    migrate = ProcessSpec("release", sh("sleep 0.3; echo migrated"), once=True)
    with supervise(redis, migrate, ProcessSpec("web", sh("echo up; sleep 120")), lines=lines):
        poll(lambda: len(lines) == 3)

    assert lines == [("redis", "ready"), ("release", "migrated"), ("web", "up")]


def test_processes_stop_in_the_opposite_order():
    lines: list[tuple[str, str]] = []
    polite = sh("trap 'sleep 0.2; echo ended; exit' TERM; echo up; while :; do sleep 0.05; done")
    redis = ProcessSpec("redis", polite, ready=lambda: ("redis", "up") in lines)
    with supervise(redis, ProcessSpec("worker", polite), lines=lines):
        poll(lambda: len(lines) == 2)

    assert lines[2:] == [("worker", "ended"), ("redis", "ended")]


def test_a_failing_release_starts_nothing_more():
    lines: list[tuple[str, str]] = []
    supervisor = supervise(ProcessSpec("release", "false", once=True), ProcessSpec("web", sh("echo up")), lines=lines)

    with pytest.raises(ConfigurationError, match="release failed"):
        supervisor.__enter__()

    assert lines == []
    assert supervisor.pids() == {}


def test_a_process_that_is_never_ready_is_an_error():
    with pytest.raises(ConfigurationError, match=r"web was not ready within 0\.2 s"):
        supervise(ProcessSpec("web", "sleep 120", ready=lambda: False), ready_seconds=0.2).__enter__()


@pytest.mark.parametrize(("status", "expected"), [(0, 0), (4, 1)], ids=["all well", "one failed"])
def test_without_restart_waiting_ends_with_the_last_process(status, expected):
    with supervise(ProcessSpec("job", sh(f"exit {status}")), restart=False) as supervisor:
        assert supervisor.wait() == expected


def test_a_command_is_expanded_by_the_shell_with_its_own_environment():
    lines: list[tuple[str, str]] = []
    spec = ProcessSpec("web", "echo ${PORT:-8000} ${HOST:-127.0.0.1}", env={"PORT": "9000"})
    with supervise(spec, lines=lines, restart=False) as supervisor:
        supervisor.wait()

    assert lines == [("web", "9000 127.0.0.1")]


def test_a_program_of_the_same_installation_is_found_without_an_activated_environment():
    lines: list[tuple[str, str]] = []
    spec = ProcessSpec("python", "python -c 'import sys; print(sys.prefix)'", env={"PATH": "/usr/bin:/bin"})
    with supervise(spec, lines=lines, restart=False) as supervisor:
        supervisor.wait()

    assert lines == [("python", sys.prefix)]


def test_undecodable_output_is_shown_as_far_as_possible():
    lines: list[tuple[str, str]] = []
    with supervise(ProcessSpec("odd", sh(r"printf '\377ok'")), lines=lines, restart=False) as supervisor:
        supervisor.wait()

    assert lines == [("odd", "\ufffdok")]


def test_console_pads_the_names():
    stream = io.StringIO()
    console = Console(["web", "worker"], stream=stream)

    console("web", "listening")
    console("worker", "ready")

    assert stream.getvalue() == "web    | listening\nworker | ready\n"


def test_console_colours_the_name_only():
    stream = io.StringIO()
    Console(["web"], stream=stream, colour=True)("web", "listening")

    assert stream.getvalue() == "\x1b[36mweb |\x1b[0m listening\n"


def test_console_survives_its_reader():
    stream = io.StringIO()
    stream.close()

    Console(["web"], stream=stream, colour=False)("web", "listening")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("web gunicorn", "line 1: expected 'name: command'"),
        ("\nweb:", "line 2: expected 'name: command'"),
        ("web: a\nweb: b", "line 2: there are two processes 'web'"),
    ],
    ids=["no colon", "no command", "twice"],
)
def test_a_bad_procfile_is_refused(text, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        parse_procfile(text)
