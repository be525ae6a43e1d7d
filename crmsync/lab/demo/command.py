"""`crmsync demo`: starts the world, tells the story, ends both."""

from __future__ import annotations

import click

from crmsync.cli.failures import FAILED


@click.command
@click.option("--once", is_flag=True, help="End when the story ends; exit status 0 only if every document is right.")
@click.option("--keep-state", is_flag=True, help="Keep the temporary state directory: logs, database.")
def demo(*, once: bool, keep_state: bool) -> None:
    """Watch a deal become an order and an invoice and be paid, an outage be survived, and nothing be made twice.

    Needs no configuration and no services. Everything runs on this machine, in a state directory of its own that is
    removed at the end; Salesforce, SAP and Zoho Books are played by stand-ins.
    """
    from crmsync.lab.demo.performance import perform

    if not perform(once=once, keep_state=keep_state):
        raise SystemExit(FAILED)
