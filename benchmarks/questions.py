"""How long the questions take that people and machines ask a store again and again.

`python -m benchmarks.questions ROUNDS` asks the store of its environment, and prints for each question, as JSON, its
seconds and those of this process's processor: the medians of the rounds, after one that fills the caches.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from statistics import median

import click
from click.testing import CliRunner
from flask.testing import FlaskClient

from crmsync.cli.dead_letters import dead_letters
from crmsync.cli.runs import runs
from crmsync.passwords import TOWER_USER, tower_password
from crmsync.services import Services, services
from crmsync.web import health
from crmsync.web.app import create_app
from crmsync.web.metrics import StoreCollector
from crmsync.worker import housekeeping

Ask = Callable[[], object]

PAGES = {
    "tower: overview": "/",
    "tower: runs": "/runs",
    "tower: runs, second page": "",  # where the first one points to
    "tower: runs that are done": "/runs?status=done",
    "tower: runs that are stopped": "/runs?status=stopped",
    "tower: runs of one flow": "/runs?flow=invoice_to_deal",
    "tower: few of one flow": "/runs?flow=payment_to_invoices&status=discarded",
    "tower: dead letters": "/dead-letters",
    "tower: alerts": "/alerts",
    "tower: search, a number": "/runs?text=9INV-0000012345",
    "tower: search, part of one": "/runs?text=inv+123456",
    "tower: search, a name": "/runs?text=Werk+4711",
    "tower: search, nothing": "/runs?text=nobody+knows",
}


def questions(using: Services) -> Mapping[str, Ask]:
    client = create_app(using).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = _basic(TOWER_USER, tower_password(using.settings))
    pages = {**PAGES, "tower: runs, second page": _second_page(client)}
    return {
        "sweep": lambda: housekeeping.sweep_now(using),
        "/metrics": lambda: list(StoreCollector(using).collect()),
        "/readyz": lambda: health.check_all(using),
        **{name: _page(client, path) for name, path in pages.items()},
        "crmsync runs list": _command(runs),
        "dead-letters list": _command(dead_letters),
    }


def _basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def _second_page(client: FlaskClient) -> str:
    """An empty store has none: there it is the first."""
    found = re.search(r'href="(/runs\?after=[^"]+)"', client.get("/runs").text)
    return found[1] if found else "/runs"


def _page(client: FlaskClient, path: str) -> Ask:
    def ask() -> None:
        answer = client.get(path)
        if answer.status_code != 200:
            raise RuntimeError(f"{path}: {answer.status}")

    return ask


def _command(group: click.Group) -> Ask:
    """The command but its start, which is the interpreter's own."""

    def ask() -> None:
        CliRunner().invoke(group, ["list"], catch_exceptions=False)

    return ask


def _taken(ask: Ask) -> tuple[float, float]:
    started_at, before = time.perf_counter(), time.process_time()
    ask()
    return time.perf_counter() - started_at, time.process_time() - before


def main(rounds: int) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        asked = questions(services())
        taken = {name: [_taken(ask) for _ in range(rounds + 1)][1:] for name, ask in asked.items()}
    print(json.dumps({name: [median(each) for each in zip(*taken[name], strict=True)] for name in taken}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
