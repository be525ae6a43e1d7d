"""The control tower's pages and its two buttons, over a real store."""

from __future__ import annotations

import re
from contextlib import closing
from datetime import timedelta
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text, update
from werkzeug.test import TestResponse

from crmsync.domain.breaker import FailedCall
from crmsync.domain.dead_letters import LetterStatus
from crmsync.domain.ledger import EntryKey
from crmsync.domain.runs import RunStatus
from crmsync.errors import (
    AmbiguousMatchError,
    AmountMismatchError,
    DealChangedError,
    InvalidDealError,
    VendorUnavailableError,
)
from crmsync.phrases import plural
from crmsync.reading import letters as letters_module
from crmsync.reading.run import whole_run
from crmsync.services import Services
from crmsync.store.tables import dead_letters as letters_table
from tests.builders import DEAL_KEY
from tests.fakes import FakeClock, start_run
from tests.unit.web.conftest import STEPS

FACTS = [["Deal", DEAL_KEY], ["Company", "Acme Ltd – 200 sensors"], ["Amount", "47,000.00 USD"]]

PAGES = ("/", "/runs", "/dead-letters", "/stock", "/alerts")
PERSONAL = ("Petra", "Private", "petra@acme.test", "Main Street 1", "Springfield", "12345")
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


class _Words(HTMLParser):
    """The text of a page, as a person reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def words(answer: TestResponse) -> str:
    parser = _Words()
    parser.feed(answer.text)
    return re.sub(r"\s+", " ", " ".join(parser.words))


def token(client: FlaskClient) -> str:
    """What the page's form would send with its buttons."""
    client.get("/dead-letters")
    with client.session_transaction() as session:
        return str(session["token"])


def shown(client: FlaskClient, letter_id: int) -> str:
    """The page's form of the letter says of what it asks; "" where it is not on the page."""
    article = client.get("/dead-letters").text.partition(f'/dead-letters/{letter_id}/replay"')[2]
    found = re.search(r'name="told" value="(\w+)"', article)
    return found[1] if found else ""


def press(client: FlaskClient, letter_id: int, button: str, **fields: str) -> TestResponse:
    form = {"token": token(client), "told": shown(client, letter_id), "reason": "a test", **fields}
    return client.post(f"/dead-letters/{letter_id}/{button}", data=form)


# Pages


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/", "Nothing waits for a person"),
        ("/", "No runs yet. Each deal that is closed as won appears here"),
        ("/runs", "No runs yet. Each deal that is closed as won becomes a run"),
        ("/runs?text=nobody", "No run matches."),
        ("/dead-letters", "No dead letter waits. A run that can't go on by itself appears here"),
        ("/", "No inventory yet."),
        ("/", "No scan yet."),
        ("/stock", "No inventory yet. Every hour the stock of the ERP is written to the products"),
        ("/stock?text=x", "No product matches."),
        ("/alerts", "No alerts yet. When a run stops for good"),
        ("/alerts", "Slack is not configured: alerts go to the log and to this page."),
    ],
)
def test_an_empty_page_says_what_will_appear(operator: FlaskClient, path: str, sentence: str) -> None:
    answer = operator.get(path)

    assert answer.status_code == 200
    assert sentence in words(answer)


def test_the_overview_says_where_runs_stand(
    operator: FlaskClient, a_run: Any, a_letter: Any, services: Services
) -> None:
    a_run(key="006xx0000012ab1AAA", done=7)
    a_run(key="006xx0000012ab2AAA", done=2, leased=True)
    a_run(key="006xx0000012ab3AAA", done=4)
    a_letter(VendorUnavailableError(), key="006xx0000012ab4AAA", done=2)

    page = words(operator.get("/"))

    assert "1 run waits for a person" in page
    assert "running 1 waiting 1 stopped 1 done 1" in page
    assert "Create order 1 running 1 stopped" in page
    assert "Create invoice 1 waiting" in page
    assert "Webhooks in the last hour 4" in page
    assert "Alerts on their way 1" in page


