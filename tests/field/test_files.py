"""Cases from the field: a state directory that somebody else made, open to all; what crmsync writes is its own."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from click.testing import CliRunner

from crmsync import embedded
from crmsync.cli.main import cli
from crmsync.passwords import kept_secret
from crmsync.store import Store, schema


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory made by somebody else, 0755; a short path, because that of a socket has a limit."""
    before = os.umask(0o022)
    with TemporaryDirectory(prefix="h") as folder:
        made = Path(folder) / "home"
        made.mkdir(mode=0o755)
        monkeypatch.setenv("CRMSYNC_HOME", str(made))
        yield made
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    """The files and folders in *folder* that anybody but their owner may use."""
    found = {path.relative_to(folder).as_posix(): path.lstat().st_mode for path in folder.rglob("*")}
    return {name: oct(stat.S_IMODE(mode)) for name, mode in found.items() if mode & 0o077 and not stat.S_ISLNK(mode)}


def test_O3__the_database_and_what_lies_beside_it_are_their_owners_alone(home: Path) -> None:
    store = Store(f"sqlite:///{home / 'crmsync.db'}")
    schema.migrate(store)
    with store.begin() as uow:
        uow.facts.set("name", "value")
    kept_secret(home / "secret.key")

    assert {"crmsync.db", "crmsync.db-wal", "crmsync.db-shm", "crmsync.db.lock", "secret.key"} <= {
        path.name for path in home.iterdir()
    }
    assert modes(home) == {}
    store.close()


def test_O3__a_database_of_an_earlier_release_is_taken_from_others(home: Path) -> None:
    path = home / "crmsync.db"
    Store(f"sqlite:///{path}").close()
    path.chmod(0o644)

    store = Store(f"sqlite:///{path}")
    store.ping()

    assert modes(home) == {}
    store.close()


def test_O3__a_file_that_is_no_database_keeps_its_permissions(home: Path) -> None:
    path = home / "passwd"
    path.write_text("root:x:0:0\n" * 100)
    path.chmod(0o644)
    store = Store(f"sqlite:///{path}")

    with pytest.raises(Exception, match="not a database"):
        store.ping()

    assert modes(home) == {"passwd": "0o644"}
    store.close()


def test_O3__a_process_and_its_redis_write_nothing_that_others_can_read(home: Path) -> None:
    starts = "import crmsync.web.wsgi, pathlib, sys; pathlib.Path(sys.argv[1], 'made').write_text('by whatever'); "
    serves = "from crmsync import embedded; embedded.ensure_running(pathlib.Path(sys.argv[1]))"

    subprocess.run(
        [sys.executable, "-c", starts + serves, str(home)],
        check=True,
        timeout=60,
        env={"PATH": os.environ["PATH"], "CRMSYNC_HOME": str(home)},
    )

    assert {"made", "secret.key", "crmsync.db", "redis"} <= {path.name for path in home.iterdir()}
    assert {path.name for path in (home / "redis").iterdir()} >= {"server.log", "users.lock"}
    assert modes(home) == {}
    assert embedded.socket_path(home).parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("mode", "complaint"), [(0o755, "others may read it"), (0o777, "others may read and write it")]
)
def test_O3__the_doctor_complains_about_a_home_that_others_can_use(home: Path, mode: int, complaint: str) -> None:
    home.chmod(mode)
    (home / "notes").write_text("made by hand")

    result = CliRunner().invoke(cli, ["doctor"], env={"REDIS_URL": "redis://127.0.0.1:1/0", "COLUMNS": "400"})

    assert complaint in result.stdout
    assert f"chmod 700 {home}" in result.stdout
    assert f"chmod 600 {home / 'notes'}" in result.stdout
    assert result.exit_code == 1
