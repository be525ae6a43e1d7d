"""`crmsync doctor`: checks that everything crmsync needs is there, and says what to do if not."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import click

from crmsync.cli import screen
from crmsync.cli.failures import FAILED
from crmsync.cli.options import json_option
from crmsync.cli.process import open_services
from crmsync.cli.users import tenant_option
from crmsync.errors import ConfigurationError
from crmsync.phrases import plural
from crmsync.plain import visible
from crmsync.settings import Settings

if TYPE_CHECKING:
    from crmsync.cli.finding import Finding

_MARKS = {"ok": ("✓", "green"), "failed": ("✗", "red"), "note": ("•", "yellow")}


@click.command
@click.option("--send-test-alert", is_flag=True, help="Send a test message to Slack.")
@click.option("--security", "is_security", is_flag=True, help="Check the hardening list of SECURITY.md instead.")
@tenant_option
@click.option("--connection", default="", metavar="ID", help="Of the stored connections only this one.")
@json_option
def doctor(*, send_test_alert: bool, is_security: bool, tenant: str | None, connection: str, as_json: bool) -> None:
    """Try everything that crmsync will do, except writing, and say what is wrong; exit status 1 if anything fails.

    It signs in to each system, reads what the flows will read, lets the ERP simulate an order without saving it,
    and sends a signed test message to each webhook endpoint of the running receiver. With --tenant or --connection
    it examines only the stored connections that these name, and their doors.
    """
    from crmsync.cli import report

    findings: list[Finding] = []
    found = _of_stored(tenant, connection) if tenant is not None or connection else None
    for finding in found or _findings(send_test_alert=send_test_alert, is_security=is_security):
        findings.append(finding)
        if not as_json:
            _print(finding)
    if as_json:
        screen.print_json(report.as_json(findings))
    else:
        if not is_security:
            report.print_table(findings)
        _print_end(findings)
    if not all(finding.is_ok for finding in findings):
        raise SystemExit(FAILED)


def _findings(*, send_test_alert: bool, is_security: bool) -> Iterable[Finding]:
    """One by one, so that a person sees how far it is."""
    from crmsync.cli import checks, hardening

    if not is_security:
        yield from checks.of_spelling(os.environ)
    try:
        settings = Settings.from_env()
    except ConfigurationError as error:
        yield from checks.of_configuration(error)
        return
    if is_security:
        yield from hardening.all_of(settings)
    else:
        yield from checks.all_of(settings, send_test_alert=send_test_alert)


def _of_stored(tenant: str | None, connection: str) -> Iterable[Finding]:
    """Raises: click.UsageError where there is no such connection; ConfigurationError."""
    from crmsync.cli import check_doors, check_systems
    from crmsync.cli.finding import never_raising

    using = open_services()
    chosen = check_systems.stored(using, tenant, connection)
    if not chosen:
        raise click.UsageError("There is no such stored connection: `crmsync connections list` shows them.")
    return chain(
        check_systems.of_connections(using, chosen),
        never_raising(check_doors.AREA, check_doors.of_connections(using, chosen)),
    )


def _print(finding: Finding) -> None:
    out = screen.console()
    mark, style = _MARKS[finding.state]
    out.print(mark, style=style, end=" ")
    out.print(f"{finding.area}: {finding.name}", style="bold", end="")
    out.print(f" – {visible(finding.detail)}" if finding.detail else "")


def _print_end(findings: Sequence[Finding]) -> None:
    out = screen.console()
    failed = sum(not finding.is_ok for finding in findings)
    unseen = sum(finding.is_unseen for finding in findings)
    besides = f" Not checked, each with its reason (•): {unseen}." if unseen else ""
    if failed:
        out.print(f"\n{plural(failed, 'check')} failed.{besides}", style="bold red")
    else:
        what = "What was checked" if unseen else "Everything"
        out.print(f"\n{what} is as it should be.{besides}", style="bold green")
