"""Each mutant of `make mutants` can be put into the code as it is, and names a test that is there."""

from __future__ import annotations

import ast

import pytest

from tests.mutants.table import MUTANTS, Mutant
from tests.mutants.trial import ROOT

EACH = pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])


@EACH
def test_its_text_stands_once_in_the_code_and_what_replaces_it_is_code(mutant: Mutant) -> None:
    changed = mutant.applied((ROOT / mutant.file).read_text())

    ast.parse(changed)
    assert mutant.old != mutant.new


@EACH
def test_the_test_that_must_notice_it_is_there(mutant: Mutant) -> None:
    file, _, name = mutant.test.partition("[")[0].partition("::")

    assert f"def {name}" in (ROOT / file).read_text()


def test_each_has_a_name_of_its_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
