"""What SECURITY.md promises is tested, and the hardening list is the doctor's."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from crmsync.cli import hardening
from crmsync.settings import Settings

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "SECURITY.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)


def section(title: str) -> str:
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The rows of a section's table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[name for _, name in NAMED])
def test_a_test_that_is_named_exists(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text())
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_promise_has_a_test() -> None:
    promises = rows(section("Promises, each with its test"))
    assert len(promises) > 20
    assert [promise for promise, tests in promises if not re.search(r"`tests/.+::test_\w+`", tests)] == []


def test_the_hardening_list_is_what_the_doctor_looks_at(tmp_path: Path) -> None:
    listed = {line.removeprefix("… ") for line, _ in rows(section("Hardening list"))}
    environment = {
        "CRMSYNC_HOME": str(tmp_path),
        "REDIS_URL": "redis://r.example.com",
        "CRMSYNC_TOWER_PASSWORD": "x" * 12,
        "DATABASE_URL": "postgresql://u@127.0.0.1:1/crmsync",
    }
    looked_at = {finding.name for finding in hardening.all_of(Settings.from_env(environment))}
    unlisted = {name for name in looked_at if not any(name.endswith(line) for line in listed)}
    assert unlisted == set()


def test_it_names_no_person_and_no_host() -> None:
    assert not re.search(r"[\w.]+@[\w-]+\.[a-z]{2,}", TEXT)
    assert not re.search(r"https?://", TEXT)
