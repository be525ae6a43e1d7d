"""`crmsync sandbox`, `python -m crmsync.lab.sandbox`: the stand-ins in the foreground, until SIGTERM or SIGINT."""

from __future__ import annotations

import shlex
import signal
import threading
from pathlib import Path
from typing import Any

import click


@click.command
@click.option(
    "--port-base",
    default=8900,
    show_default=True,
    help="Port of the control API; the vendors use the next ones (0: any free ports).",
)
@click.option(
    "--receiver", default="http://127.0.0.1:8000", show_default=True, help="The address to which webhooks are sent."
)
@click.option("--latency", default=0.0, help="Seconds that each vendor call takes.")
@click.option("--seed", default=0, help="The seed for random faults and generated deals.")
@click.option("--companies", type=click.IntRange(1, 999), default=1, show_default=True,
              help="How many companies have accounts, each with its own data, credentials and limits.")  # fmt: skip
@click.option("--zoho-per-minute", default=100, show_default=True, help="Calls per minute that Zoho allows.")
@click.option("--load", is_flag=True, help="Lift the vendors' call limits.")
@click.option(
    "--env-file", type=click.Path(dir_okay=False, path_type=Path), help="Also write the environment to this file."
)
def sandbox(*, port_base: int, receiver: str, latency: float, seed: int, companies: int, zoho_per_minute: int,
            load: bool, env_file: Path | None) -> None:  # fmt: skip
    """Run local stand-ins of Salesforce, SAP S/4HANA and Zoho Books until Ctrl-C.

    It prints the environment that points crmsync at them: paste it into the shell that runs `crmsync up`.
    """
    from crmsync.lab.sandbox import Sandbox
    from crmsync.lab.sandbox.world import LOAD

    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    limits: dict[str, Any] = {"zoho_per_minute": zoho_per_minute} | (LOAD if load else {})
    with Sandbox(port_base=port_base, seed=seed, latency_seconds=latency, receiver_url=receiver, companies=companies,
                 **limits) as made:  # fmt: skip
        text = exports(made.environment())
        if env_file:
            env_file.write_text(text + "\n")
        print(f"# control API: {made.control_url}/control/ledger\n{text}", flush=True)
        if companies > 1:
            print(f"# all {companies} companies' accounts: {made.control_url}/control/connections", flush=True)
        ended.wait()


def exports(environment: dict[str, str]) -> str:
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment.items())
