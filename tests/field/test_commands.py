"""Cases from the field: P9 (an alert's command in another shell), P13 (what a person would plausibly type)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from click.testing import CliRunner
from psycopg import conninfo
from sqlalchemy.engine import make_url

from crmsync.cli import link_file
from crmsync.cli.main import cli
from crmsync.domain.dead_letters import LetterStatus
from crmsync.embedded import ensure_running
from crmsync.errors import RejectedError
from crmsync.services import remember_addresses
from crmsync.settings import Settings
from crmsync.store import Store, schema, whereabouts
from tests.builders import DEAL_KEY, private_pem
from tests.fakes import DEFAULT, start_run
from tests.system import BIN, ROOT


def shell(*words: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """A command as a person types it, in a shell that knows nothing but *env*."""
    full = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(cwd), **env}
    return subprocess.run(
        words, cwd=cwd, env=full, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )


# -- P13: what lies in the current folder


def test_P13__a_celeryconfig_of_somebody_else_in_the_folder_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "celeryconfig.py").write_text("raise SystemExit('the wrong file')\n")
    code = "from crmsync.celery import app; print(app.conf.task_default_queue)"

    asked = shell("python", "-c", f"import sys; sys.path.insert(0, ''); {code}", cwd=tmp_path, REDIS_URL="redis://x")

    assert (asked.stdout, asked.stderr) == ("housekeeping\n", "")


def test_P13__celery_says_what_is_wrong_with_the_environment_without_a_traceback(tmp_path: Path) -> None:
    asked = shell("celery", "-A", "crmsync", "beat", cwd=tmp_path, CRMSYNC_LEASE_SECONDS="1e12")

    assert asked.returncode != 0
    assert "CRMSYNC_LEASE_SECONDS: expected a number from 1 to 3600" in asked.stderr
    assert "Traceback" not in asked.stderr


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["worker"], "celery -A crmsync worker"),
        (["start"], "crmsync up"),
        (["status"], "crmsync doctor"),
        (["deadletters"], "crmsync dead-letters"),
        (["dead_letters"], "crmsync dead-letters"),
        (["replay", "3"], "crmsync dead-letters replay"),
        (["version"], "crmsync --version"),
        (["inventry"], "inventory"),
        (["runs", "lst"], "runs list"),
    ],
)
def test_P13__what_a_person_would_type_is_answered_with_what_there_is(words: list[str], meant: str) -> None:
    result = CliRunner().invoke(cli, words)

    assert result.exit_code == 2
    assert meant in result.stderr


# -- P13: commands with everything at its default


@pytest.mark.parametrize(
    "words",
    [
        ("runs", "list", "--limit"),
        ("inventory", "show", "--limit"),
        ("dead-letters", "show"),
        ("dead-letters", "replay"),
        ("dead-letters", "discard", "--yes"),
    ],
    ids=" ".join,
)
def test_P13__a_number_that_no_database_knows_is_refused(words: tuple[str, ...], tmp_path: Path) -> None:
    result = CliRunner(env={"CRMSYNC_HOME": str(tmp_path)}).invoke(cli, [*words, "99999999999999999999"])

    assert (result.exit_code, type(result.exception)) == (2, SystemExit)
    assert "is not in the range" in result.stderr


@pytest.mark.parametrize(
    "words",
    [("runs", "show"), ("dead-letters", "list", "--error"), ("forget", "--dry-run"), ("links", "import")],
    ids=" ".join,
)
def test_P13__an_argument_that_is_no_utf_8_is_refused(words: tuple[str, ...], tmp_path: Path) -> None:
    env = {"CRMSYNC_HOME": str(tmp_path), "DATABASE_URL": f"sqlite:///{tmp_path / 'crmsync.db'}"}
    assert CliRunner(env=env).invoke(cli, ["migrate"]).exit_code == 0

    result = CliRunner(env=env).invoke(cli, [*words, "\udcff.csv"])

    assert (result.exit_code, type(result.exception)) == (2, SystemExit)
    assert "not valid UTF-8" in result.stderr or "No such file" in result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
@pytest.mark.parametrize("words", [["config"], ["config", "--json"], ["doctor", "--security"]], ids=" ".join)
def test_P13__a_full_disk_behind_the_output_is_one_sentence(words: list[str], tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [BIN / "crmsync", *words], env={"HOME": str(tmp_path)}, stdout=full, stderr=subprocess.PIPE, text=True
        )

    assert (ended.returncode, ended.stderr) == (1, "✗ It can't continue: No space left on device.\n")


def test_P13__limits_as_json_with_default_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Salesforce has no limit on calls at once by default."""
    env = {
        "SF_CLIENT_ID": "id",
        "SF_USERNAME": "crmsync@example.com",
        "SF_PRIVATE_KEY": private_pem(),
        "CRMSYNC_HOME": str(tmp_path),
    }
    with TemporaryDirectory() as home:
        ensure_running(Path(home))
        for options in (["--json"], []):
            result = CliRunner(env={**env, "CRMSYNC_HOME": home}).invoke(cli, ["limits", *options])
            assert result.exit_code == 0, result.output
            if options:
                assert json.loads(result.output)[0]["calls_under_way"] is None


