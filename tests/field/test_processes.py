"""Cases from the field: O7 (Flower is closed and true), O8 (what is optional stops nothing), O9 (who gets what).

And O14: a receiver on a read-only root.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from crmsync import embedded, needs
from crmsync.cli import processes, up
from crmsync.errors import ConfigurationError
from crmsync.lab.sandbox import Sandbox
from crmsync.settings import Settings
from crmsync.supervisor import Supervisor
from crmsync.supervisor.guardian import Guardian
from tests.builders import private_pem
from tests.system import BIN, ROOT, free_port, until

PASSWORD = "correct horse, battery staple"  # the comma would part two logins in FLOWER_BASIC_AUTH
KEY = "a key of more than thirty-two characters, for a test"
CONFIGURED = {
    "SF_CLIENT_ID": "id",
    "SF_USERNAME": "crmsync@example.com",
    "SF_WEBHOOK_SECRET": "geheim-door-salesforce",
    "SAP_BASE_URL": "https://sap.example.com",
    "SAP_CLIENT_ID": "id",
    "SAP_CLIENT_SECRET": "geheim-sap",
    "SAP_SALES_ORGANIZATION": "1010",
    "ZOHO_CLIENT_ID": "id",
    "ZOHO_CLIENT_SECRET": "geheim-zoho-client",
    "ZOHO_REFRESH_TOKEN": "geheim-zoho-token",
    "ZOHO_ORGANIZATION_ID": "1",
    "ZOHO_WEBHOOK_SECRET": "geheim-door-zoho",
    "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/geheim",
    "CRMSYNC_TOWER_PASSWORD": "geheim-tower-password",
    "CRMSYNC_SECRET_KEY": f"geheim {KEY}",
    "DATABASE_URL": "postgresql://u:geheim-store@db/crmsync",
    "REDIS_URL": "redis://:geheim-broker@cache/0",
    "FLOWER_BASIC_AUTH": "operator:geheim-flower",
}


# -- O9: each process gets what it needs


SYSTEMS = {"geheim-sap", "zoho-client", "zoho-token"}
DOORS = {"door-salesforce", "door-zoho"}
WITHHELD_FROM: Mapping[str, set[str]] = {
    "release": {*SYSTEMS, *DOORS, "tower-password", "geheim-broker", "geheim-flower"},
    "web": {*SYSTEMS, "geheim-flower", "services/geheim"},
    "worker": {*DOORS, "tower-password", "geheim-flower"},
    "beat": {*SYSTEMS, *DOORS, "tower-password", "geheim-flower", "a key of"},
    "flower": {*SYSTEMS, *DOORS, "geheim-store", "services/geheim", "a key of"},
}


@pytest.mark.parametrize("name", WITHHELD_FROM)
def test_O9__a_process_gets_no_secret_that_it_does_not_need_and_its_settings_hold(name: str) -> None:
    given = needs.for_process(name, {**CONFIGURED, "SF_PRIVATE_KEY": private_pem()})

    assert [secret for secret in WITHHELD_FROM[name] if secret in " ".join(given.values())] == []
    assert (private_pem() in given.values()) == (name == "worker")
    settings = Settings.from_env(given)
    assert settings.systems.get("s4hana") is not None
    assert settings.slack.is_on


def test_O9__a_file_of_a_secret_is_withheld_like_the_secret() -> None:
    given = needs.for_process("flower", {"SAP_PASSWORD_FILE": "/run/secrets/sap", "REDIS_URL_FILE": "/run/redis"})

    assert given == {"SAP_PASSWORD": needs.WITHHELD, "REDIS_URL_FILE": "/run/redis"}


def test_O9__a_secret_that_is_withheld_can_not_be_used() -> None:
    settings = Settings.from_env(needs.for_process("web", CONFIGURED | {"SF_PRIVATE_KEY": private_pem()}))

    assert settings.systems.get("s4hana") is not None
    with pytest.raises(ConfigurationError, match="was not given the secret"):
        settings.systems.get("s4hana").client_secret.reveal()


def test_O9__every_process_of_the_procfile_has_its_line() -> None:
    assert set(needs.needs()) == set(processes.COMMANDS)


def test_O9__a_container_gets_what_its_process_needs() -> None:
    """The whole .env reaches each container; what its process does not need is overwritten."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name, needed in needs.needs().items():
        environment = services[name]["environment"]
        for secret in needs.secrets() - needs.NOBODY_NEEDS - {"PGPASSWORD", "DATABASE_URL", "REDIS_URL"}:
            marker = f"${{{secret}:+{needs.WITHHELD}}}"
            assert (environment.get(secret) == marker) == (secret not in needed), (name, secret)
        assert environment["POSTGRES_PASSWORD"] == ""
        assert ("PGPASSWORD" in environment) == ("PGPASSWORD" in needed)


