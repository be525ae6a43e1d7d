"""`crmsync demo`: starts the world, tells the story, ends both."""

from __future__ import annotations

import click

from crmsync.cli.failures import FAILED


@click.command
@click.option("--once", is_flag=True, help="Stop when the demo is over; exit status 0 only if every document is right.")
@click.option("--keep-state", is_flag=True, help="Keep the temporary state directory: logs, database.")
def demo(*, once: bool, keep_state: bool) -> None:
    """Watch a deal become an order and an invoice, be paid, and survive an outage without duplicates.

    Needs no configuration and no services. Everything runs on this machine, in a state directory of its own that is
    removed at the end; Local stand-ins play Salesforce, SAP and Zoho Books.
    """
    from crmsync.lab.demo.performance import perform

    if not perform(once=once, keep_state=keep_state):
        raise SystemExit(FAILED)