@pytest.mark.parametrize("words", [["dead-letters"], ["dead-letters", "list"], ["dead-letters", "--json"]])
def test_P13__crmsync_dead_letters_works(words: list[str], store_of_shell: Store) -> None:
    result = CliRunner().invoke(cli, words)

    assert result.exit_code == 0
    assert result.output in ("No dead letter waits.\n", "[]\n")


@pytest.mark.parametrize("name", ["runs", "links", "accounts", "dead-letters"])
def test_P13__a_group_alone_lists(name: str, store_of_shell: Store) -> None:
    assert CliRunner().invoke(cli, [name]).exit_code == 0
    assert json.loads(CliRunner().invoke(cli, [name, "--json"]).output) == []


def test_P13__a_number_after_a_group_is_shown(store_of_shell: Store) -> None:
    assert "There is no run 006xx0000012abcAAA" in CliRunner().invoke(cli, ["runs", "006xx0000012abcAAA"]).stderr
    assert "There is no dead letter 7" in CliRunner().invoke(cli, ["dead-letters", "7"]).stderr


# -- P13: a CSV file as spreadsheets of many countries write it


ROWS = [("crm_id", "erp_customer", "books_customer"), ("001xx000003dgb2AAA", "1000123", "460000000026049")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_P13__a_csv_file_of_any_spreadsheet_is_read(delimiter: str, encoding: str, end: str) -> None:
    text = end.join(delimiter.join(row) for row in ROWS) + end

    pairs, problems = link_file.read(text.encode(encoding), DEFAULT)

    assert problems == []
    assert [(pair.crm_key, pair.key) for pair in pairs] == [(ROWS[1][0], "1000123"), (ROWS[1][0], "460000000026049")]


def test_P13__blanks_around_the_names_of_columns_do_not_count() -> None:
    pairs, problems = link_file.read(b"crm_id, erp_customer , books_customer\n001xx000003dgb2AAA, 1000123 ,\n", DEFAULT)

    assert problems == []
    assert [pair.key for pair in pairs] == ["1000123"]


def test_P13__two_columns_of_one_name_are_refused() -> None:
    """The last would count, and link another customer than the first."""
    pairs, problems = link_file.read(
        b"crm_id,erp_customer,erp_customer,books_customer\n001xx000003dgb2AAA,1,2,3\n", DEFAULT
    )

    assert pairs == []
    assert [(each.line, each.field) for each in problems] == [(1, "erp_customer")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("crm_id,erp_customer,books_customer\n".encode("utf-16-le"), "UTF-8"),
        (b"crm_id,erp_customer,books_customer\n\xff\xe4", "UTF-8"),
        (b"PK\x03\x04\x14\x00\x06\x00", "UTF-8"),
        (b"", "is not a column of the file"),
        (b"\xff\xfe\x00", "UTF-8"),
    ],
    ids=["UTF-16 without a mark", "Latin 1", "a workbook", "empty", "half of UTF-16"],
)
def test_P13__a_file_that_is_no_csv_is_a_sentence(content: bytes, words: str) -> None:
    pairs, problems = link_file.read(content, DEFAULT)

    assert pairs == []
    assert all(words in problem.text for problem in problems)
    assert problems


# -- P13: passwords of any kind in docker-compose.yml


def test_P13__a_password_of_the_database_may_hold_any_character() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name in ("release", "web", "worker", "beat"):
        environment = services[name]["environment"]
        assert "PASSWORD" not in environment["DATABASE_URL"]
        assert environment["PGPASSWORD"].startswith("${POSTGRES_PASSWORD")


def test_P13__the_password_beside_the_address_is_the_one_that_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "p@ss/w#rd:%41")
    settings = Settings.from_env({"DATABASE_URL": "postgresql+psycopg://crmsync@127.0.0.1:1/crmsync"})
    url = make_url(settings.database_url)
    arguments = url.get_dialect()().create_connect_args(url)[1]

    assert "password" not in arguments
    assert "password" not in conninfo.make_conninfo(**arguments)


# -- P9: commands of an alert in another shell