def test_the_overview_warns_of_runs_that_nobody_takes(operator: FlaskClient, a_run: Any, clock: FakeClock) -> None:
    a_run(done=0)
    clock.advance(59)
    assert "Nothing waits for a person" in words(operator.get("/"))

    clock.advance(2)

    assert "Runs are due, and no worker takes them" in words(operator.get("/"))


def goes_down(services: Services) -> None:
    watch = services._breakers()
    for _ in range(services.settings.behaviour.breaker_failures):
        watch.failed("s4hana", "SAP S/4HANA", FailedCall(is_probe=False))


def test_the_overview_says_which_system_crmsync_waits_for(
    operator: FlaskClient, services: Services, a_run: Any, clock: FakeClock
) -> None:
    a_run(done=2)
    goes_down(services)
    clock.advance(61)

    page = words(operator.get("/"))

    assert "SAP S/4HANA: crmsync waits for it" in page
    assert "1 run waits for it or for its turn, and goes on by itself." in page
    assert "The first has waited since" in page, "an outage does not hide that nobody takes the runs"
    assert "Nothing waits for a person" not in page
    services._breakers().succeeded("s4hana", "SAP S/4HANA")
    assert "crmsync waits for it" not in words(operator.get("/"))


def test_an_outage_stands_beside_what_waits_for_a_person(
    operator: FlaskClient, services: Services, a_letter: Any
) -> None:
    a_letter(InvalidDealError("Its currency is missing."))
    goes_down(services)

    page = words(operator.get("/"))

    assert "1 run waits for a person" in page
    assert "SAP S/4HANA can't be used now" in page


def test_an_alert_of_a_deal_says_on_the_overview_for_whom_and_how_much(
    operator: FlaskClient, services: Services
) -> None:
    content = {"headline": "A deal is stuck", "cause": "It can't.", "advice": "", "command": "", "facts": FACTS}
    with services.store.begin() as uow:
        uow.alerts.add(None, "letters:a", content)

    assert "Acme Ltd – 200 sensors, 47,000.00 USD" in words(operator.get("/"))


def test_the_list_has_the_newest_runs_first(operator: FlaskClient, a_run: Any, clock: FakeClock) -> None:
    a_run("Older Ltd", key="006xx0000012ab1AAA")
    clock.advance(180)
    a_run("Newer Ltd", key="006xx0000012ab2AAA", done=7)

    page = words(operator.get("/runs"))

    assert page.index("Newer Ltd – 200 sensors") < page.index("Older Ltd – 200 sensors")
    assert "47,000.00 USD" in page
    assert "3 min ago" in page
    assert "2026-11-20 09:15:00 UTC" in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("text=acme", {"Acme Ltd"}),
        ("text=12ab2", {"Borg 100% AG"}),
        ("text=100%25", {"Borg 100% AG"}),
        ("text=%25", {"Borg 100% AG"}),
        ("text=_", set()),
        ("status=done", {"Acme Ltd"}),
        ("status=active&text=acme", set()),
        ("status=no-such-status", {"Acme Ltd", "Borg 100% AG"}),
        ("text=%27%3B+DROP+TABLE+runs", set()),
    ],
)
def test_the_list_is_filtered(operator: FlaskClient, a_run: Any, query: str, found: set[str]) -> None:
    a_run("Acme Ltd", key="006xx0000012ab1AAA", done=7)
    a_run("Borg 100% AG", key="006xx0000012ab2AAA", done=2)

    page = words(operator.get(f"/runs?{query}"))

    assert {name for name in ("Acme Ltd", "Borg 100% AG") if f"{name} – 200 sensors" in page} == found


def test_the_list_ends_at_a_hundred(operator: FlaskClient, services: Services) -> None:
    with services.store.begin() as uow:
        for number in range(101):
            key = f"006xx00000{number:05d}AAA"
            start_run(uow, "order_to_invoice", key, step="fetch_deal", correlation_id="c", queued_until=uow.now)

    page = operator.get("/runs")

    assert page.text.count('<th role="rowheader"') == 100
    assert "The newest 100 runs" in words(page)