# -- the whole, as `crmsync up` starts it


class Up:
    """`crmsync up` with its output in a file."""

    def __init__(self, home: Path, sandbox: Sandbox, **env: str) -> None:
        self.home, self.port, self.flower_port = home, free_port(), free_port()
        self.log = home / "up.log"
        self.env = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(home),
            "CRMSYNC_HOME": str(home / "state"),
            "PORT": str(self.port),
            "FLOWER_PORT": str(self.flower_port),
            "CRMSYNC_WORKERS": "1",
            "CRMSYNC_TOWER_PASSWORD": PASSWORD,
            "SLACK_WEBHOOK_URL": "http://127.0.0.1:1/services/geheim",
            "AWS_SECRET_ACCESS_KEY": "somebody else's",
            **sandbox.environment(),
            **env,
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(BIN / "crmsync"), "up"], env=self.env, cwd=home, stdout=log, stderr=log, start_new_session=True
            )

    def wait_for(self, text: str) -> None:
        until(lambda: text in self.log.read_text(), what=f"{text}: {self.log.read_text()[-2000:]}")

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def environments(self) -> dict[str, dict[str, str]]:
        """What each process really has, by its command line."""
        return {words: environ for pid in descendants(self.process.pid) for words, environ in [of_process(pid)]}


def descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task").glob("*/children")
    found = [int(word) for file in children for word in file.read_text().split()]
    return found + [each for child in found for each in descendants(child)]


def of_process(pid: int) -> tuple[str, dict[str, str]]:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().replace("\0", " ")
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return words, dict(pair.split("=", 1) for pair in pairs if "=" in pair)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with Sandbox() as sandbox:
        started = Up(tmp_path_factory.mktemp("up"), sandbox)
        try:
            until(lambda: flower(started, "/", auth=("crmsync", PASSWORD)) == 200, what="Flower answers")
            started.wait_for("ready.")
            yield started
        finally:
            started.end()


def flower(running: Up, path: str, auth: tuple[str, str] | None = None) -> int:
    try:
        return requests.get(f"http://127.0.0.1:{running.flower_port}{path}", auth=auth, timeout=10).status_code
    except requests.ConnectionError:
        return 0


def flower_json(running: Up, path: str) -> Any:
    url = f"http://127.0.0.1:{running.flower_port}{path}"
    return requests.get(url, auth=("crmsync", PASSWORD), timeout=10).json()


needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
acceptance = pytest.mark.acceptance


