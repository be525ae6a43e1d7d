"""One campaign from the command line: told as it goes, written where it is asked for, ended cleanly."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from crmsync import __version__
from crmsync.errors import ConfigurationError
from crmsync.lab import machine
from crmsync.lab.prove import campaign
from crmsync.lab.prove.narrator import Narrator
from crmsync.lab.prove.page import page
from crmsync.lab.prove.plan import Plan, cases
from crmsync.lab.prove.stage import BEHAVIOUR
from crmsync.lab.prove.verdict import Verdict
from crmsync.log import without_password


def perform(plan: Plan, *, html_path: Path | None, json_path: Path | None, keep_state: bool) -> bool:
    """True if every case was right, and none was left out by a signal.

    Raises: ConfigurationError for a plan without cases.
    """
    _refuse_empty(plan)
    narrator, verdicts, facts = Narrator(), [], _facts(plan)
    narrator.facts(facts)
    is_whole = False
    try:
        with machine.signals():
            for verdict in campaign.run(plan, narrator, tell_kept=narrator.note if keep_state else None):
                verdicts.append(verdict)
            is_whole = True
    except (machine.Interrupted, KeyboardInterrupt):
        narrator.note("Interrupted: every process is stopped.")
    narrator.show(verdicts)
    _write(verdicts, facts, html_path=html_path, json_path=json_path)
    return is_whole and not campaign.has_failed(verdicts)


def _refuse_empty(plan: Plan) -> None:
    if not cases(campaign.known_flows(), plan):
        raise ConfigurationError(
            "There is no such case.",
            field_errors={"--case": ", ".join(plan.cases)},
            advice="A case is named flow.step:boundary, such as order_to_invoice.create_order:sent.",
        )


def _facts(plan: Plan) -> Mapping[str, str]:
    return {
        "crmsync": __version__,
        "Seed": str(plan.seed),
        "Database": without_password(plan.database) if plan.database else "SQLite",
        "Broker": without_password(plan.broker) if plan.broker else "embedded Redis",
        "Workers": f"{BEHAVIOUR['CRMSYNC_WORKERS']}, {plan.pool}{'' if plan.runs_ahead else ', one message a step'}",
        "Lease, settle, sweep": " s, ".join(
            BEHAVIOUR[f"CRMSYNC_{name}_SECONDS"] for name in ("LEASE", "SETTLE", "SWEEP")
        )
        + " s",
        "Machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "Began": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _write(
    verdicts: Sequence[Verdict], facts: Mapping[str, str], *, html_path: Path | None, json_path: Path | None
) -> None:
    if html_path is not None:
        html_path.write_text(page(verdicts, facts))
    if json_path is not None:
        whole = {"facts": facts, "cases": [verdict.to_json() for verdict in verdicts]}
        json_path.write_text(json.dumps(whole, indent=2, ensure_ascii=False))