def test_each_run_is_on_one_page_of_the_list_also_of_those_that_were_opened_at_once(
    operator: FlaskClient, services: Services
) -> None:
    for of_instant in range(3):
        with services.store.begin() as uow:
            for number in range(70):
                key = f"006xx000{of_instant}{number:04d}AAA"
                start_run(uow, "order_to_invoice", key, step="fetch_deal", correlation_id="c", queued_until=uow.now)
    address, pages = "/runs?status=active", []

    while address:
        page = operator.get(address).text
        pages.append(re.findall(r"006xx000\d{5}AAA", page))
        following = re.search(r'href="([^"]+)">Older runs', page)
        address = unescape(following[1]) if following else ""

    assert [len(keys) for keys in pages] == [100, 100, 10]
    assert len({key for keys in pages for key in keys}) == 210


@pytest.mark.parametrize("place", ["x", "2026-11-20T08:00:00,8", "2026-11-20,", ","])
def test_what_is_no_place_in_the_list_is_its_beginning(operator: FlaskClient, a_run: Any, place: str) -> None:
    a_run("Acme Ltd")

    assert "Acme Ltd – 200 sensors" in words(operator.get("/runs", query_string={"after": place}))


def test_a_run_shows_its_steps_and_documents(
    operator: FlaskClient, a_run: Any, services: Services, clock: FakeClock
) -> None:
    run = a_run(done=3, leased=True)
    with services.store.begin() as uow:
        key = EntryKey("s4hana", "order", f"SF-{DEAL_KEY}")
        uow.ledger.reserve(key, run.id, certain_at=uow.now)
        net = {"amount": "47000.00", "currency": "USD"}
        uow.ledger.confirmed(key, {"key": "4500001", "number": "4500001", "net": net, "total": None})

    page = words(operator.get(f"/runs/{run.id}"))

    assert "Acme Ltd – 200 sensors" in page
    assert "Fetch deal done took 0.5 s" in page
    assert "Match ERP customer 1000123 done took 0.5 s" in page
    assert "Create order 4500001 done" in page
    assert "Match books customer running" in page
    assert "Create invoice to come" in page
    assert f"Order SAP S/4HANA 4500001 47,000.00 USD confirmed SF-{DEAL_KEY}" in page
    assert DEAL_KEY in page


def test_a_run_counts_its_attempts(operator: FlaskClient, a_run: Any, services: Services, clock: FakeClock) -> None:
    run = a_run(done=2, leased=True)
    with services.store.begin() as uow:
        for detail in ("SAP is busy.", "SAP is still busy."):
            uow.history.note(run, "retry", started_at=uow.now - timedelta(seconds=3), detail=detail)

    page = words(operator.get(f"/runs/{run.id}"))

    assert "Create order running took 3.0 s 2 attempts" in page
    assert "SAP is still busy." in page


def test_a_finished_run_has_all_steps_done(services: Services, a_run: Any) -> None:
    run = a_run(done=7)

    with services.store.read() as uow:
        page = whole_run(uow, None, run.id)

    assert page is not None
    assert [step.state for step in page.steps] == ["done"] * 7
    assert page.run.state == "done"


def test_a_run_says_how_crmsync_heard_of_its_deal(operator: FlaskClient, services: Services, a_run: Any) -> None:
    run = a_run()
    assert "Announced 2026-11-20 09:15:00 UTC, by a webhook" in words(operator.get(f"/runs/{run.id}"))

    with services.store.begin() as uow:
        uow.deliveries.add(run.source, DEAL_KEY, event_key="1")

    assert "Announced 2 times, last 2026-11-20 09:15:00 UTC, by a webhook" in words(operator.get(f"/runs/{run.id}"))


