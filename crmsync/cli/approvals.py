"""`crmsync approvals`: what one person has proposed about a dead letter, and a second one confirms or rejects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from crmsync.cli import screen
from crmsync.cli.failures import NUMBER, ListingGroup
from crmsync.cli.options import accounted, json_option
from crmsync.cli.process import open_services

if TYPE_CHECKING:
    from datetime import datetime

    from crmsync.domain.approvals import Approval
    from crmsync.domain.audit import Act


@click.group(cls=ListingGroup)
def approvals() -> None:
    """Decisions that need a second person, because the deal is above the amount of four eyes."""


@approvals.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that were decided, or came to nothing.")
@json_option
def list_(*, everything: bool, as_json: bool) -> None:
    """List what waits for a second person, newest first."""
    with open_services().store.read() as uow:
        found = uow.approvals.newest(None, is_open=not everything)
    if as_json:
        screen.print_json([described(each, uow.now) for each in found])
    elif found:
        names = ["id", "dead letter", "decision", "amount", "proposed by", "until (UTC)", "status"]
        screen.console().print(screen.table(names, (_row(each, uow.now) for each in found)))
    else:
        screen.console().print("Nothing waits for a second person.")


@approvals.command
@click.argument("approval_id", metavar="ID", type=NUMBER)
@accounted
@json_option
def approve(approval_id: int, *, who: Act, as_json: bool) -> None:
    """Confirm a proposal of somebody else's: what it says is done at once."""
    import crmsync.flows  # noqa: F401 - registers the tasks and their queues
    from crmsync.worker import approvals as worker

    services = open_services()
    done = worker.approve(services, approval_id, by=who)
    _say(
        done, as_json, services.store.clock(), f"✓ {done.decision.value} of dead letter {done.letter_id} is confirmed."
    )


@approvals.command
@click.argument("approval_id", metavar="ID", type=NUMBER)
@accounted
@json_option
def reject(approval_id: int, *, who: Act, as_json: bool) -> None:
    """Reject a proposal, or take back your own: nothing is done, and the dead letter waits on."""
    import crmsync.flows  # noqa: F401 - registers the tasks and their queues
    from crmsync.worker import approvals as worker

    with open_services().store.begin() as uow:
        done = worker.reject(uow, approval_id, by=who)
    _say(done, as_json, uow.now, f"✓ proposal {done.id} is rejected; dead letter {done.letter_id} waits on.")


def described(approval: Approval, now: datetime) -> dict[str, Any]:
    """The approval as --json prints it."""
    return {
        "id": approval.id,
        "dead_letter": approval.letter_id,
        "tenant": approval.tenant,
        "decision": approval.decision.value,
        "answers": dict(approval.answers),
        "amount": str(approval.money) if approval.money else None,
        "status": approval.status_at(now).value,
        "proposed_by": approval.proposed_by,
        "proposed_at": approval.proposed_at.isoformat(),
        "expires_at": approval.expires_at.isoformat(),
        "reason": approval.reason,
        "decided_by": approval.decided_by,
        "decided_at": approval.decided_at.isoformat() if approval.decided_at else None,
    }


def _say(approval: Approval, as_json: bool, now: datetime, text: str) -> None:
    if as_json:
        screen.print_json(described(approval, now))
    else:
        screen.console().print(text)


def _row(each: Approval, now: datetime) -> tuple[object, ...]:
    amount = str(each.money) if each.money else "not read yet"
    until = f"{each.expires_at:%Y-%m-%d %H:%M}"
    decision = each.decision.value + (" --accept" if each.answers.get("accept") else "")
    return each.id, each.letter_id, decision, amount, each.proposed_by, until, each.status_at(now).value
