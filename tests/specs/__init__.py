"""The vendors' machine-readable specifications: where they are, and what a test does without them.

Most are not ours to ship: `make specs` fetches them into build/specs from the places in sources.json, which has their
hashes. CRMSYNC_TEST_SPECS names another folder; then, where CI is `true`, a test without its specification fails.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

VARIABLE = "CRMSYNC_TEST_SPECS"
OWN = Path(__file__).parent  # those that were written for these tests
_ROOT = OWN.parents[1]
FETCHED = _ROOT / "build" / "specs"
_PLACES = (FETCHED, _ROOT.parent / "shared" / "specs")

_named = os.environ.get(VARIABLE, "")  # now: no test sees the variable
FOLDER = Path(_named) if _named else next((place for place in _PLACES if place.is_dir()), FETCHED)
IS_REQUIRED = bool(_named) and os.environ.get("CI") == "true"


def is_available(vendor: str) -> bool:
    """Raises: AssertionError where they have to be there, and are not."""
    found = (FOLDER / vendor).is_dir()
    assert found or not IS_REQUIRED, f"{FOLDER / vendor} is missing, and {VARIABLE} names it: fetch it by `make specs`"
    return found


def needs(vendor: str) -> pytest.MarkDecorator:
    """Skips a test without the specifications of *vendor*; where they have to be there it runs, and fails."""
    is_left_out = not IS_REQUIRED and not (FOLDER / vendor).is_dir()
    return pytest.mark.skipif(is_left_out, reason=f"the specifications of {vendor} are not here: `make specs`")
