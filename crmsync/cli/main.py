"""`crmsync`: every command of it. The modules below import what is heavy only when they are run."""

from __future__ import annotations

import click

from crmsync import __version__, files
from crmsync.cli.accounts import accounts
from crmsync.cli.catch_up import catch_up
from crmsync.cli.configuration import config
from crmsync.cli.demo.command import demo
from crmsync.cli.doctor import doctor
from crmsync.cli.failures import FriendlyGroup
from crmsync.cli.inventory import inventory
from crmsync.cli.limits import limits
from crmsync.cli.links import links
from crmsync.cli.migrate import migrate
from crmsync.cli.prove.command import prove
from crmsync.cli.runs import runs
from crmsync.cli.sandbox import sandbox
from crmsync.cli.up import up


@click.group(cls=FriendlyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="crmsync")
def cli() -> None:
    """Keep the CRM, the ERP and the books telling the same story.

    `crmsync demo` needs no configuration and shows what it does; `crmsync up` does it.
    Dead letters have commands of their own: `celery -A crmsync dead-letters --help`.
    """
    files.keep_private()


for command in (demo, prove, up, doctor, config, accounts, links, limits, runs, inventory, catch_up, migrate, sandbox):
    cli.add_command(command)