@pytest.fixture
def store_of_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The store that a command without further variables asks."""
    monkeypatch.setenv("CRMSYNC_HOME", str(tmp_path / "home"))
    store = Store(Settings.from_env().database_url)
    schema.migrate(store)
    yield store
    store.close()


READS = [
    ["runs", "list"],
    ["runs"],
    ["runs", "show", "006xx0000012abcAAA"],
    ["links", "list"],
    ["accounts", "list"],
    ["dead-letters", "list"],
    ["dead-letters", "show", "1"],
    ["dead-letters", "replay", "1", "--yes"],
    ["inventory", "show"],
]


@pytest.mark.parametrize("words", READS, ids=" ".join)
def test_P9__a_read_makes_no_store_and_says_that_there_is_none(words: list[str], tmp_path: Path) -> None:
    home = tmp_path / "home"

    result = CliRunner(env={"CRMSYNC_HOME": str(home)}).invoke(cli, words)

    assert result.exit_code == 2
    assert "There is no store yet" in result.stderr
    assert str(home) in result.stderr.replace("\n", "")
    assert not home.exists()


def test_P9__an_empty_database_of_others_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    file.touch()

    result = CliRunner(env={"DATABASE_URL": f"sqlite:///{file}"}).invoke(cli, ["runs"])

    assert result.exit_code == 2
    assert file.stat().st_size == 0


def processes_ran(home: Path, url: str) -> None:
    """What the processes of an installation leave behind."""
    result = CliRunner(env={"CRMSYNC_HOME": str(home), "DATABASE_URL": url}).invoke(cli, ["migrate"])
    assert result.exit_code == 0, result.output


def test_P9__a_shell_without_database_url_asks_the_database_of_the_processes(tmp_path: Path) -> None:
    home, url = tmp_path / "home", f"sqlite:///{tmp_path / 'elsewhere.db'}"
    processes_ran(home, url)

    result = CliRunner(env={"CRMSYNC_HOME": str(home)}).invoke(cli, ["runs"])

    assert (result.exit_code, result.output) == (0, "There are no runs yet.\n")
    assert not (home / "crmsync.db").exists()


def test_P9__where_that_needs_a_password_it_is_named(tmp_path: Path) -> None:
    whereabouts.remember(tmp_path, "postgresql+psycopg://crm:geheim@db.example/crmsync")

    result = CliRunner(env={"CRMSYNC_HOME": str(tmp_path)}).invoke(cli, ["dead-letters", "show", "1"])

    assert result.exit_code == 2
    assert "postgresql+psycopg://crm@db.example/crmsync" in result.stderr.replace("\n", "")
    assert "geheim" not in result.stderr
    assert "geheim" not in (tmp_path / whereabouts.NAME).read_text()


def test_P9__another_database_than_that_of_the_processes_is_said(tmp_path: Path) -> None:
    home, other = tmp_path / "home", f"sqlite:///{tmp_path / 'other.db'}"
    processes_ran(tmp_path / "another home", other)
    processes_ran(home, f"sqlite:///{tmp_path / 'elsewhere.db'}")

    result = CliRunner(env={"CRMSYNC_HOME": str(home), "DATABASE_URL": other}).invoke(cli, ["runs", "--json"])

    assert (result.exit_code, result.stdout) == (0, "[]\n")
    assert "elsewhere.db" in result.stderr


def test_P9__a_state_directory_that_can_not_be_written_forgets_and_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    whereabouts.remember(tmp_path / "file" / "home", "sqlite:///x.db")

    assert whereabouts.remembered(tmp_path / "file" / "home") == ""


def test_P9__never_existed_and_is_settled_are_two_sentences(store_of_shell: Store) -> None:
    with store_of_shell.begin() as uow:
        run_id, _ = start_run(uow, "order_to_invoice", DEAL_KEY, step="x", correlation_id="c", queued_until=uow.now)
        run = uow.runs.claim(run_id, "x", lease_seconds=60)
        assert run is not None
        letter, _ = uow.dead_letters.add(run, RejectedError("No."))
        uow.dead_letters.move(letter, to=LetterStatus.DISCARDED)

    settled = CliRunner().invoke(cli, ["dead-letters", "replay", str(letter.id), "--yes"])
    unknown = CliRunner().invoke(cli, ["dead-letters", "replay", "4711", "--yes"])

    assert settled.exit_code == unknown.exit_code == 1
    assert "settled, because it was given up" in settled.output.replace("\n", " ")
    assert "There is no dead letter 4711: this database has never had one" in unknown.output.replace("\n", " ")


def test_P9__a_shell_without_the_address_of_the_broker_is_told(tmp_path: Path) -> None:
    home = {"CRMSYNC_HOME": str(tmp_path), "COLUMNS": "400"}
    assert CliRunner(env=home).invoke(cli, ["migrate"]).exit_code == 0
    remember_addresses(Settings.from_env({**home, "REDIS_URL": "redis://:geheim@cache:6379/2"}))

    def told(**env: str) -> str:
        result = CliRunner(env={**home, "REDIS_URL": "", "CELERY_BROKER_URL": "", **env}).invoke(cli, ["runs"])
        assert result.exit_code == 0
        return result.stderr

    assert "use redis://:***@cache:6379/2" in told()
    assert told(REDIS_URL="redis://cache/2") == ""
    remember_addresses(Settings.from_env(home))
    assert told() == ""


def test_P9__doctor_says_that_it_made_a_store_where_there_was_none(tmp_path: Path) -> None:
    env = {"CRMSYNC_HOME": str(tmp_path), "DATABASE_URL": f"sqlite:///{tmp_path / 'elsewhere.db'}", "COLUMNS": "400"}

    first, second = (CliRunner(env={**env, "REDIS_URL": "redis://127.0.0.1:1/0"}).invoke(cli, ["doctor"]) for _ in "12")

    assert "there was none at sqlite:" in first.output
    assert "there was none" not in second.output
