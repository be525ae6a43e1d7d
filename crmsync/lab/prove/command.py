"""`crmsync prove`: the command and its options."""

from __future__ import annotations

import random
from pathlib import Path

import click

from crmsync.cli.failures import FAILED
from crmsync.lab.prove.plan import FAULTS, Plan


def _names() -> str:
    return "\b\n" + "\n".join(f"{name:<20} {says}" for name, says in FAULTS.items())


@click.command(epilog=f"Faults:\n\n{_names()}")
@click.option(
    "--only",
    "only",
    multiple=True,
    type=click.Choice(list(FAULTS)),
    metavar="FAULT",
    help="Only this fault; may be repeated.",
)
@click.option(
    "--case",
    "case_names",
    multiple=True,
    metavar="STEP:BOUNDARY",
    help="Only this case, such as order_to_invoice.create_order:sent; may be repeated.",
)
@click.option("--seed", type=int, help="Repeat the choices of an earlier campaign.")
@click.option(
    "--kills", type=click.IntRange(1), default=20, show_default=True, help="How many processes random-kill kills."
)
@click.option(
    "--deals",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    help="How many deals each tenant of two-companies wins; the flood is as many again.",
)
@click.option(
    "--minutes", type=click.FloatRange(0), default=0.0, help="Start over with new seeds for this many minutes."
)
@click.option(
    "--database",
    default="",
    metavar="URL",
    help="A PostgreSQL database, in which a schema is created and removed (default: SQLite).",
)
@click.option(
    "--broker",
    "broker_url",
    default="",
    metavar="URL",
    help="redis://… (that database is emptied) or amqp://… (default: an embedded server).",
)
@click.option(
    "--pool",
    type=click.Choice(["threads", "prefork"]),
    default="threads",
    show_default=True,
    help="The pool of the workers.",
)
@click.option(
    "--one-message-a-step", "is_stepwise", is_flag=True, help="Workers do not run ahead (CRMSYNC_RUN_AHEAD=0)."
)
@click.option(
    "--previous",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="The folder with the commands of an earlier release (its .venv/bin): only the fault `upgraded` is tried.",
)
@click.option(
    "--html", "html_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the matrix as a page."
)
@click.option(
    "--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write every verdict as JSON."
)
@click.option("--keep-state", is_flag=True, help="Keep the temporary state directory: logs, database.")
def prove(
    *,
    only: tuple[str, ...],
    case_names: tuple[str, ...],
    seed: int | None,
    kills: int,
    deals: int,
    minutes: float,
    database: str,
    broker_url: str,
    pool: str,
    is_stepwise: bool,
    previous: Path | None,
    html_path: Path | None,
    json_path: Path | None,
    keep_state: bool,
) -> None:
    """Break crmsync on purpose, then count documents: none may be lost or created twice, and no run may be stuck.

    Runs the real processes against local stand-ins of the vendors, in a state of its own that is removed at the end.
    Exit status 0 only if every case is right.
    """
    from crmsync.lab.prove.performance import perform

    plan = Plan(
        seed=random.randrange(1, 10_000) if seed is None else seed,
        only=only,
        cases=case_names,
        kills=kills,
        deals=deals,
        minutes=minutes,
        database=database,
        broker=broker_url,
        pool=pool,
        runs_ahead=not is_stepwise,
        previous=str(previous.absolute()) if previous else "",
    )
    if not perform(plan, html_path=html_path, json_path=json_path, keep_state=keep_state):
        raise SystemExit(FAILED)
