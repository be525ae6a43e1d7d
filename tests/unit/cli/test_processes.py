"""The processes of `crmsync up` are those of the Procfile."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from crmsync import embedded
from crmsync.cli import processes
from crmsync.settings import Settings
from crmsync.supervisor import parse_procfile

PROCFILE = Path(__file__).resolve().parents[3] / "Procfile"


def test_an_installed_package_runs_what_the_procfile_says():
    assert dict(processes.COMMANDS) == parse_procfile(PROCFILE.read_text())
    assert list(processes.COMMANDS) == list(parse_procfile(PROCFILE.read_text()))


def test_redis_comes_first_where_none_is_configured(monkeypatch):
    monkeypatch.setattr(embedded, "command", lambda home: ["valkey-server", str(home)])

    made = processes.specs(Settings.from_env({"CRMSYNC_HOME": "/state"}))

    assert [spec.name for spec in made] == ["redis", "release", "web", "worker1", "worker2", "beat", "flower"]
    assert [spec.name for spec in made if spec.once] == ["release"]
    assert [spec.name for spec in made if spec.ready] == ["redis", "web"]


@pytest.mark.parametrize("variable", ["REDIS_URL", "CELERY_BROKER_URL"])
def test_no_redis_is_started_beside_a_configured_one(variable):
    made = processes.specs(Settings.from_env({variable: "redis://example.test"}))

    assert made[0].name == "release"


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:8000"), ("0.0.0.0", "http://127.0.0.1:8000"), ("::1", "http://[::1]:8000")],
)
def test_the_receiver_is_asked_on_this_machine(host, url):
    assert processes.local_url(Settings.from_env({"CRMSYNC_HOST": host})) == url


def test_free_ports_are_free_and_different():
    ports = processes.free_ports(3)

    assert len(set(ports)) == 3
    assert processes.taken([("127.0.0.1", port) for port in ports]) == []


def test_no_connection_that_goes_out_is_given_a_free_port_before_its_process_listens():
    assert max(processes.free_ports(50)) < 32768


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_proxy_does_not_stand_between_us_and_our_own_receiver(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with HTTPServer(("127.0.0.1", 0), Healthy) as server:
        thread = Thread(target=server.handle_request)
        thread.start()

        assert processes.answers(f"http://127.0.0.1:{server.server_port}/healthz")

        thread.join()


def test_nobody_answers_on_a_port_that_is_free():
    (port,) = processes.free_ports(1)

    assert not processes.answers(f"http://127.0.0.1:{port}/healthz")
