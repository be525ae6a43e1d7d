"""`crmsync`: the group of all commands. The modules below import heavy packages only when they run."""

from __future__ import annotations

from importlib import import_module

import click

from crmsync import __version__, files
from crmsync.cli.accounts import accounts
from crmsync.cli.approvals import approvals
from crmsync.cli.audit import audit
from crmsync.cli.bindings import bindings
from crmsync.cli.catch_up import catch_up
from crmsync.cli.configuration import config
from crmsync.cli.connections import connections
from crmsync.cli.dead_letters import dead_letters
from crmsync.cli.doctor import doctor
from crmsync.cli.failures import FriendlyGroup
from crmsync.cli.forget import forget
from crmsync.cli.inventory import inventory
from crmsync.cli.limits import limits
from crmsync.cli.links import links
from crmsync.cli.migrate import migrate
from crmsync.cli.runs import runs
from crmsync.cli.secrets import secrets
from crmsync.cli.sync_configs import sync_configs
from crmsync.cli.token import token
from crmsync.cli.up import up
from crmsync.cli.users import init, users
from crmsync.cli.webhooks import webhooks
from crmsync.errors import CrmsyncError

LAB = "crmsync.lab"
LAB_COMMANDS = ("demo", "prove", "sandbox")


class Commands(FriendlyGroup):
    """The commands of the product, and those of the lab, which an installation may lack: the production image does."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*self.commands, *LAB_COMMANDS])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _lab_command(cmd_name) if cmd_name in LAB_COMMANDS else super().get_command(ctx, cmd_name)


def _lab_command(name: str) -> click.Command:
    """By name: the product must not import the lab."""
    try:
        found: click.Command = getattr(import_module(f"{LAB}.{name}.command"), name)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(LAB):
            raise
        return _missing(name)
    return found


def _missing(name: str) -> click.Command:
    def refuse() -> None:
        raise CrmsyncError(
            f"`crmsync {name}` belongs to the lab, which is not installed here: the production image leaves it out.",
            advice="Run it from the source: `make install`, then `.venv/bin/crmsync " + name + "`.",
        )

    anything = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    return click.Command(name, callback=refuse, context_settings=anything, add_help_option=False, hidden=True)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="crmsync")
def cli() -> None:
    """Keep the CRM, the ERP and the books consistent with each other.

    `crmsync demo` shows how it works and needs no configuration; `crmsync up` runs it.
    `crmsync dead-letters` and `celery -A crmsync dead-letters` are the same.
    """
    files.keep_private()


_WORK = (up, doctor, config, migrate)
_RECORDS = (runs, dead_letters, approvals, links, inventory, catch_up, forget)
_CONNECTIONS = (connections, bindings, sync_configs, webhooks, accounts, limits)
_PEOPLE = (init, users, token, secrets, audit)
for command in (*_WORK, *_RECORDS, *_CONNECTIONS, *_PEOPLE):
    cli.add_command(command)
