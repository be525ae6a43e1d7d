"""Cases from the field: one alert for a cause and a system, closed when the cause is gone, with a command for all."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from crmsync.alerts.delivery import deliver
from crmsync.alerts.messenger import Messenger
from crmsync.cli.letter_work import Work
from crmsync.domain.breaker import FailedCall
from crmsync.domain.dead_letters import LetterStatus
from crmsync.errors import (
    AmbiguousMatchError,
    BadDataError,
    ConcurrentUpdateError,
    PermanentError,
    VendorUnavailableError,
)
from crmsync.reading.alerts import all_alerts
from crmsync.services import Services
from crmsync.store import dead_letters as letters_stored
from crmsync.store.tables import alerts as table
from crmsync.worker import dead_letters, letter_alerts
from tests.fakes import FakeClock, FakeMessenger
from tests.integration.test_alerts import Slack, bot, dies, no_broker, outage, slack, webhook

__all__ = ["bot", "no_broker", "slack", "webhook"]

SAP = "SAP S/4HANA"


def stuck() -> PermanentError:
    return PermanentError("SAP S/4HANA can't do it.", system=SAP, code="V1/555")


def open_alerts(services: Services) -> list[dict[str, Any]]:
    with services.store.read() as uow:
        return [{**row.content, "key": row.cause} for row in uow.alerts.open(None)]


def run_ids(services: Services) -> list[str]:
    with services.store.read() as uow:
        return [letter.run_id for letter in uow.dead_letters.list(None)]


def goes_through(services: Services, letter_id: int) -> None:
    """The letter is replayed, and its run comes to its end."""
    with services.store.begin() as uow:
        letter = uow.dead_letters.get(letter_id)
        assert letter is not None
        uow.dead_letters.move(uow.dead_letters.get(letter_id), to=LetterStatus.REPLAYING)
        letter_alerts.settle(uow, services.settings, uow.dead_letters.run_is_done(letter.run_id))


def chosen_by(services: Services, command: str) -> list[int]:
    """The letters that a pasted command of an alert replays."""
    words = shlex.split(command)
    arguments = words[words.index("replay") + 1 :]
    work = Work("replay", as_json=True, services=services)
    if arguments[0] == "--like":
        return [letter.id for letter in work.choose((), None, False, like=int(arguments[1]))]
    return [letter.id for letter in work.choose([int(each) for each in arguments], None, False)]


def breaker_opens(services: Services) -> None:
    watch = services._breakers()
    for _ in range(services.settings.behaviour.breaker_failures):
        watch.failed("s4hana", SAP, FailedCall(is_probe=False))


@pytest.mark.parametrize("count", [1, 3, 25])
def test_P14__the_command_of_an_alert_replays_all_that_it_counts_and_only_these(services: Services, count: int) -> None:
    for _ in range(count):
        dies(services, stuck())
    dies(services, PermanentError("Something else.", system=SAP, code="V1/111"))

    first = open_alerts(services)[0]

    assert chosen_by(services, first["command"]) == list(range(1, count + 1))


def test_P14__an_alert_closes_with_its_last_letter_and_names_those_that_are_left(services: Services) -> None:
    for _ in range(3):
        dies(services, stuck())

    goes_through(services, 1)
    (alert,) = open_alerts(services)
    assert chosen_by(services, alert["command"]) == [2, 3]
    dead_letters.discard(services, 2, by="a person")
    (alert,) = open_alerts(services)
    assert chosen_by(services, alert["command"]) == [3]
    goes_through(services, 3)

    assert open_alerts(services) == []


def test_P14__each_deal_that_must_be_mended_has_an_alert_that_ends_with_it(services: Services) -> None:
    for _ in range(2):
        dies(services, BadDataError("Its address is missing.", system=SAP))
    assert len(open_alerts(services)) == 2

    dead_letters.discard(services, 1, by="a person")

    (alert,) = open_alerts(services)
    assert chosen_by(services, alert["command"]) == [2]


def test_P14__where_an_answer_is_asked_for_the_alert_leads_to_the_answers(services: Services) -> None:
    """A replay without one would ask the same again."""
    dies(services, AmbiguousMatchError("One customer may be the account.", system=SAP))

    (alert,) = open_alerts(services)

    assert alert["command"] == services.settings.pasteable("celery -A crmsync dead-letters show 1")


def test_P14__a_letter_that_dies_of_something_else_has_one_open_alert(services: Services, clock: FakeClock) -> None:
    dies(services, stuck())
    with services.store.begin() as uow:
        run = uow.runs.get(uow.dead_letters.list(None)[0].run_id)
        assert run is not None
        before = uow.dead_letters.of_run(run.id)
        letter, is_news = uow.dead_letters.add(run, ConcurrentUpdateError("It is locked.", system=SAP))
        letter_alerts.tell(uow, services.settings, letter, is_news=is_news)
        assert before is not None
        letter_alerts.settle(uow, services.settings, before.alert_cause)

    assert [alert["key"] for alert in open_alerts(services)] == [letter.alert_cause]


def test_P14__one_outage_is_one_alert_from_its_first_deal_to_its_end(
    services: Services, clock: FakeClock, bot: Messenger, slack: Slack
) -> None:
    dies(services, outage())
    deliver(services.store, bot)
    breaker_opens(services)
    dies(services, outage())
    dies(services, VendorUnavailableError(system=SAP, code="500"))
    clock.advance(bot.update_seconds)
    deliver(services.store, bot)

    (alert,) = open_alerts(services)
    assert alert["headline"] == f"{SAP} does not answer"
    assert ["Dead letters", "3"] in alert["facts"]

    services._breakers().succeeded("s4hana", SAP)
    assert open_alerts(services) == []
    deliver(services.store, bot)
    methods = [path for path, _ in slack.messages()]
    assert methods == ["/api/chat.postMessage", "/api/chat.update", "/api/chat.update"]
    assert slack.messages()[-1][1]["text"].startswith(f"{SAP} answers again")


def test_P14__the_end_of_an_outage_is_told_also_where_no_message_can_be_changed(
    services: Services, webhook: Messenger, slack: Slack
) -> None:
    breaker_opens(services)
    deliver(services.store, webhook)
    services._breakers().succeeded("s4hana", SAP)

    deliver(services.store, webhook)
    deliver(services.store, webhook)

    assert [message["text"].split(":")[0] for _, message in slack.messages()] == [
        f"{SAP} does not answer",
        f"{SAP} answers again",
    ]


def test_P14__that_a_whole_system_is_away_is_told_after_its_first_deal_also_where_no_message_can_be_changed(
    services: Services, webhook: Messenger, slack: Slack
) -> None:
    dies(services, outage())
    deliver(services.store, webhook)
    breaker_opens(services)
    dies(services, outage())
    deliver(services.store, webhook)
    deliver(services.store, webhook)

    assert [message["text"].split(":")[0] for _, message in slack.messages()] == [
        "A deal is stuck",
        f"{SAP} does not answer",
    ]


def test_P14__a_solved_alert_says_so_in_its_message_and_asks_for_nothing(
    services: Services, bot: Messenger, slack: Slack, clock: FakeClock
) -> None:
    dies(services, stuck())
    deliver(services.store, bot)
    goes_through(services, 1)

    assert deliver(services.store, bot) == 1

    (_, (path, message)) = slack.messages()
    assert (path, message["ts"]) == ("/api/chat.update", "171.1")
    assert message["text"].startswith("Solved: A deal is stuck")
    assert "Next:" not in message["text"]
    assert "dead-letters replay" not in str(message["blocks"])
    clock.advance(3600)
    assert deliver(services.store, bot) == 0


def test_P14__a_webhook_is_not_told_that_a_deal_is_well(services: Services, webhook: Messenger, slack: Slack) -> None:
    dies(services, stuck())
    deliver(services.store, webhook)
    goes_through(services, 1)
    deliver(services.store, webhook)

    assert len(slack.messages()) == 1


def test_P14__what_becomes_of_an_alert_while_it_is_told_is_told_next(
    services: Services, clock: FakeClock, messenger: FakeMessenger
) -> None:
    dies(services, stuck())
    with services.store.begin() as uow:
        (claimed,) = uow.alerts.claim_due(limit=1, seconds=60)
    clock.advance(1)
    goes_through(services, 1)
    with services.store.begin() as uow:
        uow.alerts.told(claimed, message_id="C1:1", wait_seconds=60)

    assert deliver(services.store, messenger) == 1
    assert messenger.told[0][0]["headline"] == "Solved: A deal is stuck"


def test_P14__a_cause_that_goes_on_after_a_quiet_while_is_told_anew_in_one_open_alert(
    services: Services, clock: FakeClock, bot: Messenger, slack: Slack
) -> None:
    for _ in range(2):
        dies(services, stuck())
        deliver(services.store, bot)
        clock.advance(3600)

    (alert,) = open_alerts(services)
    assert chosen_by(services, alert["command"]) == [1, 2]
    assert [path for path, _ in slack.messages()] == ["/api/chat.postMessage"] * 2

    goes_through(services, 1)
    goes_through(services, 2)
    assert deliver(services.store, bot) == 2, "both messages say that it is solved"
    assert [message["ts"] for path, message in slack.messages()[2:]] == ["171.1", "171.2"]


@pytest.mark.parametrize(
    ("cause", "quiet_for", "expected"),
    [
        ("letters:create_order:RejectedError:SAP S/4HANA", 0, []),
        (f"outage:{SAP}", 0, []),
        ("process:ProcessFaultError:ENOSPC", 60, ["process:ProcessFaultError:ENOSPC"]),
        ("process:ProcessFaultError:ENOSPC", 3600, []),
        ("webhooks_refused", 3600, []),
        ("watch:workers", 3600, ["watch:workers"]),
    ],
)
def test_P14__the_sweeper_closes_what_is_solved(
    services: Services, clock: FakeClock, cause: str, quiet_for: float, expected: Sequence[str]
) -> None:
    with services.store.begin() as uow:
        uow.alerts.add(None, cause, {"headline": "It is so", "facts": [], "cause": "", "advice": "", "command": ""})
    clock.advance(quiet_for)

    letter_alerts.settle_all(services)

    assert [alert["key"] for alert in open_alerts(services)] == list(expected)


def test_P14__the_tower_shows_what_is_open_apart_from_what_is_solved(services: Services) -> None:
    dies(services, stuck())
    dies(services, BadDataError("Its address is missing.", system=SAP))
    goes_through(services, 1)

    with services.store.read() as uow:
        page = all_alerts(uow, None)

    assert [alert.headline for alert in page.open] == ["A deal must be corrected"]
    assert [(alert.headline, alert.closed_at is not None) for alert in page.solved] == [("A deal is stuck", True)]


def test_P14__an_old_installation_keeps_one_alert_a_cause(services: Services) -> None:
    """Of open alerts that an earlier release left, those stay that letters are still behind."""
    from importlib import import_module

    migration = import_module("crmsync.store.migrations.versions.0015_what_people_see")
    dies(services, stuck())
    (run_id,) = run_ids(services)
    with services.store.begin() as uow:
        uow.connection.execute(table.delete())
        uow.connection.exec_driver_sql("UPDATE dead_letters SET alert_cause = ''")
        for cause in (
            "create_order:PermanentError:SAP",
            "write_back:RejectedError",
            "breaker:s4hana",
            "closed:s4hana:1",
        ):
            uow.alerts.add_once(None, cause, {"headline": cause, "facts": [], "cause": "", "advice": "", "command": ""})
        uow.breakers.failed("s4hana", FailedCall(is_probe=False), system=SAP, threshold=20)
        migration._fold_alerts(uow.connection)

    letter_alerts.settle_all(services)

    assert [alert["key"] for alert in open_alerts(services)] == ["letters:create_order:PermanentError:SAP"]
    with services.store.read() as uow:
        assert uow.dead_letters.behind("letters:create_order:PermanentError:SAP")[0].run_id == run_id


def test_P14__alerts_that_closed_long_ago_stay_closed(services: Services, clock: FakeClock) -> None:
    dies(services, stuck())
    goes_through(services, 1)
    clock.advance(timedelta(days=1).total_seconds())
    letter_alerts.settle_all(services)
    dies(services, stuck())

    (alert,) = open_alerts(services)
    assert chosen_by(services, alert["command"]) == [2]


def test_P14__one_letter_more_reads_few_others_however_many_there_are(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood brings thousands behind one alert, each in a transaction of its own."""
    for _ in range(40):
        dies(services, stuck())
    read: list[object] = []
    real = letters_stored.letter_of
    monkeypatch.setattr(letters_stored, "letter_of", lambda row: read.append(row) or real(row))

    dies(services, stuck())

    assert len(read) < 20
    assert ["Stuck in all", "41"] in open_alerts(services)[0]["facts"]