@acceptance
@needs_proc
def test_O9__no_process_of_crmsync_up_carries_what_it_does_not_need(running: Up) -> None:
    environments = running.environments()

    def has(word: str, *names: str) -> set[bool]:
        found = [env for command, env in environments.items() if word in command and "sh -c" not in command]
        assert found, word
        return {env.get(name, needs.WITHHELD) != needs.WITHHELD for env in found for name in names}

    assert has("crmsync worker", "SAP_CLIENT_SECRET", "ZOHO_REFRESH_TOKEN") == {True}
    for other in ("gunicorn", "crmsync beat", "crmsync flower", "valkey-server", "redis-server"):
        if any(other in command for command in environments):
            assert has(other, "SF_PRIVATE_KEY", "SAP_CLIENT_SECRET", "ZOHO_REFRESH_TOKEN", "SLACK_WEBHOOK_URL") == {
                False
            }
    assert has("crmsync worker", "CRMSYNC_TOWER_PASSWORD", "SF_WEBHOOK_SECRET") == {False}
    assert has("gunicorn", "SF_WEBHOOK_SECRET", "CRMSYNC_TOWER_PASSWORD") == {True}
    servers = [env for command, env in environments.items() if "redis.sock" in command or "-server" in command]
    assert servers
    assert all(
        set(env) <= {*needs._PLAIN, "PATH", "PYTHONUNBUFFERED", "PWD", "_", "OLDPWD", "SHLVL"} for env in servers
    )


@acceptance
def test_O7__flower_asks_for_the_password_of_the_control_tower(running: Up) -> None:
    assert flower(running, "/", auth=("crmsync", PASSWORD)) == 200
    for auth in (None, ("crmsync", "another password"), ("crmsync", "correct horse"), ("crmsync", "")):
        assert flower(running, "/api/workers", auth=auth) == 401


@acceptance
def test_O7__the_page_of_one_worker_works_and_does_not_claim_the_dead_letters(running: Up) -> None:
    def workers() -> dict[str, Any]:
        found: dict[str, Any] = flower_json(running, "/api/workers?refresh=1")
        return found

    name = until(lambda: next(iter(workers()), ""), what="Flower knows the worker")

    assert flower(running, f"/worker/{name}", auth=("crmsync", PASSWORD)) == 200
    consumed = {queue["name"] for queue in workers()[name]["active_queues"]}
    assert "crm" in consumed
    assert "dead_letter" not in consumed
    lengths = {queue["name"] for queue in flower_json(running, "/api/queues/length")["active_queues"]}
    assert {"crm", "erp", "books", "dead_letter"} <= lengths


# -- O7: Flower by its own line


def own_line(home: Path, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    """What Flower says when it does not start; one that starts fails the test by its time limit."""
    full = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(home), "CRMSYNC_HOME": str(home / "state"), **env}
    words = [str(BIN / "celery"), "-A", "crmsync", "flower", f"--port={free_port()}", "--address=127.0.0.1", *options]
    return subprocess.run(words, env=full, cwd=home, capture_output=True, text=True, timeout=60, check=False)


@acceptance
def test_P13__a_flowerconfig_of_another_project_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "flowerconfig.py").write_text("raise SystemExit('foreign')")
    (tmp_path / "ours.py").write_text("raise SystemExit('named')")

    assert "foreign" not in own_line(tmp_path, FLOWER_BASIC_AUTH="operator").stderr
    assert "named" in own_line(tmp_path, "--conf=ours.py", FLOWER_BASIC_AUTH="operator:geheim").stderr


@acceptance
@pytest.mark.parametrize(
    ("options", "env"),
    [
        (["--basic_auth="], {}),
        (["--basic_auth=operator:"], {}),
        (["--basic_auth=operator:one,ida:"], {}),
        ([], {"FLOWER_BASIC_AUTH": "operator"}),
        ([], {"FLOWER_BASIC_AUTH_FILE": "/nowhere"}),
        ([], {"CRMSYNC_TOWER_PASSWORD_FILE": "/nowhere"}),
    ],
    ids=["empty option", "no password", "one without a password", "no colon", "no file", "no file of the tower's"],
)
def test_O7__flower_without_a_password_does_not_start(
    tmp_path: Path, options: list[str], env: Mapping[str, str]
) -> None:
    result = own_line(tmp_path, *options, REDIS_URL="redis://127.0.0.1:1/0", **env)

    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    assert "password" in result.stderr or "BASIC_AUTH" in result.stderr


# -- O8: what is optional stops nothing