def test_a_stopped_run_shows_its_dead_letter(operator: FlaskClient, a_letter: Any) -> None:
    letter = a_letter(AmountMismatchError("The order 1 is 1.00 USD net.", advice="Correct it."), done=2)

    page = words(operator.get(f"/runs/{letter.run_id}"))

    assert f"Dead letter {letter.id}: stopped at create order" in page
    assert "The order 1 is 1.00 USD net." in page
    assert "Correct it." in page
    assert f"celery -A crmsync dead-letters replay {letter.id}" in page


def test_an_unknown_run_is_not_found(operator: FlaskClient) -> None:
    answer = operator.get("/runs/no-such-run")

    assert answer.status_code == 404
    assert "There is no run with this id." in words(answer)


def test_a_dead_letter_says_why_and_what_next(operator: FlaskClient, a_letter: Any, services: Services) -> None:
    error = InvalidDealError(field_errors={"Amount": "must be more than zero"}, advice="Correct the deal in the CRM.")
    letter = a_letter(error)

    page = words(operator.get("/dead-letters"))

    assert "1 run waits for a person" in page
    assert "Waits for a corrected record" in page
    assert "Amount: must be more than zero" in page
    assert "Correct the deal in the CRM." in page
    assert services.settings.pasteable(f"celery -A crmsync dead-letters replay {letter.id}") in page
    assert "CRMSYNC_HOME=" in page


def test_the_answers_of_a_review_are_commands_that_can_be_pasted(
    operator: FlaskClient, a_letter: Any, services: Services
) -> None:
    letter = a_letter(AmountMismatchError("The order 1 is 1.00 USD net."), done=2)

    page = words(operator.get("/dead-letters"))

    for answer in (f"replay {letter.id} --accept", f"replay {letter.id}", f"discard {letter.id}"):
        assert f"( {services.settings.pasteable(f'celery -A crmsync dead-letters {answer}')} )" in page


def test_where_a_number_is_needed_the_command_asks_for_it(operator: FlaskClient, a_letter: Any) -> None:
    letter = a_letter(AmbiguousMatchError("One customer may be the account."), done=1)

    assert f"dead-letters replay {letter.id} --link ERP=NUMBER" in words(operator.get("/dead-letters"))


def test_letters_beyond_one_page_are_counted(
    operator: FlaskClient, a_letter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letters_module, "LETTERS_SHOWN", 1)
    first = a_letter(VendorUnavailableError(), key="006xx0000012ab1AAA")
    second = a_letter(VendorUnavailableError(), key="006xx0000012ab2AAA")

    page = operator.get("/dead-letters").text

    assert "2 runs wait for a person; the oldest 1 are shown" in page
    assert f'id="letter-{first.id}"' in page
    assert f'id="letter-{second.id}"' not in page


def test_alerts_show_what_people_were_told(operator: FlaskClient, services: Services) -> None:
    content = {
        "headline": "A deal is stuck",
        "facts": [["Company", "Acme Ltd"], ["Amount", "47,000.00 USD"]],
        "cause": "SAP S/4HANA does not answer.",
        "advice": "Replay it.",
        "command": "celery -A crmsync dead-letters replay 7",
    }
    with services.store.begin() as uow:
        uow.alerts.add(None, "down", content)
        uow.alerts.add(None, "down", content)

    page = words(operator.get("/alerts"))

    assert "A deal is stuck 2 times not sent yet" in page
    assert "Company Acme Ltd" in page
    assert "celery -A crmsync dead-letters replay 7" in page


@pytest.mark.parametrize("path", [*(page for page in PAGES if page != "/stock"), "run"])
def test_a_hostile_company_name_stays_text(operator: FlaskClient, a_letter: Any, path: str) -> None:
    letter = a_letter(AmbiguousMatchError(f"Two are called {HOSTILE}.", advice=HOSTILE), company=HOSTILE)

    page = operator.get(path if path != "run" else f"/runs/{letter.run_id}").text

    assert "<script>alert" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


