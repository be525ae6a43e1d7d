"""`crmsync sandbox`: the stand-ins of the vendors, alone."""

from __future__ import annotations

import click


@click.command
@click.option("--port-base", default=8900, show_default=True, help="Control API; the vendors follow (0: free ports).")
@click.option("--receiver", default="http://127.0.0.1:8000", show_default=True, help="Where webhooks go.")
@click.option("--latency", default=0.0, help="Seconds that each vendor call takes.")
@click.option("--seed", default=0, help="For chances and made-up deals.")
@click.option("--companies", type=click.IntRange(1, 999), default=1, show_default=True,
              help="How many have accounts, each with data, credentials and limits of its own.")  # fmt: skip
@click.option("--load", is_flag=True, help="Lift the vendors' call limits.")
def sandbox(*, port_base: int, receiver: str, latency: float, seed: int, companies: int, load: bool) -> None:
    """Run local stand-ins of Salesforce, SAP S/4HANA and Zoho Books until Ctrl-C.

    It prints the environment that points crmsync at them: paste it into the shell that runs `crmsync up`.
    """
    from crmsync.lab.sandbox.__main__ import main

    words = [
        "--port-base",
        port_base,
        "--receiver",
        receiver,
        "--latency",
        latency,
        "--seed",
        seed,
        "--companies",
        companies,
    ]
    raise SystemExit(main([*map(str, words), *(["--load"] if load else [])]))
