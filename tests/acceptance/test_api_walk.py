"""Somebody follows the walk through docs/api.md, command by command, from a token to a replayed deal."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests import guides
from tests.system import NO_PERIODS, System, big_sandbox, running

pytestmark = pytest.mark.acceptance

PAGE = (guides.ROOT / "docs" / "api.md").read_text()
WALK = PAGE[PAGE.index("## A walk") :].split("\n## ")[0]
MARKS = [mark for mark in re.findall("^<!-- walk: (.+) -->$", WALK, re.MULTILINE) if mark != "environment"]
SECONDS = 150  # far more than it takes


def told_to_set() -> dict[str, str]:
    """The variables that the page tells its reader to set; the sandbox writes the others."""
    return dict(re.findall(r"^export (\w+)=(\S+)$", guides.block("api", "walk: environment"), re.MULTILINE))


def walk(system: System) -> dict[str, list[Any]]:
    """The JSON that the commands of each block print, by the block's mark."""
    parts = [f"echo '# {mark}'\n{guides.block('api', f'walk: {mark}')}\necho" for mark in MARKS]
    env = {"API": system.url("/api/erp"), "SANDBOX": f"{system.sandbox.control_url}/control"}
    script = system.home / "walk.sh"
    script.write_text("\n".join(parts))
    done = subprocess.run(
        ["timeout", str(SECONDS), "bash", "-euo", "pipefail", script],
        env={**system.environment, **env}, cwd=system.home, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr}\n{system.log()[-3000:]}"
    said = re.split("^# (.+)$", done.stdout, flags=re.MULTILINE)[1:]
    return {mark: list(answers(text)) for mark, text in zip(said[::2], said[1::2], strict=True)}


def answers(text: str) -> list[Any]:
    """The JSON documents that follow one another in *text*."""
    found, text = [], text.strip()
    while text:
        value, end = json.JSONDecoder().raw_decode(text)
        found.append(value)
        text = text[end:].strip()
    return found


def test_the_walk_is_answered_as_the_page_says(tmp_path: Path) -> None:
    sandbox = big_sandbox(companies=2)
    with running(tmp_path / "home", "web", "worker", sandbox=sandbox, **NO_PERIODS, **told_to_set()) as system:
        told = walk(system)
        ledger: Mapping[str, Any] = sandbox.companies[1].ledger()

    assert [*told] == MARKS
    assert told["token"] == [{**told["token"][0], "name": "walk", "role": "admin", "tenant_id": "acme"}]
    assert "sales_organization" in told["systems"][0]["settings"]["properties"]
    [page] = told["connections"]
    assert [each["name"] for each in page["items"]] == ["sap-2"], "the environment's belong to another company"
    assert [(each["success"], each["missing"]) for each in told["test"]] == [(True, [])] * 3
    assert (told["binding"][0]["tenant_id"], told["binding"][0]["version"]) == ("acme", 1)
    [[webhook]] = [page["items"] for page in told["webhook"]]
    assert webhook["status"] == "active"
    assert "verification_token" not in webhook
    assert told["deal"] == [{"status": "accepted"}]
    run, events = told["run"]
    [event] = events["items"]
    assert (event["run_id"], event["action"]) == (run["id"], "created")
    assert event["payload"] == {"opportunityId": run["subject_key"]}
    assert [run["status"], *(each["kind"] for each in run["documents"])] == [
        "done", "customer", "order", "customer", "invoice", "mail",
    ]  # fmt: skip
    gone, link = told["link"]
    assert (link["key"], link["account"]) == (gone["removed"][0]["key"], gone["removed"][0]["account"])
    assert (gone["removed"][0]["origin"], link["origin"], link["linked_by"]) == ("created", "set", "walk, by the API")
    (accepted, letter) = told["dead letter"]
    assert accepted == {"status": "accepted"}
    assert (letter["step"], letter["kind"], letter["status"]) == ("create_order", "data", "waiting")
    assert "V1/555" in letter["cause"] + letter["vendor_words"]
    dry, first, again, replayed = told["replay"]
    assert (dry["is_dry_run"], dry["goes_on_at"], dry["status"]) == (True, "fetch_deal", "waiting")
    last = dry["foreseen"]["steps"][-1]
    assert (last["step"], last["end"], last["request"]["method"]) == ("create_order", "writes", "POST")
    assert first == again
    assert replayed["status"] == "done"
    newest = told["audit"][0]["items"][0]
    assert (newest["name"], newest["verb"], newest["origin"]) == ("walk", "dead_letter.replay", "api")
    assert sorted(order["reference"] for order in ledger["orders"]) == sorted(
        f"SF-{each['subject_key']}" for each in (run, replayed)
    ), "the replay that was asked for twice was done once"