@pytest.mark.parametrize("path", [*PAGES, "run"])
def test_no_page_shows_a_person(operator: FlaskClient, a_run: Any, a_letter: Any, path: str) -> None:
    run = a_run(done=7)
    a_letter(VendorUnavailableError(), key="006xx0000012ab2AAA", done=3)

    page = operator.get(path if path != "run" else f"/runs/{run.id}").text

    assert [word for word in PERSONAL if word in page] == []


def test_a_search_cannot_break_out_of_its_field(operator: FlaskClient) -> None:
    page = operator.get("/runs", query_string={"text": HOSTILE}).text

    assert "<script>alert" not in page
    assert 'value="&#34;&gt;&lt;script&gt;' in page


@pytest.mark.parametrize("path", PAGES)
def test_nothing_comes_from_elsewhere(operator: FlaskClient, a_letter: Any, path: str) -> None:
    a_letter(VendorUnavailableError())

    page = operator.get(path).text

    assert not re.findall(r'(?:src|href|action)="(?!/|#)', page)
    assert not re.findall(r"<style|style=|onclick=|<script(?! src)", page)
    for asset in re.findall(r'(?:src|href)="(/static/[^"]+)"', page):
        with closing(operator.get(asset)) as answer:
            assert answer.status_code == 200


@pytest.mark.parametrize("path", PAGES)
def test_every_field_has_a_label(operator: FlaskClient, a_letter: Any, path: str) -> None:
    a_letter(AmountMismatchError())

    page = operator.get(path).text

    fields = set(re.findall(r'<(?:input|select) id="([^"]+)"', page))
    assert fields <= set(re.findall(r'<label for="([^"]+)"', page))
    assert len(re.findall(r"<h1[ >]", page)) == 1
    assert len(re.findall(r' id="([^"]+)"', page)) == len(set(re.findall(r' id="([^"]+)"', page)))


def test_a_store_that_does_not_answer_is_said(operator: FlaskClient, services: Services) -> None:
    with services.store.engine.connect() as connection:
        connection.execute(text("DROP TABLE runs"))
        connection.commit()

    answer = operator.get("/")

    assert answer.status_code == 503
    assert "The database does not answer" in words(answer)


# Buttons


def test_replay_lets_the_run_go_on(
    operator: FlaskClient, a_letter: Any, services: Services, enqueued: list[str]
) -> None:
    letter = a_letter(VendorUnavailableError(), done=2)

    answer = press(operator, letter.id, "replay")

    assert answer.status_code == 303
    assert answer.headers["Location"] == "/dead-letters"
    said = words(operator.get("/dead-letters"))
    assert f"Dead letter {letter.id} (Acme Ltd – 200 sensors) is replayed" in said
    assert enqueued == [letter.run_id]
    with services.store.read() as uow:
        run, history = uow.runs.get(letter.run_id), uow.history.of_run(letter.run_id)
        assert uow.dead_letters.get(letter.id).status is LetterStatus.REPLAYING  # type: ignore[union-attr]
    assert run is not None
    assert run.status is RunStatus.ACTIVE
    assert run.answers == {}
    assert history[-1].event == "replayed"
    assert history[-1].detail == "by crmsync, in the control tower"


def test_what_was_done_is_said_once(operator: FlaskClient, a_letter: Any) -> None:
    letter = a_letter(VendorUnavailableError())
    press(operator, letter.id, "replay")
    operator.get("/dead-letters")

    assert "is replayed" not in words(operator.get("/dead-letters"))


def test_replay_takes_the_answers(operator: FlaskClient, a_letter: Any, services: Services) -> None:
    letter = a_letter(AmbiguousMatchError(), done=3)

    press(operator, letter.id, "replay", accept="yes", link_ERP=" 1000456 ", link_BOOKS="")

    with services.store.read() as uow:
        run = uow.runs.get(letter.run_id)
        links = [(link.connection, link.key, link.origin) for link in uow.links.customers(None)]
    assert run is not None
    by = "crmsync, in the control tower"
    named = {"s4hana": {"number": "1000456", "by": by, "is_seen": False}}
    assert run.answers == {"accepted": ["match_books_customer"], "links": named}
    assert links == [], "this process can't look the number up: the worker does, and links then"


