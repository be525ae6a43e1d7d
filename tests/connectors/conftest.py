"""What the tests of every connector use: recorded answers of its vendor."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FIXTURES = Path(__file__).parent / "fixtures"

LoadFixture = Callable[[str], Any]


@pytest.fixture
def fixture(request: pytest.FixtureRequest) -> LoadFixture:
    """Reads a recorded answer of the vendor after whom the test's folder is named."""
    folder = FIXTURES / request.path.parent.name
    return lambda name: json.loads((folder / f"{name}.json").read_text())
