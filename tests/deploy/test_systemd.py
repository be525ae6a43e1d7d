"""deploy/systemd runs what the Procfile runs, as a user that owns nothing but its state, and systemd reads it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from crmsync.supervisor import parse_procfile
from tests.system import BIN

ROOT = Path(__file__).parent.parent.parent
UNITS = sorted((ROOT / "deploy" / "systemd").glob("crmsync*"))
SERVICES = [path for path in UNITS if path.suffix == ".service"]
PROCFILE = parse_procfile((ROOT / "Procfile").read_text())
PROCESS = {"migrate": "release", "worker@": "worker"}  # else the name is the Procfile's


class Unit(dict[str, dict[str, list[str]]]):
    """What a unit says: each name of a section may come more than once."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        for line in path.read_text().splitlines():
            if section := re.fullmatch(r"\[(\w+)\]", line):
                here = self.setdefault(section[1], {})
            elif line and not line.startswith("#"):
                name, _, value = line.partition("=")
                here.setdefault(name, []).append(value)


def of_process(path: Path) -> str:
    name = path.stem.removeprefix("crmsync").removeprefix("-")
    return PROCESS.get(name, name)


@pytest.mark.parametrize("path", [each for each in SERVICES if of_process(each)], ids=lambda path: path.stem)
def test_a_unit_runs_the_command_of_the_procfile(path: Path) -> None:
    (command,) = Unit(path)["Service"]["ExecStart"]
    found = re.fullmatch(r'/bin/sh -c "exec (.*)"', command)

    assert found
    assert found[1].replace("%%", "%").replace("$${", "${") == PROCFILE[of_process(path)]


def test_every_process_has_a_unit_and_one_runs_them_all() -> None:
    assert {of_process(path) for path in SERVICES} - {""} == set(PROCFILE)
    assert Unit(ROOT / "deploy/systemd/crmsync.service")["Service"]["ExecStart"] == ["/opt/crmsync/bin/crmsync up"]


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)
def test_a_service_is_a_user_of_its_own_that_writes_its_state_only(path: Path) -> None:
    service = Unit(path)["Service"]

    assert (service["User"], service["NoNewPrivileges"]) == (["crmsync"], ["yes"])
    assert (service["ProtectSystem"], service["StateDirectory"], service["StateDirectoryMode"]) == (
        ["strict"],
        ["crmsync"],
        ["0700"],
    )
    assert "CRMSYNC_HOME=/var/lib/crmsync" in service["Environment"]


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)
def test_what_runs_long_starts_again_and_may_finish(path: Path) -> None:
    service = Unit(path)["Service"]
    if of_process(path) == "release":
        assert service["Type"] == ["oneshot"]
        return

    assert service["Restart"] == ["always"]
    if of_process(path) in ("", "worker"):
        assert int(service["TimeoutStopSec"][0]) >= 45  # as in docker-compose.yml


@pytest.mark.parametrize(
    "path", [each for each in SERVICES if of_process(each) not in ("", "release")], ids=lambda path: path.stem
)
def test_nothing_starts_before_the_migration(path: Path) -> None:
    assert "crmsync-migrate.service" in Unit(path)["Unit"]["Requires"]
    assert "crmsync-migrate.service" in Unit(path)["Unit"]["After"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")
def test_systemd_reads_every_unit(tmp_path: Path) -> None:
    """Without the places and the user of a machine that has them."""
    for path in UNITS:
        text = path.read_text().replace("/opt/crmsync/bin", str(BIN))
        (tmp_path / path.name).write_text(re.sub("^(User|Group)=.*\n", "", text, flags=re.MULTILINE))
    units = [tmp_path / path.name.replace("@.", "@1.") for path in UNITS]
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin", "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )  # fmt: skip

    ours = [line for line in checked.stderr.splitlines() if "crmsync" in line]
    assert ours == []
    assert checked.returncode == 0, checked.stderr
