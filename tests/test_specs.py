"""The vendors' specifications: what is fetched is what the tests were written for, and CI misses none in silence."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import specs
from tests.specs.__main__ import fetch, sources

USES_ONE = """
from tests import specs

@specs.needs("zoho-books")
def test_it():
    assert (specs.FOLDER / "zoho-books" / "a.yml").read_text()
"""


@pytest.mark.parametrize("name", sources())
def test_what_is_here_is_what_the_tests_were_written_for(name: str) -> None:
    path = specs.FOLDER / name
    if not path.is_file() and not specs.IS_REQUIRED:
        pytest.skip("the specifications are not here: `make specs`")

    assert hashlib.sha256(path.read_bytes()).hexdigest() == sources()[name]["sha256"]


def test_what_became_another_file_is_not_kept(tmp_path: Path) -> None:
    problems = list(fetch(tmp_path, lambda url: b"another"))

    assert len(problems) == len(sources())
    assert all("another file by now" in problem for problem in problems)
    assert list(tmp_path.rglob("*")) == []


def test_what_does_not_answer_is_named_and_the_others_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"a specification"
    known = {"url": "https://a.test/1", "sha256": hashlib.sha256(content).hexdigest(), "licence": ""}
    monkeypatch.setattr("tests.specs.__main__.sources", lambda: {"a/1.yml": {**known, "url": "down"}, "a/2.yml": known})

    def read(url: str) -> bytes:
        if url == "down":
            raise OSError("no answer")
        return content

    assert list(fetch(tmp_path, read)) == ["a/1.yml: no answer"]
    assert (tmp_path / "a" / "2.yml").read_bytes() == content


@pytest.mark.parametrize(
    ("variables", "outcome"),
    [
        ({}, "skipped"),
        ({"CI": "true"}, "skipped"),
        ({"CRMSYNC_TEST_SPECS": "{empty}"}, "skipped"),
        ({"CRMSYNC_TEST_SPECS": "{empty}", "CI": "true"}, "failed"),
    ],
    ids=["at home", "CI without specifications", "at home, in a folder without them", "CI whose folder lacks them"],
)
def test_a_test_without_its_specification_is_skipped_but_in_ci_it_fails(
    tmp_path: Path, variables: dict[str, str], outcome: str
) -> None:
    """In a copy of this file's own folder, beside which there are none."""
    (tmp_path / "tests" / "specs").mkdir(parents=True)
    (tmp_path / "tests" / "specs" / "__init__.py").write_text(Path(specs.__file__).read_text())
    (tmp_path / "tests" / "__init__.py").touch()
    (tmp_path / "tests" / "test_it.py").write_text(USES_ONE)
    (empty := tmp_path / "empty").mkdir()
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "HOME": str(tmp_path)}
    env |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # to import them takes longer than all the rest
    env |= {name: value.format(empty=empty) for name, value in variables.items()}

    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "tests"],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert f"1 {outcome}" in ended.stdout
