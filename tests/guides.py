"""The set-up guides as their reader uses them: blocks to run, variables to set, lines to expect."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.system import ROOT

GUIDES = {name: ROOT / "docs" / "setup" / f"{name}.md" for name in ("salesforce", "s4hana", "zoho-books")}


def block(page: str, mark: str) -> str:
    """The text of the fenced block that stands behind the comment *mark*, which a reader does not see."""
    path = GUIDES.get(page) or ROOT / "docs" / f"{page}.md"
    found = re.search(rf"^( *)<!-- {re.escape(mark)} -->\n\1```\w*\n(.*?)^\1```$", path.read_text(), re.M | re.S)
    assert found, f"{page} has no block {mark}"
    return found[2].replace(f"\n{found[1]}", "\n").removeprefix(found[1])


def environment(page: str) -> dict[str, str]:
    """The variables that the guide tells its reader to set, with its own examples as values."""
    return dict(line.split("=", 1) for line in block(page, "environment").splitlines())


def run(page: str, name: str, folder: Path, **variables: str) -> list[str]:
    """What the guide's shell block prints in *folder*, line by line."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), **variables}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block(page, f"run: {name}")],
        env=env, cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def set_up(page: str, told: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The guide's variables for the vendor that *told* them; a secret is put into a file where the guide does so.

    A file of the guide's own making, such as a webhook secret, lies in *folder* already. Where nobody tells a value,
    the guide's example stands.
    """
    made = {}
    for variable, example in environment(page).items():
        secret = variable.removesuffix("_FILE")
        if variable == secret:
            made[variable] = told.get(variable, example)
            continue
        path = folder / Path(example).name
        if not path.exists():
            path.write_text(told[secret])
        made[variable] = str(path)
    return made
