"""crmsync as it is installed: the processes of the Procfile, a Redis, a database, and the sandbox, all temporary."""

from __future__ import annotations

import json
import os
import re
import shlex
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

from benchmarks import load
from benchmarks.machine import BIN, ROOT, Processes, StuckError, until
from crmsync import embedded
from crmsync.cli.processes import answers, free_ports
from crmsync.domain.access import DEFAULT_TENANT
from crmsync.domain.runs import RunStatus
from crmsync.store import Store
from crmsync.supervisor.procfile import parse_procfile

PROCFILE = parse_procfile((ROOT / "Procfile").read_text())
CUSTOMERS = 50
FLOW = "order_to_invoice"
_ASK_SECONDS = 60.0

# What of the caller's environment reaches the processes: nothing that could configure them.
_KEPT = ("PATH", "LANG", "TMPDIR", "TZ")


def databases() -> dict[str, str]:
    """Where to measure, by name: SQLite (""), and PostgreSQL where CRMSYNC_TEST_DATABASE_URL names one."""
    url = os.environ.get("CRMSYNC_TEST_DATABASE_URL", "")
    return {"SQLite": ""} | ({"PostgreSQL": url} if url else {})


@contextmanager
def temporary_database(url: str) -> Iterator[str]:
    """*url* with a schema of its own, dropped afterwards; "" stays "", the SQLite file of the state directory."""
    if not url:
        yield ""
        return
    name, address = f"b_{uuid.uuid4().hex[:12]}", make_url(url)
    plain = address.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True, connect_timeout=5) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
        try:
            yield f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{name}"
        finally:
            connection.execute("SET statement_timeout = '20s'")
            connection.execute(f"DROP SCHEMA {name} CASCADE")


class Installation:
    """A state directory and its processes; `with Installation() as crmsync: crmsync.start("web", "worker")`."""

    def __init__(self, *, database_url: str = "", has_redis: bool = True, companies: int = 1) -> None:
        self._database_url = database_url
        self._has_redis = has_redis
        self._companies = companies
        self._stack = ExitStack()

    def __enter__(self) -> Installation:
        with ExitStack() as stack:
            self.home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crmsync-bench-")))
            database_url = stack.enter_context(temporary_database(self._database_url))
            self.processes = stack.enter_context(Processes(self.home, self._environment(database_url)))
            self.store = Store(database_url or f"sqlite:///{self.state / 'crmsync.db'}")
            stack.callback(self.store.close)
            self._start_surroundings()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _environment(self, database_url: str) -> dict[str, str]:
        self.port, self.flower_port = free_ports(2)
        return {
            **{name: os.environ[name] for name in _KEPT if name in os.environ},
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "CRMSYNC_HOME": str(self.state),
            "PORT": str(self.port),
            "FLOWER_PORT": str(self.flower_port),
            "CRMSYNC_DEFAULT_CURRENCY": "USD",
            "CRMSYNC_BURST_DEALS": "0",
            **({"DATABASE_URL": database_url} if database_url else {}),
        }

    def _start_surroundings(self) -> None:
        self.processes.start("sandbox", f"python -m benchmarks.vendors {self._companies}")
        self.processes.await_word("sandbox", "\n")
        facts = json.loads(self.processes.log("sandbox").read_text().splitlines()[0])
        self.processes.environment |= facts["environment"]
        self.accounts: list[list[dict[str, Any]]] = facts["connections"]
        self.control_url, self.replay_url = facts["control"], facts["replay"]
        if self._has_redis:
            self.processes.start("redis", shlex.join(embedded.command(self.state)))
            until(lambda: embedded.is_running(self.state), what="Redis answers")

    @property
    def state(self) -> Path:
        return self.home / "state"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def webhook_secret(self) -> str:
        return self.processes.environment["SF_WEBHOOK_SECRET"]

    def start_web(self) -> None:
        self.processes.start("web", PROCFILE["web"])
        until(lambda: answers(f"{self.url}/healthz"), what="the receiver answers")

    def start_worker(self, name: str = "worker", *, pool: str = "threads", concurrency: int | None = None) -> None:
        """The worker of the Procfile, or one of another pool or size."""
        command = re.sub(r"--pool \w+", f"--pool {pool}", PROCFILE["worker"])
        if concurrency is not None:
            command = re.sub(r"--concurrency \d+", f"--concurrency {concurrency}", command)
        self.processes.start(name, f"{command} --hostname {name}@bench")
        self.processes.await_word(name, "ready.")

    def start_beat(self) -> None:
        self.processes.start("beat", PROCFILE["beat"])

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call the sandbox's control API."""
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self.control_url}/control{path}", data, timeout=_ASK_SECONDS) as answer:
            return json.loads(answer.read())

    def make_deals(self, count: int) -> list[str]:
        """Ids of won deals, which nobody has told crmsync of yet; the same customers each time."""
        return list(self.ask("/deals/bulk", {"deals": count, "customers": CUSTOMERS, "close": True})["ids"])

    def announce(self, deal_ids: Sequence[str], *, threads: int = 16) -> None:
        """Post the webhook of each deal to the receiver."""
        load.post_all(
            self.url, [load.signed(self.url, deal, self.webhook_secret) for deal in deal_ids], threads=threads
        )

    def set_latency(self, seconds: float, *, system: str = "") -> None:
        """What each call takes, of one vendor or of all."""
        self.ask("/latency", {"seconds": seconds, **({"system": system} if system else {})})

    def counts(self, flow: str = FLOW) -> dict[str, int]:
        """Runs of a flow by status."""
        with self.store.read() as uow:
            return {status: count for (name, status), count in uow.runs.counts(None).items() if name == flow}

    def await_done(self, count: int, *, seconds: float) -> None:
        """Wait until *count* runs are done. Raises: StuckError, also where a run needs a person."""

        def are_done() -> bool:
            found = self.counts()
            if found.get(RunStatus.STOPPED):
                raise StuckError(f"runs need a person: {self._causes()}")
            return found.get(RunStatus.DONE, 0) >= count

        until(are_done, what=f"{count} runs are done", seconds=seconds, poll_seconds=0.1)

    def _causes(self) -> str:
        with self.store.read() as uow:
            return "; ".join(sorted({f"{letter.step}: {letter.cause}" for letter in uow.dead_letters.list(None)}))

    def finished_at(self, deal_ids: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> float:
        """When the last of these deals of *tenant* was done, as time.time() counts."""
        wanted = set(deal_ids)
        with self.store.read() as uow:
            newest = uow.runs.newest(tenant, limit=len(wanted) + 1, flow=FLOW)
            ends = [run.updated_at for run in newest if run.subject_key in wanted]
        assert len(ends) == len(wanted)
        return max(ends).timestamp()


def settle(seconds: float = 1.0) -> None:
    """Let the machine come to rest between two rounds."""
    time.sleep(seconds)
