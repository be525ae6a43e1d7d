"""Alerts on their way to Slack: real clients against a local stand-in, the real outbox, a clock told the time."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from crmsync.alerts.delivery import deliver
from crmsync.alerts.messenger import Messenger, messenger_of
from crmsync.errors import CrmsyncError, RejectedError, VendorUnavailableError
from crmsync.flows import order_to_invoice
from crmsync.services import Services
from crmsync.settings import Secret, SlackSettings
from crmsync.worker import dead_letters
from crmsync.worker.attempt import Attempt
from tests.fakes import DEFAULT, FakeClock
from tests.integration.test_tenants_apart import a_connection


class Slack:
    """Stands in for Slack: keeps what was posted, and answers as it is told."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.refusals: list[tuple[int, dict[str, str]]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def refuses(self, status: int = 503, *, times: int = 1, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.refusals += [(status, named)] * times

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def messages(self) -> list[tuple[str, dict[str, Any]]]:
        """What people see: (path, message)."""
        return self.posted

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        slack = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, headers = slack.refusals.pop(0) if slack.refusals else (200, {})
                if status == 200:
                    slack.posted.append((self.path, body))
                is_bot = self.path.startswith("/api/")
                answer = {"ok": status == 200, "channel": "C1", "ts": f"171.{len(slack.posted)}", "error": "refused"}
                text = json.dumps(answer).encode() if is_bot else b"ok"
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: Any) -> None: ...

        return Handler


@pytest.fixture
def slack() -> Iterator[Slack]:
    slack = Slack()
    yield slack
    slack.stop()


@pytest.fixture
def bot(slack: Slack) -> Messenger:
    return messenger_of(SlackSettings(None, Secret("xoxb-1"), "C1", f"{slack.url}/api/"))


@pytest.fixture
def webhook(slack: Slack) -> Messenger:
    return messenger_of(SlackSettings(Secret(f"{slack.url}/services/T/B/x"), None, "", ""))


@pytest.fixture(params=["bot", "webhook"])
def messenger(request: pytest.FixtureRequest) -> Messenger:
    return request.getfixturevalue(request.param)


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes to the broker beside the alert is no matter here."""
    monkeypatch.setattr(dead_letters, "best_effort", lambda send: True)


_subjects = iter(range(1, 10_000))


def dies(services: Services, error: CrmsyncError, *, company: str = "Acme Ltd") -> str:
    """A run ends as a dead letter; the deal's id."""
    subject = f"006{next(_subjects):012d}AAA"
    with services.store.begin() as uow:
        run_id, _ = order_to_invoice.FLOW.open_run(uow, DEFAULT, subject, correlation_id="c")
        run = uow.runs.claim(run_id, "fetch_deal", lease_seconds=60)
    assert run is not None
    attempt = Attempt(replace(run, step="create_order"), services, services.store.clock())
    attempt.describe(title=f"{company} – sensors", amount=Decimal(47000), currency="USD")
    assert dead_letters.bury(attempt, error)
    return subject


def outage() -> CrmsyncError:
    return VendorUnavailableError(system="SAP S/4HANA", code="503")


def text_of(message: dict[str, Any]) -> str:
    return json.dumps(message, ensure_ascii=False)


def test_a_dead_letter_is_told_with_all_that_a_person_needs(
    services: Services, messenger: Messenger, slack: Slack
) -> None:
    subject = dies(services, outage())

    assert deliver(services.store, messenger) == 1

    [(_, message)] = slack.messages()
    for needed in (subject, "Acme Ltd", "47,000.00 USD", "SAP S/4HANA", "order_to_invoice.create_order"):
        assert needed in message["text"]
        assert needed in text_of(message["blocks"])
    command = "celery -A crmsync dead-letters replay 1"
    assert command in message["text"]
    assert command in text_of(message["blocks"])


def test_an_alert_says_whose_it_is_where_there_are_several(
    services: Services, messenger: Messenger, slack: Slack
) -> None:
    content = {"headline": "It is down", "facts": [], "cause": "", "advice": "", "command": ""}
    with services.store.begin() as uow:
        uow.alerts.add("default", "a", content, connection="s4hana")
    deliver(services.store, messenger)
    with services.store.begin() as uow:
        uow.connections.add(a_connection("acme", "con_crm", uow), sealed="", key_id="")
        uow.connections.add(a_connection("default", "con_crm2", uow), sealed="", key_id="")
        uow.alerts.add("acme", "b", content, connection="con_crm")
        uow.alerts.add("default", "c", content, connection="s4hana")
        uow.alerts.add(None, "d", content)
    deliver(services.store, messenger)

    told = [message["text"] for _, message in slack.messages()]
    assert [("connection" in text, "tenant" in text) for text in told] == [
        (False, False),
        (True, True),
        (True, True),
        (False, False),
    ]
    assert "connection The CRM of acme, tenant acme" in told[1]
    assert "connection s4hana, tenant default" in told[2]


