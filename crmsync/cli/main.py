"""`crmsync`: every command of it. The modules below import what is heavy only when they are run."""

from __future__ import annotations

import click

from crmsync import __version__, files
from crmsync.cli.accounts import accounts
from crmsync.cli.catch_up import catch_up
from crmsync.cli.configuration import config
from crmsync.cli.dead_letters import dead_letters
from crmsync.cli.demo.command import demo
from crmsync.cli.doctor import doctor
from crmsync.cli.failures import FriendlyGroup
from crmsync.cli.forget import forget
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
    `crmsync dead-letters` and `celery -A crmsync dead-letters` are the same.
    """
    files.keep_private()


_WORK = (demo, prove, up, doctor, config, migrate, sandbox)
_RECORDS = (runs, dead_letters, links, accounts, inventory, catch_up, limits, forget)
for command in (*_WORK, *_RECORDS):
    cli.add_command(command)
