"""What tests of the life of documents share: deals, what stands of them, and a person who answers reviews."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from unittest.mock import patch

import crmsync.flows  # noqa: F401 - registers the tasks
from crmsync.domain.dead_letters import Answers, DeadLetter, LetterStatus
from crmsync.lab.sandbox.deals import Deal
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.worker import dead_letters
from crmsync.worker.flow import Flow
from tests.system import System, until

_numbers = iter(range(1, 10_000))


def company(word: str) -> str:
    """A name that no other test has: 'Buyer 0017 Ltd'."""
    return f"{word} {next(_numbers):04d} Ltd"


def change(system: System, deal: Deal, **values: str) -> None:
    """Reopen the deal and change its line; it is not won again yet."""
    system.sandbox.deals.reopen(deal.id)
    system.sandbox.deals.change_line(deal.id, 1, values)


def won_again(system: System, deal: Deal, **values: str) -> None:
    change(system, deal, **values)
    assert system.close(deal.id) == 200


def standing(system: System, deal: Deal) -> tuple[list[str], list[str]]:
    """The generations of the deal's orders and invoices that stand: "1", "2", …"""
    ledger = system.sandbox.ledger()
    orders = [each["reference"] for each in ledger["orders"] if not each["rejected"]]
    invoices = [each["reference"] for each in ledger["invoices"] if each["status"] != "void"]
    return _generations(deal, orders), _generations(deal, invoices)


def mailed(system: System, deal: Deal) -> list[str]:
    """The generations of the invoices that were mailed, one for each mail."""
    return _generations(deal, [each["reference"] for each in system.sandbox.ledger()["mails"]])


def _generations(deal: Deal, references: list[str | None]) -> list[str]:
    own = f"SF-{deal.id}"
    return [each.removeprefix(own).removeprefix("-") or "1" for each in references if each and each.startswith(own)]


def numbers(system: System, deal: Deal) -> tuple[str, str]:
    """The order and the invoice that the deal carries."""
    (row,) = [row for row in system.sandbox.ledger()["deals"] if row["id"] == deal.id]
    return row["SAP_Order_Number__c"], row["Zoho_Invoice_Number__c"]


def made(system: System, deal: Deal, kind: str) -> Mapping[str, Any]:
    """The last document of the kind that crmsync made for the deal."""
    with system.store.read() as uow:
        entries = [entry for entry in uow.ledger.of_run(system.run_of(deal).id) if entry.key.kind == kind]
    assert entries[-1].document is not None
    return entries[-1].document


def carries_what_stands(system: System, deal: Deal) -> None:
    assert numbers(system, deal) == (made(system, deal, "order")["number"], made(system, deal, "invoice")["number"])


def asked(system: System, deal: Deal, *, error: str) -> DeadLetter:
    """The review that waits for a person, once it does."""

    def waiting() -> DeadLetter | None:
        with suppress(AssertionError):
            letter = system.letter_of(deal)
            return letter if (letter.status, letter.error) == (LetterStatus.WAITING, error) else None
        return None

    return until(waiting, what=f"{error} asks a person") or system.letter_of(deal)


def replay(system: System, deal: Deal, answers: Answers = Answers()) -> None:  # noqa: B008 - it is frozen
    """As an operator does; the sweeper sends the message."""
    with patch.object(Flow, "enqueue", lambda *_: None):
        dead_letters.replay(_services(system), system.letter_of(deal).id, answers, by="a test")


def leave(system: System, deal: Deal) -> None:
    dead_letters.discard(_services(system), system.letter_of(deal).id, by="a test")


def give_up(system: System, deal: Deal) -> None:
    """The ERP refuses the order of the new deal, and a person discards its letter."""
    refusal = {"code": "V1/555", "message": "This sales document is not complete"}
    system.sandbox.faults.add("sap", "refuse", "create_order", times=1, **refusal)
    assert system.close(deal.id) == 200
    asked(system, deal, error="RejectedError")
    leave(system, deal)


def announced(system: System, deal: Deal) -> None:
    """Once more, with nothing changed; until it was looked at."""
    looks = looked(system, deal)
    assert system.sandbox.deals.announce(deal.id).status == 200
    until(lambda: looked(system, deal) > looks, what="the look")


def looked(system: System, deal: Deal) -> int:
    """How often the deal was read to its end."""
    return system.history(deal).count(("fetch_deal", "done"))


def calls(system: System) -> int:
    """How many calls the vendors have answered, sign-ins not counted."""
    report = system.sandbox.calls()
    return sum(int(counts["business"]) for counts in report.values())


def _services(system: System) -> Services:
    return Services(Settings.from_env(system.environment), system.store)
