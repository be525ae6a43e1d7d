"""The whole system as its user starts it: receiver, worker and beat as processes, against a sandbox."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import redis
import requests
from sqlalchemy import create_engine, text

from crmsync.cli.processes import free_ports
from crmsync.domain.dead_letters import DeadLetter
from crmsync.domain.runs import Run
from crmsync.embedded import embedded_client_url, find_server
from crmsync.lab.sandbox import Sandbox
from crmsync.lab.sandbox.deals import Deal
from crmsync.lab.sandbox.world import LOAD
from crmsync.store import Store
from tests.fakes import run_of_subject

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parent.parent
PATIENCE_SECONDS = 200.0
FLOW = "order_to_invoice"

# Read before a test's clean environment hides them.
TEST_DATABASE_URL = os.environ.get("CRMSYNC_TEST_DATABASE_URL", "")
TEST_REDIS_URL = os.environ.get("REDIS_URL", "")

Value = TypeVar("Value")

_WORKER = ["celery", "-A", "crmsync", "worker", "--loglevel", "INFO"]
COMMANDS: Mapping[str, list[str]] = {
    "web": ["gunicorn", "crmsync.web.wsgi:app", "--config", "python:crmsync.web.serving", "--workers", "1"],
    "worker": [*_WORKER, "--pool", "threads", "--concurrency", "8"],
    # Two workers that share the work by its queues.
    "crm": [*_WORKER, "--pool", "threads", "--concurrency", "4", "-Q", "crm,background,housekeeping"],
    "others": [*_WORKER, "--pool", "threads", "--concurrency", "4", "-Q", "erp,books"],
    "prefork": [*_WORKER, "--pool", "prefork", "--concurrency", "4"],
    "replayer": [*_WORKER, "--pool", "threads", "--concurrency", "2", "-Q", "dead_letter"],
    "beat": ["celery", "-A", "crmsync", "beat", "--loglevel", "INFO"],
    "flower": ["celery", "-A", "crmsync", "flower", "--address=127.0.0.1", "--persistent=False", "--read_only=True"],
}


def free_port() -> int:
    return free_ports(1)[0]


def until(condition: Callable[[], Value], *, patience_seconds: float = PATIENCE_SECONDS, what: str = "") -> Value:
    """The first true value of *condition*. Fails the test when patience ends."""
    deadline = time.monotonic() + patience_seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"never came true: {what or condition}")
        time.sleep(0.02)
    return value


# Without beat a worker looks itself whether a period has begun: then other flows would call and write meanwhile.
NO_PERIODS = dict.fromkeys(
    (
        "CRMSYNC_INVENTORY_SECONDS",
        "CRMSYNC_CATCH_UP_SECONDS",
        "CRMSYNC_COMPARE_SECONDS",
        "CRMSYNC_COMPARE_INVOICES_SECONDS",
    ),
    "0",
)


def big_sandbox(**settings: Any) -> Sandbox:
    """A sandbox whose vendors do not limit how much is asked of them."""
    return Sandbox(**{**LOAD, **settings})


@contextmanager
def database(home: Path) -> Iterator[str]:
    """An empty database for processes: a SQLite file, or a schema of its own in CRMSYNC_TEST_DATABASE_URL."""
    if not TEST_DATABASE_URL:
        yield f"sqlite:///{home / 'crmsync.db'}"
        return
    name = f"t_{uuid.uuid4().hex[:12]}"
    engine = create_engine(TEST_DATABASE_URL, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    try:
        yield f"{TEST_DATABASE_URL}{'&' if '?' in TEST_DATABASE_URL else '?'}options=-csearch_path%3D{name}"
    finally:
        with engine.connect() as connection:
            connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
        engine.dispose()


_databases_in_use: set[int] = set()


def _take_redis_database() -> str:
    """The address of an empty database of REDIS_URL that no other system uses; "" where there is no REDIS_URL."""
    if not TEST_REDIS_URL:
        return ""
    parts = urlsplit(TEST_REDIS_URL)
    first = int(parts.path.strip("/") or 0)
    number = next(first + each for each in range(16 - first) if first + each not in _databases_in_use)
    _databases_in_use.add(number)
    url = urlunsplit(parts._replace(path=f"/{number}"))
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


def _return_redis_database(url: str) -> None:
    _databases_in_use.discard(int(urlsplit(url).path.strip("/")))


class RedisServer:
    """A Redis of the test's own, which it may kill, freeze and start again. Its data is in memory."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        server = find_server()
        assert server is not None
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [server.path, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/tmp"
        )
        until(lambda: answers_ping(self.url), what="the Redis of the test answers")

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> RedisServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def answers_ping(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


class System:
    """Processes by name; a test may kill and start them again. Their output goes to files under *home*.

    The broker is *redis_url*; else an empty database of the suite's REDIS_URL; else the embedded server of *home*.
    """

    def __init__(
        self, home: Path, sandbox: Sandbox, *, database_url: str = "", redis_url: str = "", **environment: str
    ) -> None:
        self.home = home
        self.sandbox = sandbox
        self.state = home / "state"
        self.port = free_port()
        self.flower_port = free_port()
        home.mkdir(parents=True, exist_ok=True)
        self._borrowed_redis = "" if redis_url else _take_redis_database()
        self._external_redis = redis_url or self._borrowed_redis
        self.environment = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(home),
            "CRMSYNC_HOME": str(self.state),
            "PORT": str(self.port),
            "CRMSYNC_DEFAULT_CURRENCY": "USD",
            "CRMSYNC_SWEEP_SECONDS": "0.5",
            "CRMSYNC_SETTLE_SECONDS": "1",
            "CRMSYNC_LEASE_SECONDS": "5",
            "CRMSYNC_RETRY_BACKOFF_SECONDS": "0.2",
            "CRMSYNC_LOOK_AGAIN_SECONDS": "0.2",
            "CRMSYNC_ANNOUNCED_GRACE_SECONDS": "1",
            **sandbox.environment(),
            **({"DATABASE_URL": database_url} if database_url else {}),
            **({"REDIS_URL": self._external_redis} if self._external_redis else {}),
            **environment,
        }
        sandbox.profile.receiver_url = sandbox.receiver.base_url = f"http://127.0.0.1:{self.port}"
        self.store = Store(database_url or f"sqlite:///{self.state / 'crmsync.db'}")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> System:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- processes

    def start(self, *names: str) -> System:
        """Start processes by name. What stands after an @ tells two of a kind apart: worker@1, worker@2."""
        for name in names:
            with (self.home / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    self._command(name), env=self.environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
                )
        if "web" in names:
            self._await_receiver()
        return self

    def _command(self, name: str) -> list[str]:
        kind = name.partition("@")[0]
        command = [*COMMANDS[kind]]
        if kind == "flower":
            command += [f"--port={self.flower_port}"]
        if "worker" in command:
            command += ["--hostname", f"{name.replace('@', '-')}@test"]
        return command

    def _await_receiver(self) -> None:
        try:
            until(self._receiver_answers, what="the receiver answers")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{(self.home / 'web.log').read_text()}") from None

    def _receiver_answers(self) -> bool:
        assert self.processes["web"].poll() is None, "the receiver has ended"
        return self._answers("/healthz")

    def _answers(self, path: str) -> bool:
        try:
            return requests.get(self.url(path), timeout=2) is not None
        except requests.RequestException:
            return False

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def kill(self, name: str) -> None:
        """kill -9, children too."""
        process = self.processes.pop(name)
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def terminate(self, name: str) -> int:
        """SIGTERM to the main process, as a supervisor does it; the exit status."""
        process = self.processes.pop(name)
        process.terminate()
        try:
            return process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise

    def stop(self) -> None:
        for name in list(self.processes):
            self.kill(name)
        self.store.close()
        if self._borrowed_redis:
            _return_redis_database(self._borrowed_redis)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command as an operator types it, in another folder."""
        return subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            cwd="/",
        )

    def dead_letters(self, *arguments: str) -> Any:
        """`celery -A crmsync dead-letters … --json`; fails the test unless it succeeds."""
        done = self.run("celery", "-A", "crmsync", "dead-letters", *arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def log(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.home.glob("*.log")))

    # -- deals and what became of them

    def close(self, deal_id: str, **options: Any) -> int:
        """Close the deal in the CRM; returns the status that the receiver answered the webhook with."""
        answer = self.sandbox.deals.close(deal_id, **{"webhook": "json", **options}).answer
        assert answer is not None
        return int(answer.status)

    def close_all(self, deals: Sequence[Deal], *, at_a_time: int = 8, insist: bool = False) -> None:
        """Close deals in parallel. *insist*: send a webhook again until it is answered 200, as a vendor does."""

        def one(deal: Deal) -> int:
            if not insist:
                return self.close(deal.id)
            return until(lambda: (status := self.close(deal.id)) == 200 and status, what="the webhook is taken")

        with ThreadPoolExecutor(at_a_time) as pool:
            statuses = list(pool.map(one, deals))
        assert set(statuses) == {200}

    def run_of(self, deal: Deal) -> Run:
        with self.store.read() as uow:
            run = run_of_subject(uow, FLOW, deal.id)
        assert run is not None, f"there is no run for {deal.id}"
        return run

    def statuses(self, deals: Sequence[Deal]) -> Counter[str]:
        with self.store.read() as uow:
            runs = [run_of_subject(uow, FLOW, deal.id) for deal in deals]
        return Counter(run.status.value if run is not None else "none" for run in runs)

    def wait_for(self, status: str, *deals: Deal, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Until the run of each deal has this status: done, stopped, discarded, active."""
        try:
            until(lambda: self.statuses(deals) == {status: len(deals)}, patience_seconds=patience_seconds)
        except AssertionError:
            letters = [(letter.step, letter.error, letter.cause) for letter in self.letters()]
            runs = [(run.step, run.status.value, run.due_at, run.leased_until) for run in map(self.run_of, deals)]
            raise AssertionError(f"not all {status}: {self.statuses(deals)}, {letters}, {runs[:5]}") from None

    def history(self, deal: Deal) -> list[tuple[str, str]]:
        """(step, event) of the deal's run, in order."""
        with self.store.read() as uow:
            return [(row.step, row.event) for row in uow.history.of_run(self.run_of(deal).id)]

    def letters(self) -> list[DeadLetter]:
        with self.store.read() as uow:
            return list(uow.dead_letters.list(None))

    def letter_of(self, deal: Deal) -> DeadLetter:
        with self.store.read() as uow:
            letter = uow.dead_letters.of_run(self.run_of(deal).id)
        assert letter is not None, f"there is no dead letter for {deal.id}"
        return letter

    def documents(self, deal: Deal) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The orders and the invoices that exist for the deal."""
        ledger, reference = self.sandbox.ledger(), f"SF-{deal.id}"
        orders = [order for order in ledger["orders"] if order["reference"] == reference]
        return orders, [invoice for invoice in ledger["invoices"] if invoice["reference"] == reference]

    def assert_each_once(self, deals: Sequence[Deal], *, customers: Sequence[str]) -> None:
        """Each deal has one order and one invoice of its amount, mailed once; each name is one customer each side.

        Both are of the deal's own customer, and the deal carries their numbers and no others.
        """
        ledger = self.sandbox.ledger()
        expected = {f"SF-{deal.id}": f"{deal.amount:.2f}" for deal in deals}
        orders = [(order["reference"], f"{order['net']:.2f}") for order in ledger["orders"]]
        invoices = [(invoice["reference"], f"{invoice['sub_total']:.2f}") for invoice in ledger["invoices"]]
        mails = Counter(mail["reference"] for mail in ledger["mails"])
        assert sorted(pair for pair in orders if pair[0] in expected) == sorted(expected.items())
        assert sorted(pair for pair in invoices if pair[0] in expected) == sorted(expected.items())
        assert {reference: mails[reference] for reference in expected} == dict.fromkeys(expected, 1)
        for kind in ("customers", "contacts"):
            named = Counter(row["name"] for row in ledger[kind])
            assert {name: named[name] for name in customers} == dict.fromkeys(customers, 1), kind
        written = {row["id"]: row for row in ledger["deals"]}
        assert [_told(written[deal.id]) for deal in deals] == [_of_documents(ledger, deal) for deal in deals]

    # -- the broker

    def redis(self) -> redis.Redis:
        """A client of the system's broker."""
        return redis.Redis.from_url(self._external_redis or embedded_client_url(self.state), decode_responses=True)

    def queue_length(self, name: str = "dead_letter") -> int:
        with self.redis() as client:
            return int(client.llen(name))


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a deal says of its documents."""
    names = {"ordered by": row["account"], "billed to": row["account"]}
    return {"order": row["SAP_Order_Number__c"], "invoice": row["Zoho_Invoice_Number__c"], **names}


def _of_documents(ledger: Mapping[str, Any], deal: Deal) -> dict[str, Any]:
    """What the documents of a deal say themselves; it has one of each."""
    [order] = [each for each in ledger["orders"] if each["reference"] == f"SF-{deal.id}"]
    [invoice] = [each for each in ledger["invoices"] if each["reference"] == f"SF-{deal.id}"]
    [partner] = [each["name"] for each in ledger["customers"] if each["customer"] == order["customer"]]
    [contact] = [each["name"] for each in ledger["contacts"] if each["id"] == invoice["customer_id"]]
    return {"order": order["id"], "invoice": invoice["number"], "ordered by": partner, "billed to": contact}


@contextmanager
def running(home: Path, *processes: str, sandbox: Sandbox | None = None, **environment: str) -> Iterator[System]:
    """A system of the test's own, with an empty database and the stand-ins; these processes run already."""
    with (
        sandbox or big_sandbox() as vendors,
        database(home) as url,
        System(home, vendors, database_url=url, **environment) as system,
    ):
        yield system.start(*processes)
