"""The documentation names only what exists, and leaves nothing out that an operator needs."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import click
import pytest

from crmsync import errors
from crmsync.connectors import registry
from crmsync.settings import Reader, _read
from crmsync.systems import installed

ROOT = Path(__file__).parent.parent
DOCS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()

# Read by the Procfile's shell, not by crmsync's settings.
OF_OTHERS = {
    "CRMSYNC_WORKER_NAME",
}

# They look like variables and are none: SAP's scenarios.
NO_VARIABLES = {"SAP_COM"}


def settings_variables() -> set[str]:
    """Every variable that the settings read, whichever vendors are configured."""
    reader = Reader(
        {"SF_CLIENT_ID": "x", "SAP_BASE_URL": "http://other.example", "ZOHO_CLIENT_ID": "x", "SF_PRIVATE_KEY": "x"}
    )
    _read(reader)
    return set(reader.names)


def documented_variables() -> set[str]:
    return set(re.findall(r"^\| `([A-Z_]+)` \|", CONFIGURATION, re.MULTILINE))


def test_every_variable_is_documented_and_exists() -> None:
    assert documented_variables() - OF_OTHERS == settings_variables()


@pytest.mark.parametrize("name", installed())
def test_the_table_of_a_system_says_what_its_declarations_say(name: str) -> None:
    """Meaning and default stand once, beside the connector: correct them there, and copy the row."""
    rows = {each.row for each in registry.system(name).declared}

    assert rows - set(CONFIGURATION.splitlines()) == set()


GUIDES = [*sorted((ROOT / "docs" / "setup").glob("*.md")), *sorted((ROOT / "docs").glob("deploy.md"))]


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_a_guide_names_only_variables_that_exist(page: Path) -> None:
    """In its prose as in what its reader pastes; a secret may be in a file."""
    named = set(re.findall(r"\b((?:CRMSYNC|SF|SAP|ZOHO|SLACK|FLOWER)_[A-Z][A-Z_]+)\b", page.read_text()))
    variables = {name.removesuffix("_FILE") if name not in documented_variables() else name for name in named}

    assert variables - documented_variables() - NO_VARIABLES == set()


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_a_guide_names_only_commands_that_exist(page: Path) -> None:
    """In its prose, and in the blocks that its reader pastes."""
    text = page.read_text()
    pasted = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    for command in [
        *re.findall(r"`(crmsync [^`]+)`", text),
        *re.findall(r"^ *(crmsync [^#\n]+)", pasted, re.MULTILINE),
    ]:
        assert _help_of(command.split()[1:]) == 0, command


def test_the_need_for_connections_is_the_one_that_the_doctor_computes() -> None:
    from crmsync.settings import Settings
    from crmsync.store import room

    each = Settings.from_env({"HOME": "/nowhere"}).behaviour.database_connections
    page = (ROOT / "docs" / "deploy.md").read_text()

    need = f"{each * room.RECEIVERS} for each receiver, {each} for each worker, and {room.COMMANDS} more"
    assert f"PostgreSQL must allow {need}" in page
    assert f"{2 * each * room.RECEIVERS + 2 * each + room.COMMANDS} for two of each" in page


def test_the_guide_of_sap_asks_for_the_scenarios_that_the_connector_uses() -> None:
    package = ROOT / "crmsync" / "connectors" / "s4hana"
    used = {name for path in package.glob("*.py") for name in re.findall(r"SAP_COM_\d{4}", path.read_text())}

    guide = (ROOT / "docs" / "setup" / "s4hana.md").read_text()
    asked = set(re.findall(r"^\|.*`(SAP_COM_\d{4})` \|$", guide, re.MULTILINE))
    assert asked == used
    assert asked == set(re.findall(r"SAP_COM_\d{4}", guide))


def test_what_a_guide_copies_from_the_repository_is_there() -> None:
    for page in GUIDES:
        for path in re.findall(r"(?<![\w./])deploy/[\w./*-]+", page.read_text()):
            assert list(ROOT.glob(path.rstrip("./"))), f"{page.name}: {path}"


def _help_of(words: list[str]) -> int:
    """The status of `crmsync …  --help` for the words that are no options or arguments."""
    from click.testing import CliRunner

    from crmsync.cli.main import cli

    names = [word for word in words if re.fullmatch("[a-z-]+", word) and not word.startswith("-")]
    return CliRunner().invoke(cli, [*names, "--help"]).exit_code


def test_every_error_that_can_bury_a_run_is_in_the_runbook() -> None:
    in_runbook = set(re.findall(r"^\| `(\w+Error)` \|", RUNBOOK, re.MULTILINE))
    leaves = {
        name
        for name, found in vars(errors).items()
        if isinstance(found, type)
        and issubclass(found, errors.PermanentError | errors.ReviewNeededError | errors.RetryableError)
        and not [child for child in found.__subclasses__() if child.__module__ == errors.__name__]
    }

    assert leaves | {"ConfigurationError"} == in_runbook


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    local = [target for target in targets if "://" not in target]

    missing = [target for target in local if not (page.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_dotted_names_exist(page: Path) -> None:
    for name in re.findall(r"`(crmsync(?:\.\w+)+)(?::\w+)?`", page.read_text()):
        module, _, attribute = name.rpartition(".")
        assert _imports(name) or hasattr(import_module(module), attribute), name


def _imports(name: str) -> bool:
    try:
        import_module(name)
    except ModuleNotFoundError:
        return False
    return True


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page: Path) -> None:
    from crmsync.cli.dead_letters import dead_letters
    from crmsync.cli.main import cli

    text = page.read_text()
    for command in re.findall(r"`crmsync ([a-z-]+)", text):
        assert command in cli.list_commands(click.Context(cli)), command
    for command in re.findall(r"dead-letters ([a-z]+)", text):
        assert command in dead_letters.commands, command


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_of_the_tree_exist(page: Path) -> None:
    for path in re.findall(r"`((?:crmsync|tests|docs|benchmarks|deploy)/[\w./-]+)`", page.read_text()):
        assert (ROOT / path).exists(), path