def test_fifty_dead_letters_of_a_cause_are_one_alert_with_a_count(
    services: Services, messenger: Messenger, slack: Slack, clock: FakeClock
) -> None:
    dies(services, outage())
    deliver(services.store, messenger)
    for _ in range(49):
        dies(services, outage())
        deliver(services.store, messenger)
    assert len(slack.messages()) == 1

    clock.advance(messenger.update_seconds)
    deliver(services.store, messenger)

    assert len(slack.messages()) == 2
    assert "(50 times; the latest)" in slack.messages()[-1][1]["text"]
    clock.advance(messenger.update_seconds)
    assert deliver(services.store, messenger) == 0


def test_a_bot_updates_its_message_in_place(services: Services, bot: Messenger, slack: Slack, clock: FakeClock) -> None:
    for _ in range(2):
        dies(services, outage())
        deliver(services.store, bot)
        clock.advance(bot.update_seconds)

    first, second = slack.messages()
    assert (first[0], first[1]["channel"]) == ("/api/chat.postMessage", "C1")
    assert (second[0], second[1]["ts"]) == ("/api/chat.update", "171.1")


def test_two_causes_are_two_alerts(services: Services, messenger: Messenger, slack: Slack) -> None:
    dies(services, outage())
    dies(services, RejectedError(system="SAP S/4HANA", code="V1/555"))

    deliver(services.store, messenger)

    assert len(slack.messages()) == 2


def test_a_cause_that_was_over_is_told_anew(
    services: Services, messenger: Messenger, slack: Slack, clock: FakeClock
) -> None:
    for _ in range(2):
        dies(services, outage())
        deliver(services.store, messenger)
        clock.advance(3600)

    assert [("times" in message["text"]) for _, message in slack.messages()] == [False, False]


@pytest.mark.parametrize("status", [500, 503, 403, 404])
def test_an_outage_of_slack_loses_no_alert(
    services: Services, messenger: Messenger, slack: Slack, clock: FakeClock, status: int
) -> None:
    dies(services, outage())
    dies(services, RejectedError(system="SAP S/4HANA"))
    slack.refuses(status, times=3)
    for _ in range(3):
        assert deliver(services.store, messenger) == 0
        clock.advance(300)

    assert deliver(services.store, messenger) == 2
    assert len(slack.messages()) == 2


def test_a_slack_that_is_not_there_loses_no_alert(
    services: Services, messenger: Messenger, slack: Slack, clock: FakeClock
) -> None:
    dies(services, outage())
    slack.stop()

    assert deliver(services.store, messenger) == 0

    with services.store.read() as uow:
        assert uow.alerts.pending_count(None) == 1


def test_the_wait_that_slack_asks_for_is_kept(
    services: Services, messenger: Messenger, slack: Slack, clock: FakeClock
) -> None:
    dies(services, outage())
    dies(services, RejectedError(system="SAP S/4HANA"))
    slack.refuses(429, Retry_After="120")

    deliver(services.store, messenger)
    clock.advance(119)
    assert deliver(services.store, messenger) == 0
    assert slack.messages() == []
    clock.advance(2)
    assert deliver(services.store, messenger) == 2


def test_an_alert_whose_sender_died_is_told_by_another(
    services: Services, messenger: Messenger, slack: Slack, clock: FakeClock
) -> None:
    dies(services, outage())
    with services.store.begin() as uow:
        assert len(uow.alerts.claim_due(limit=10, seconds=60)) == 1  # and then the process is killed

    assert deliver(services.store, messenger) == 0
    clock.advance(61)
    assert deliver(services.store, messenger) == 1


@pytest.mark.parametrize(
    "company",
    [
        "<!channel> & <https://evil.example|click here>",
        "```*bold* _x_ <@U123>```",
        "x" * 5000,
        "Ünïcode 株式会社 \u202e\n\n*Cause*",
    ],
)
def test_a_hostile_company_name_is_no_markup(
    services: Services, messenger: Messenger, slack: Slack, company: str
) -> None:
    dies(services, outage(), company=company)

    deliver(services.store, messenger)

    [(_, message)] = slack.messages()
    for text in (message["text"], text_of(message["blocks"])):
        for control in ("<!", "<@", "<#", "<http"):
            assert control not in text
    for block in message["blocks"]:
        for part in [block["text"]] if "text" in block else block["fields"]:
            assert len(part["text"]) <= (2000 if "fields" in block else 3000)
