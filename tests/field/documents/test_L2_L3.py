"""Cases from the field: a deal that is announced again is known by its content, not by its id."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest

from crmsync.domain.dead_letters import Answers, LetterStatus
from crmsync.domain.runs import RunStatus
from crmsync.lab.sandbox.deals import Deal
from tests.field.life import (
    announced,
    asked,
    calls,
    carries_what_stands,
    change,
    company,
    give_up,
    leave,
    looked,
    made,
    mailed,
    replay,
    standing,
    won_again,
)
from tests.system import NO_PERIODS, System, running, until

ACCEPT = Answers(accept=True)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    # Calls are counted here: what sellers are told of the deals of other tests would be among them.
    settings = NO_PERIODS | {"CRMSYNC_CATCH_UP_GRACE_SECONDS": "0", "CRMSYNC_TELL_SELLERS": "no"}
    with running(tmp_path_factory.mktemp("again"), "web", "worker", "beat", **settings) as made:
        yield made


def test_L2__a_deal_that_is_announced_again_unchanged_costs_one_call(system: System, billed: Deal) -> None:
    results, before, looks = system.run_of(billed).results, calls(system), looked(system, billed)

    assert system.sandbox.deals.announce(billed.id).status == 200
    until(lambda: looked(system, billed) > looks, what="the look")

    run = system.run_of(billed)
    assert calls(system) - before == 1
    assert (run.status, set(run.results)) == (RunStatus.DONE, set(results))
    assert standing(system, billed) == (["1"], ["1"])


def test_L2__a_deal_that_was_changed_and_won_again_is_asked_about_with_both_figures(
    system: System, billed: Deal
) -> None:
    won_again(system, billed, quantity="250")

    letter = asked(system, billed, error="DealChangedError")

    order, invoice = made(system, billed, "order")["number"], made(system, billed, "invoice")["number"]
    assert letter.cause.startswith(
        f"The deal is 58,750.00 USD; order {order} is 47,000.00 USD, invoice {invoice} is 47,000.00 USD and was mailed."
    )
    assert "line SENSOR-100: quantity was 200, is 250" in letter.cause
    for answer in ("replay with --accept", f"order {order} in SAP S/4HANA and invoice {invoice} in Zoho", "discard"):
        assert answer in letter.advice
    assert set(system.run_of(billed).results) >= {"create_order", "create_invoice", "write_back"}
    assert mailed(system, billed) == ["1"]


def test_L2__made_anew_after_what_stood_was_taken_back(system: System, billed: Deal) -> None:
    won_again(system, billed, quantity="250")
    first = asked(system, billed, error="DealChangedError")
    order, invoice = made(system, billed, "order")["number"], made(system, billed, "invoice")["number"]
    system.sandbox.orders.reject(order)

    replay(system, billed)  # one of them stands yet
    until(lambda: system.letter_of(billed).failures > first.failures, what="it is refused")
    letter = asked(system, billed, error="DealChangedError")
    assert f"reject or delete invoice {invoice} in Zoho Books (an invoice that was mailed" in letter.advice
    assert standing(system, billed) == ([], ["1"]), "nothing is made while one of the old figures stands"

    system.sandbox.invoices.void(invoice)
    replay(system, billed)
    system.wait_for("done", billed)

    assert standing(system, billed) == (["2"], ["2"])
    assert mailed(system, billed) == ["1", "2"]
    assert Decimal(made(system, billed, "order")["net"]["amount"]) == Decimal(58750)
    carries_what_stands(system, billed)


@pytest.mark.parametrize("answer", ["go on", "leave"])
def test_L2__what_was_agreed_is_not_asked_again(system: System, billed: Deal, answer: str) -> None:
    won_again(system, billed, quantity="250")
    asked(system, billed, error="DealChangedError")

    if answer == "go on":
        replay(system, billed, ACCEPT)
        system.wait_for("done", billed)
    else:
        leave(system, billed)

    assert system.run_of(billed).status is RunStatus.DONE
    assert standing(system, billed) == (["1"], ["1"])
    announced(system, billed)
    assert system.run_of(billed).status is RunStatus.DONE
    won_again(system, billed, quantity="300")
    assert "70,500.00 USD" in asked(system, billed, error="DealChangedError").cause


Change = Callable[[System, Deal], None]


def other_account(system: System, deal: Deal) -> None:
    other = system.sandbox.deals.create(company("Other"))
    with system.sandbox.salesforce.lock:
        system.sandbox.salesforce.org.update("Opportunity", deal.id, {"AccountId": other.account_id})
    assert system.sandbox.deals.announce(deal.id).status == 200


def lost(system: System, deal: Deal) -> None:
    system.sandbox.deals.reopen(deal.id, stage="Closed Lost")
    assert system.sandbox.deals.announce(deal.id).status == 200


CHANGES: dict[str, tuple[Change, str]] = {
    "the same amount of other lines": (
        lambda system, deal: won_again(system, deal, quantity="100", unit_price="470.00"),
        "quantity was 200, is 100",
    ),
    "another account": (other_account, "account was"),
    "it is lost": (lost, "The deal is not won any more."),
}


@pytest.mark.parametrize(("happens", "told"), CHANGES.values(), ids=CHANGES)
def test_L2__whatever_counts_is_asked_about(system: System, billed: Deal, happens: Change, told: str) -> None:
    happens(system, billed)

    letter = asked(system, billed, error="DealChangedError")

    assert told in letter.cause
    for kind in ("order", "invoice"):
        assert f"{kind} {made(system, billed, kind)['number']} is 47,000.00 USD" in letter.cause


def test_L2__what_was_left_while_the_deal_was_open_is_asked_about_when_it_is_won(system: System, billed: Deal) -> None:
    """To leave it while people negotiate is not to agree to what they come to."""
    change(system, billed, quantity="250")
    assert system.sandbox.deals.announce(billed.id).status == 200
    asked(system, billed, error="DealChangedError")
    leave(system, billed)
    announced(system, billed)
    assert system.run_of(billed).status is RunStatus.DONE, "the same is not asked about twice"

    assert system.close(billed.id) == 200

    won = "The deal is 58,750.00 USD; order"
    until(lambda: system.letter_of(billed).cause.startswith(won), what="the review is about the deal as it is won")
    system.wait_for("stopped", billed)
    assert "quantity was 200, is 250" in system.letter_of(billed).cause


def test_L2__a_deal_that_is_put_back_settles_its_review(system: System, billed: Deal) -> None:
    won_again(system, billed, quantity="250")
    asked(system, billed, error="DealChangedError")

    won_again(system, billed, quantity="200")

    until(lambda: system.letter_of(billed).status is LetterStatus.REPLAYED, what="the review is settled")
    assert system.run_of(billed).status is RunStatus.DONE
    assert standing(system, billed) == (["1"], ["1"])


def test_L2__the_same_news_is_told_once(system: System, billed: Deal) -> None:
    won_again(system, billed, quantity="250")
    first = asked(system, billed, error="DealChangedError")
    told = alerts_about(system, billed)

    assert system.sandbox.deals.announce(billed.id).status == 200
    until(lambda: system.letter_of(billed).failures > first.failures, what="it is looked at")

    assert asked(system, billed, error="DealChangedError").cause == first.cause
    assert alerts_about(system, billed) == told


def alerts_about(system: System, deal: Deal) -> int:
    with system.store.read() as uow:
        rows = uow.alerts.newest(None, limit=500)
    return sum(row.occurrences for row in rows if ["Deal", deal.id] in row.content["facts"])


def test_L2__a_change_while_the_run_is_under_way_is_found_at_its_end(system: System, deal: Deal) -> None:
    fault = system.sandbox.faults.add("zoho", "error", "create_invoice", times=2)
    assert system.close(deal.id) == 200
    until(lambda: fault.hits >= 1, what="the run is under way")
    won_again(system, deal, quantity="250")

    letter = asked(system, deal, error="DealChangedError")

    assert "58,750.00 USD" in letter.cause
    assert standing(system, deal) == (["1"], ["1"])
    assert mailed(system, deal) == ["1"]


def test_L2__a_deal_that_was_given_up_goes_on_when_it_was_changed_and_not_before(system: System, deal: Deal) -> None:
    give_up(system, deal)
    assert system.run_of(deal).status is RunStatus.DISCARDED

    announced(system, deal)
    assert system.run_of(deal).status is RunStatus.DISCARDED
    assert system.letter_of(deal).status is LetterStatus.DISCARDED

    won_again(system, deal, quantity="250")
    system.wait_for("done", deal)
    assert standing(system, deal) == (["1"], ["1"])
    assert Decimal(made(system, deal, "order")["net"]["amount"]) == Decimal(58750)


# -- L3: nobody announced it


def caught_up(system: System, *options: str) -> dict[str, object]:
    done = system.run("crmsync", "catch-up", "--json", *options)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("answer", ["none", "leave"])
def test_L3__catch_up_sees_that_a_deal_is_won_again(system: System, billed: Deal, answer: str) -> None:
    """It was announced while it was open and already of another amount; nobody tells that it is won."""
    change(system, billed, quantity="250")
    assert system.sandbox.deals.announce(billed.id).status == 200
    assert asked(system, billed, error="DealChangedError").cause.startswith("The deal is not won any more.")
    if answer == "leave":
        leave(system, billed)
    system.sandbox.deals.close(billed.id)

    caught_up(system, "--yes")

    won = "The deal is 58,750.00 USD; order"
    until(lambda: system.letter_of(billed).cause.startswith(won), what="the review is about the deal as it is won")
    system.wait_for("stopped", billed)


def test_L3__catch_up_sees_a_won_deal_of_another_amount(system: System, billed: Deal) -> None:
    change(system, billed, quantity="250")
    system.sandbox.deals.close(billed.id)  # no webhook tells

    shown = caught_up(system, "--dry-run")
    (row,) = [row for row in shown["looked_at_again"] if row["key"] == billed.id]  # type: ignore[attr-defined]
    assert (row["why"], row["systems"]) == ("an amount that differs from its documents", [])
    assert system.run_of(billed).status is RunStatus.DONE

    caught_up(system, "--yes")
    assert "58,750.00 USD" in asked(system, billed, error="DealChangedError").cause
    leave(system, billed)

    before = calls(system)
    shown = caught_up(system, "--dry-run")
    assert billed.id not in [row["key"] for row in shown["looked_at_again"]]  # type: ignore[attr-defined]
    assert calls(system) - before <= 4, "what was agreed costs no call for each deal"