def test_a_customer_number_that_is_none_replays_nothing(
    operator: FlaskClient, a_letter: Any, services: Services, enqueued: list[str]
) -> None:
    letter = a_letter(AmbiguousMatchError(), done=3)

    press(operator, letter.id, "replay", link_BOOKS="1' or '1")

    assert "Nothing was replayed: the BOOKS customer number" in words(operator.get("/dead-letters"))
    assert enqueued == []
    _still_waits(services, letter.id)


def test_discard_gives_the_run_up(operator: FlaskClient, a_letter: Any, services: Services) -> None:
    letter = a_letter(VendorUnavailableError())

    answer = press(operator, letter.id, "discard", confirm="yes")

    assert answer.status_code == 303
    assert f"Dead letter {letter.id} (Acme Ltd – 200 sensors) was discarded" in words(operator.get("/dead-letters"))
    with services.store.read() as uow:
        run, history = uow.runs.get(letter.run_id), uow.history.of_run(letter.run_id)
    assert run is not None
    assert run.status is RunStatus.DISCARDED
    assert (history[-1].event, history[-1].detail) == ("discarded", "by crmsync, in the control tower")


def test_the_audit_says_who_discarded_and_why(operator: FlaskClient, a_letter: Any, services: Services) -> None:
    letter = a_letter(VendorUnavailableError())

    press(operator, letter.id, "discard", confirm="yes", reason="ordered by phone")

    with services.store.read() as uow:
        entry = uow.audit.newest(None, limit=1)[0]
    assert (entry.name, entry.origin, entry.verb, entry.reason) == (
        "crmsync",
        "tower",
        "dead_letter.discard",
        "ordered by phone",
    )
    assert (entry.object_key, entry.before["status"], entry.after["status"]) == (str(letter.id), "waiting", "discarded")


@pytest.mark.parametrize(("button", "answer"), [("replay", {"accept": "yes"}), ("discard", {"confirm": "yes"})])
def test_what_a_person_decides_without_a_reason_is_not_done(
    operator: FlaskClient, a_letter: Any, services: Services, button: str, answer: dict[str, str]
) -> None:
    letter = a_letter(VendorUnavailableError())

    press(operator, letter.id, button, reason=" ", **answer)

    assert "Nothing was done: say why" in words(operator.get("/dead-letters"))
    _still_waits(services, letter.id)


def test_discard_needs_the_tick(operator: FlaskClient, a_letter: Any, services: Services) -> None:
    letter = a_letter(VendorUnavailableError())

    press(operator, letter.id, "discard")

    assert "Nothing was discarded: tick the box" in words(operator.get("/dead-letters"))
    _still_waits(services, letter.id)


@pytest.mark.parametrize("button", ["replay", "discard"])
def test_an_answer_to_what_a_letter_does_not_ask_any_more_does_nothing(
    operator: FlaskClient, a_letter: Any, services: Services, enqueued: list[str], button: str
) -> None:
    """The deal changed once more while the person was filling in the form, which is not renewed meanwhile."""
    letter = a_letter(DealChangedError("The deal is 250.00 USD; order 1 is 200.00 USD."))
    read = shown(operator, letter.id)
    with services.store.begin() as uow:
        cause = "The deal is 300.00 USD; order 1 is 200.00 USD."
        uow.dead_letters._connection.execute(update(letters_table).values(cause=cause))

    press(operator, letter.id, button, accept="yes", confirm="yes", told=read)

    assert f"dead letter {letter.id} has changed since you saw it" in words(operator.get("/dead-letters"))
    assert enqueued == []
    _still_waits(services, letter.id)


