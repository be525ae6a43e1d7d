"""The system under test: every process of crmsync under the supervisor, the stand-ins, and a state of its own."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import update

from crmsync.cli.processes import COMMANDS, specs
from crmsync.errors import ConfigurationError
from crmsync.lab import machine
from crmsync.lab.prove.broker import Broker, broker
from crmsync.lab.prove.database import Database, database
from crmsync.lab.prove.earlier import EarlierRelease
from crmsync.lab.prove.plan import Plan
from crmsync.lab.rig import Rig
from crmsync.lab.sandbox import Sandbox
from crmsync.lab.sandbox.world import LOAD
from crmsync.store import Store
from crmsync.store.tables import tokens
from crmsync.supervisor import ProcessSpec, Supervisor

LEASE_SECONDS = 3.0
# Longer than the lease: so a document may come to its list after others have taken its step over, and within the time.
SETTLE_SECONDS = 4.0
LAG_SECONDS = LEASE_SECONDS + 0.8
CALL_SECONDS = 0.4 * LEASE_SECONDS
RESTART_SECONDS = 0.1
LATENCY_SECONDS = 0.01
WORKERS = ("worker1", "worker2")
COMPANIES = 4  # two of each tenant

# The times of production, shortened alike: retries span as long as 2 + 4 + 8 seconds do there.
BEHAVIOUR = {
    "CRMSYNC_WORKERS": str(len(WORKERS)),
    "CRMSYNC_LEASE_SECONDS": f"{LEASE_SECONDS:g}",
    "CRMSYNC_SETTLE_SECONDS": f"{SETTLE_SECONDS:g}",
    "CRMSYNC_SWEEP_SECONDS": "0.5",
    "CRMSYNC_RETRY_BACKOFF_SECONDS": "0.2",
    "CRMSYNC_LOOK_AGAIN_SECONDS": "0.2",
    "CRMSYNC_MAX_RETRIES": "6",
    "CRMSYNC_INVENTORY_SECONDS": "0",  # the campaign starts them itself
    "CRMSYNC_COMPARE_SECONDS": "0",
    "CRMSYNC_COMPARE_INVOICES_SECONDS": "0",
    "CRMSYNC_CATCH_UP_SECONDS": "0",
    "CRMSYNC_CATCH_UP_GRACE_SECONDS": "0",
    "CRMSYNC_CATCH_UP_OVERLAP_SECONDS": "30",
    "CRMSYNC_GO_LIVE": "2020-01-01",
    "CRMSYNC_BURST_DEALS": "0",  # a campaign closes more deals within an hour than a company
}

_UNLIMITED = {**LOAD, "zoho_tokens_per_window": 10**6}


class PromptSupervisor(Supervisor):
    """Restarts at once: what dies here is meant to die, and dies often."""

    def sleep(self, seconds: float) -> None:
        super().sleep(min(seconds, RESTART_SECONDS))


class Stage(Rig):
    """Use `running`."""

    def __init__(self, plan: Plan, home: Path, *, seed: int) -> None:
        super().__init__(home, Sandbox(seed=seed, latency_seconds=LATENCY_SECONDS, companies=COMPANIES, **_UNLIMITED))
        self.plan = plan
        self.random = random.Random(f"{seed}/stage")
        self.failpoints = home / "failpoints"
        self.numbers = count(1)
        self.database: Database
        self.broker: Broker
        self.supervisor: Supervisor
        self.earlier: EarlierRelease

    @classmethod
    @contextmanager
    def running(cls, plan: Plan, *, seed: int, tell_kept: Callable[[str], None] | None) -> Iterator[Stage]:
        """Everything up, and nothing left at the end."""
        machine.forget_proxies()
        with machine.state_directory("crmsync-prove-", tell_kept) as home, ExitStack() as stack:
            yield cls(plan, home, seed=seed)._enter(stack)

    def _enter(self, stack: ExitStack) -> Stage:
        self.failpoints.mkdir()
        self.database = database(self.plan.database, self.home)
        stack.callback(self.database.close)
        self.broker = broker(self.plan.broker, self.home)
        stack.enter_context(self.sandbox)
        stack.enter_context(self.slack)
        stack.callback(lambda: self.store.close())
        self.supervisor = self._supervisor(self._specs())
        stack.callback(self._end_stops)
        if self.plan.previous:
            self._enter_earlier(stack)
        else:
            stack.enter_context(self.supervisor)
        return self

    def _enter_earlier(self, stack: ExitStack) -> None:
        """Start an earlier release, with the broker that the one after it uses as well."""
        made = self._specs()
        of_both = [spec for spec in made if spec.name == "redis"]
        own = [spec for spec in made if spec.name != "redis"]
        stack.enter_context(self._supervisor(of_both))
        self.earlier = stack.enter_context(EarlierRelease(self.plan.previous, own, self._supervisor))
        self.supervisor = self._supervisor(own)
        stack.callback(self.supervisor.stop)

    def upgrade(self) -> Iterator[str]:
        """Migrate, and put this release in the place of the earlier one; what was done last, after each step."""
        command = Path(sys.executable).with_name("crmsync")
        done = subprocess.run([command, "migrate"], env=self.env, cwd=self.home, check=False, capture_output=True)
        if done.returncode:
            raise ConfigurationError(f"The earlier release could not be migrated. {done.stderr.decode().strip()}")
        yield "migrated"
        for name in self.earlier.ending():
            if name == "web":
                self.supervisor.start()
            yield name

    def _specs(self) -> list[ProcessSpec]:
        ready = self.ready(WORKERS)
        made = [self._pooled(spec) for spec in specs(self.settings) if spec.name != "flower"]
        return [_with_ready(spec, ready.get(spec.name)) for spec in made]

    def _supervisor(self, made: Sequence[ProcessSpec]) -> Supervisor:
        return PromptSupervisor(made, env=self.env, cwd=self.home, on_line=self.logs, grace_seconds=10)

    def _pooled(self, spec: ProcessSpec) -> ProcessSpec:
        if spec.name not in WORKERS or self.plan.pool == "threads":
            return spec
        command = COMMANDS["worker"].replace("--pool threads --concurrency 24", "--pool prefork --concurrency 4")
        return replace(spec, command=command)

    def _end_stops(self) -> None:
        """A stopped process can't be asked to end."""
        for pid in self.supervisor.pids().values():
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGCONT)

    @contextmanager
    def also_running(self, name: str, command: str) -> Iterator[None]:
        """One process more, for a while."""
        spec = ProcessSpec(name, command)
        with PromptSupervisor([spec], env=self.env, cwd=self.home, on_line=self.logs, grace_seconds=5):
            yield

    # -- where it is

    @cached_property
    def store(self) -> Store:
        return Store(self.database.own_url)

    def configuration(self) -> dict[str, str]:
        return {
            **super().configuration(),
            "DATABASE_URL": self.database.url,
            "CRMSYNC_FAILPOINTS": str(self.failpoints),
            **dict.fromkeys(("CRMSYNC_ALLOW_HTTP", "CRMSYNC_ALLOW_PRIVATE_ADDRESSES"), "true"),
            **BEHAVIOUR,
            "CRMSYNC_RUN_AHEAD": "1" if self.plan.runs_ahead else "0",
            **self.broker.environment,
        }

    def ledger(self) -> dict[str, Any]:
        return self.sandbox.ledger()

    # -- to break it

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def victims(self) -> list[str]:
        """The processes that may be killed."""
        return sorted(set(self.supervisor.pids()) - {"release"})

    def kill(self, name: str) -> bool:
        """kill -9 of the process that leads; False if it is not running now."""
        pid = self.supervisor.pids().get(name)
        if pid is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return True

    @contextmanager
    def late_lists(self) -> Iterator[None]:
        """What is new comes to every list late: after a killed worker's lease, and just within the settle time."""
        profile = self.sandbox.profile
        lagging = (profile.salesforce, profile.sap, profile.zoho)
        for each in lagging:
            each.lag_seconds = LAG_SECONDS
        try:
            yield
        finally:
            for each in lagging:
                each.lag_seconds = 0.0

    def expire_tokens(self) -> None:
        """End every token; as if the last time was long ago, for vendors give but a few in ten minutes."""
        with self.store.begin() as uow:
            uow.connection.execute(update(tokens).values(renewals=[]))
        self.sandbox.expire_tokens()

    @contextmanager
    def files_limited(self) -> Iterator[None]:
        """No file of the receiver and the workers can be written meanwhile, as on a full disk. Linux only."""
        pids = [pid for name in ("web", *WORKERS) for pid in _group(self.supervisor.pids().get(name, 0))]
        _limit_files(pids, 0)
        try:
            yield
        finally:
            _limit_files(pids, resource.RLIM_INFINITY)


def _with_ready(spec: ProcessSpec, ready: Callable[[], bool] | None) -> ProcessSpec:
    return spec if ready is None else replace(spec, ready=ready)


def _group(leader: int) -> list[int]:
    """The processes of a group, by /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            if int(path.read_text().rpartition(")")[2].split()[2]) == leader:
                found.append(int(path.parent.name))
    return found


def _limit_files(pids: list[int], limit_bytes: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit_bytes, resource.RLIM_INFINITY))