def test_O8__a_taken_port_of_flower_leaves_only_flower_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        settings = Settings.from_env({"FLOWER_PORT": str(port), "PORT": str(free_port())})

        reason = up.why_no_flower(settings)
        up.refuse_taken_port(settings)

    assert f"left out: FLOWER_PORT {port} is taken by another process" in reason
    assert "FLOWER_PORT=" in reason


def test_O8__a_taken_port_of_the_receiver_is_refused_with_a_free_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(ConfigurationError) as caught:
        up.refuse_taken_port(Settings.from_env({"PORT": str(server.getsockname()[1])}))

    assert "is free" in caught.value.field_errors["PORT"]


def test_O8__an_address_of_another_machine_is_said_as_such() -> None:
    assert "192.0.2.1" in up.why_no_flower(Settings.from_env({"FLOWER_ADDRESS": "192.0.2.1"}))


@acceptance
def test_O8__crmsync_up_starts_the_work_while_the_port_of_flower_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, Sandbox() as sandbox:
        started = Up(tmp_path, sandbox, FLOWER_PORT=str(server.getsockname()[1]))
        try:
            started.wait_for("is taken by another process")
            started.wait_for("ready.")
            assert requests.get(f"http://127.0.0.1:{started.port}/healthz", timeout=5).status_code == 200
        finally:
            started.end()
    assert "flower " not in started.log.read_text().replace("Flower", "")


@needs_proc
def test_O9__the_guardian_of_crmsync_up_gets_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAP_CLIENT_SECRET", "geheim")
    guardian = Guardian()
    try:
        assert b"geheim" not in Path(f"/proc/{guardian.pid}/environ").read_bytes()
    finally:
        guardian.close()


def test_P13__the_redis_of_crmsync_up_runs_no_module_of_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "crmsync").mkdir()
    (tmp_path / "crmsync" / "__init__.py").write_text("raise SystemExit('foreign')")

    ended = subprocess.run(
        embedded._script("none", Path("x"), tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert "KeyError: 'none'" in ended.stderr  # it is our own module that was run


def test_O9__the_redis_of_a_plain_celery_command_gets_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setenv("SAP_CLIENT_SECRET", "geheim")
    monkeypatch.setattr(embedded.subprocess, "run", lambda *words, **options: seen.update(options))
    monkeypatch.setattr(embedded, "_require_server", lambda: embedded.ServerBinary(Path("x"), "Valkey", "9", "here"))
    (tmp_path / "redis").mkdir()

    embedded._start_keeper(tmp_path)

    assert "SAP_CLIENT_SECRET" not in seen["env"]


def test_O8__a_process_that_never_starts_does_not_stop_the_others(tmp_path: Path) -> None:
    lines: list[tuple[str, str]] = []
    specs = [
        processes.ProcessSpec("broken", "no-such-program-here"),
        processes.ProcessSpec("good", "echo works"),
    ]
    with Supervisor(specs, env=os.environ, cwd=tmp_path, on_line=lambda *line: lines.append(line), grace_seconds=2):
        until(lambda: ("good", "works") in lines, what="the other runs")


# -- O14: a container without a writable folder


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="there is no memory that looks like a folder")
def test_O14__a_receiver_needs_no_folder_for_temporary_files(tmp_path: Path) -> None:
    """As with a read-only root and nothing mounted at /tmp: each of gunicorn's workers keeps a file as its pulse."""
    code = (
        "import tempfile; tempfile.tempdir = '/dev/null/none'\n"
        "from gunicorn.app.wsgiapp import WSGIApplication; from gunicorn.workers.workertmp import WorkerTmp\n"
        "WorkerTmp(WSGIApplication(prog='gunicorn').cfg).notify(); print('it beats')"
    )
    words = [sys.executable, "-c", code, "crmsync.web.wsgi:app", "--config", "python:crmsync.web.serving"]
    env = {"CRMSYNC_HOME": str(tmp_path), "PATH": os.environ["PATH"]}

    ended = subprocess.run(words, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert ended.stdout == "it beats\n", ended.stderr
