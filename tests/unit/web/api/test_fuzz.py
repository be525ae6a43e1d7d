"""The API against its own description, with what nobody would think of: no fault, and no answer that is not described.

`CRMSYNC_FUZZ_EXAMPLES=500 make test ARGS=tests/unit/web/api/test_fuzz.py` asks each operation more.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.serving import make_server

from crmsync.services import Services
from crmsync.web.attempts import Requests
from crmsync.worker import dead_letters
from tests.unit.web.api.conftest import Caller, World

EXAMPLES = os.environ.get("CRMSYNC_FUZZ_EXAMPLES", "2")  # read before a test takes such variables away

# What may also be answered: to a valid request whose object is not there, or was changed; to one that says no version.
CONFIGURATION = """
[checks.missing_required_header]
expected-statuses = [401, 404, 422, 428]
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 304, 400, 404, 409, 412, 422, 428]
[checks.negative_data_rejection]
expected-statuses = [400, 401, 404, 405, 409, 412, 413, 415, 422, 428]
"""


@pytest.fixture
def address(app: Flask, services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The API behind a server of its own. It sends nobody to a vendor's page: the fuzzer would go there."""
    services.settings = replace(services.settings, doors_url="")
    monkeypatch.setattr(dead_letters, "tell_soon", lambda: None)
    monkeypatch.setattr(Requests, "seconds_to_wait", lambda self, token_id: 0)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.acceptance
@pytest.mark.usefixtures("at_once")
@pytest.mark.timeout(3600)
def test_whatever_is_asked_is_answered_as_described(address: str, admin: Caller, world: World, tmp_path: Path) -> None:
    known = {
        "run_id": world.run_id,
        "letter_id": world.letter_id,
        "token_id": world.token_id,
        "account": world.account,
        "connection_id": world.connection_id,
        "config_id": world.names["config"],
        "webhook_id": world.names["webhook"],
        "approval_id": world.approval_id,
        "flow": "inventory",
        "connection": "s4hana",
        "name": "s4hana",
    }
    named = "".join(f'"path.{name}" = {value!r}\n' for name, value in known.items())
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(f"[parameters]\n{named}{CONFIGURATION}")
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(configuration), "run"]
    options = ["--max-examples", EXAMPLES, "--phases", "coverage,fuzzing", "--generation-deterministic", "--no-color"]

    found = subprocess.run(
        [*command, f"{address}/api/erp/openapi.json", "-H", f"Authorization: Bearer {admin.token}", *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )

    assert found.returncode == 0, found.stdout[-8000:] + found.stderr[-2000:]