def test_a_form_of_a_page_from_before_an_upgrade_is_an_answer(
    operator: FlaskClient, a_letter: Any, services: Services
) -> None:
    letter = a_letter(InvalidDealError())

    operator.post(f"/dead-letters/{letter.id}/replay", data={"token": token(operator)})

    with services.store.read() as uow:
        assert uow.dead_letters.get(letter.id).status is LetterStatus.REPLAYING


def test_a_form_that_is_too_large_is_refused_and_never_cut(
    operator: FlaskClient, a_letter: Any, services: Services, enqueued: list[str]
) -> None:
    """Of a body that is too large, the server hands on one byte more than one may have."""
    letter = a_letter(VendorUnavailableError())
    form = f"token={token(operator)}&answer=".ljust(services.settings.behaviour.max_body_bytes + 1, "x")

    answer = operator.post(
        f"/dead-letters/{letter.id}/replay", data=form, content_type="application/x-www-form-urlencoded"
    )

    assert answer.status_code == 413
    assert enqueued == []
    _still_waits(services, letter.id)


@pytest.mark.parametrize("button", ["replay", "discard"])
def test_a_letter_that_does_not_wait_is_left_alone(
    operator: FlaskClient, a_letter: Any, enqueued: list[str], button: str
) -> None:
    letter = a_letter(VendorUnavailableError())
    press(operator, letter.id, "replay")

    told = {
        letter.id: f"Dead letter {letter.id} does not wait: it is being replayed",
        4711: "There is no dead letter 4711",
    }
    for letter_id, sentence in told.items():
        answer = press(operator, letter_id, button, confirm="yes")
        assert answer.status_code == 303
        assert sentence in words(operator.get("/dead-letters"))

    assert enqueued == [letter.run_id]


@pytest.mark.parametrize("button", ["replay", "discard"])
@pytest.mark.parametrize("given", [None, "", "another"])
def test_a_form_without_the_sessions_token_does_nothing(
    operator: FlaskClient, a_letter: Any, services: Services, enqueued: list[str], button: str, given: str | None
) -> None:
    letter = a_letter(VendorUnavailableError())
    operator.get("/dead-letters")
    fields = {"confirm": "yes"} | ({} if given is None else {"token": given})

    answer = operator.post(f"/dead-letters/{letter.id}/{button}", data=fields)

    assert answer.status_code == 403
    assert "This form has expired." in words(answer)
    assert enqueued == []
    _still_waits(services, letter.id)


def test_a_token_without_its_session_does_nothing(operator: FlaskClient, a_letter: Any, services: Services) -> None:
    letter = a_letter(VendorUnavailableError())
    stolen = token(operator)
    operator.delete_cookie("crmsync_tower")

    for given in (stolen, ""):
        assert operator.post(f"/dead-letters/{letter.id}/replay", data={"token": given}).status_code == 403

    _still_waits(services, letter.id)


@pytest.mark.parametrize("button", ["replay", "discard"])
def test_a_link_does_nothing(operator: FlaskClient, a_letter: Any, services: Services, button: str) -> None:
    letter = a_letter(VendorUnavailableError())

    assert operator.get(f"/dead-letters/{letter.id}/{button}").status_code == 405
    _still_waits(services, letter.id)


# Rows


def test_a_run_of_an_unknown_flow_is_shown_all_the_same(services: Services, a_run: Any) -> None:
    run = a_run(done=2)

    with services.store.read() as uow:
        page = whole_run(uow, None, run.id, {})

    assert page is not None
    assert [step.name for step in page.steps] == [STEPS[2]]


@pytest.mark.parametrize(("count", "expected"), [(1, "1 run waits"), (2, "2 runs wait"), (0, "0 runs wait")])
def test_counts_agree_with_their_verb(count: int, expected: str) -> None:
    assert plural(count, "run waits", "runs wait") == expected


def _still_waits(services: Services, letter_id: int) -> None:
    with services.store.read() as uow:
        letter = uow.dead_letters.get(letter_id)
    assert letter is not None
    assert letter.status is LetterStatus.WAITING
