"""What the project ships: the Procfile, the compose file, the image, the entry points."""

from __future__ import annotations

import ast
import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points, packages_distributions, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from crmsync.supervisor import parse_procfile

ROOT = Path(__file__).resolve().parent.parent
PROCFILE = parse_procfile((ROOT / "Procfile").read_text())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def shell_command(command: list[str]) -> str:
    """What a container's shell gets to see: compose halves the dollars."""
    assert command[:2] == ["sh", "-c"]
    return command[2].replace("$$", "$").removeprefix("exec ")


def locked(name: str) -> dict[str, str]:
    """What a lock file holds: each package, and what stands behind its name."""
    entries = re.split(r"\n(?=\S)", (ROOT / name).read_text().strip())
    return {canonical(entry.partition("==")[0]): entry for entry in entries}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_procfile_has_every_process_in_its_order():
    assert list(PROCFILE) == ["release", "web", "worker", "beat", "flower"]


@pytest.mark.parametrize("name", PROCFILE)
def test_a_container_runs_the_command_of_the_procfile(name):
    assert shell_command(COMPOSE["services"][name]["command"]) == PROCFILE[name]


def test_the_image_runs_the_receiver_by_itself():
    line = next(line for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("CMD "))

    assert shell_command(json.loads(line.removeprefix("CMD "))) == PROCFILE["web"]


def test_the_image_is_built_of_what_is_sent_to_the_builder():
    copied = re.findall(r"^COPY (?!--)(.*) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    sent = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))

    assert {word for line in copied for word in line.split()} == sent


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as the builder gets it: without what .dockerignore names after all."""
    folder = tmp_path_factory.mktemp("image")
    left_out = re.findall(r"^(crmsync/\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    kept = shutil.ignore_patterns("__pycache__", *[Path(name).name for name in left_out])
    shutil.copytree(ROOT / "crmsync", folder / "crmsync", ignore=kept)
    assert not any((folder / name).exists() for name in left_out)
    return folder


def crmsync_in(image: Path, *words: str) -> subprocess.CompletedProcess[str]:
    program = (  # without the finder of the editable installation, which knows the whole package
        "import sys; sys.meta_path = [each for each in sys.meta_path if 'Editable' not in repr(each)]\n"
        "from crmsync.cli.main import cli; cli(prog_name='crmsync')"
    )
    environment = {"PYTHONPATH": str(image), "HOME": str(image), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-c", program, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=image, env=environment)


@pytest.mark.parametrize("words", [["demo", "--once"], ["prove", "--help"], ["sandbox"]], ids=" ".join)
def test_the_image_has_no_lab_and_says_so(image, words):
    done = crmsync_in(image, *words)

    assert done.returncode == 1
    assert f"`crmsync {words[0]}` belongs to the lab, which is not installed here" in done.stderr


def test_the_image_offers_every_other_command(image):
    here, there = (set(re.findall(r"^  ([a-z-]+) ", crmsync_in(each, "--help").stdout, re.M)) for each in (ROOT, image))

    assert here - there == {"demo", "prove", "sandbox"}


def test_the_lab_needs_nothing_that_the_product_does_not_install():
    """So it needs no extra of its own: whoever has its folder can start it."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / "crmsync" / "lab").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    others = {name.partition(".")[0] for name in named} - set(sys.stdlib_module_names) - {"crmsync"}
    providers = packages_distributions()

    assert {canonical(provider) for name in others for provider in providers[name]} <= set(locked("requirements.lock"))


def test_compose_file_is_valid_against_the_compose_schema():
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run([*words, ROOT / "docker-compose.yml"], capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_long_running_container_restarts_and_is_watched():
    services = {name: service for name, service in COMPOSE["services"].items() if name != "release"}

    assert {service["restart"] for service in services.values()} == {"unless-stopped"}
    assert all("healthcheck" in service for service in services.values())


def test_nothing_starts_before_the_release():
    release = {"release": {"condition": "service_completed_successfully"}}

    for name in ("web", "worker", "beat", "flower"):
        assert release.items() <= COMPOSE["services"][name]["depends_on"].items()


def test_no_password_stands_in_the_compose_file():
    environments = [service.get("environment", {}) for service in COMPOSE["services"].values()]
    secrets = [value for env in environments for name, value in env.items() if re.search("PASSWORD|AUTH", name)]

    assert secrets
    assert all(value.startswith("${") for value in secrets if value)


@pytest.mark.parametrize(
    ("group", "name"), [("console_scripts", "crmsync"), ("celery.commands", "dead-letters")], ids=["crmsync", "celery"]
)
def test_an_entry_point_loads_a_command(group, name):
    (found,) = entry_points(group=group, name=name)

    assert found.load().name is not None


def test_the_celery_configuration_is_part_of_the_package():
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg")

    assert config["options"]["py_modules"].split() == ["celeryconfig"]
    assert (ROOT / "celeryconfig.py").exists()


def test_every_dependency_is_pinned_for_the_image_and_for_ci():
    wanted = [Requirement(text) for text in requires("crmsync") or []]
    for_image = {canonical(each.name) for each in wanted if "extra" not in str(each.marker)}

    assert for_image <= set(locked("requirements.lock"))
    assert {canonical(each.name) for each in wanted} <= set(locked("requirements-test.lock"))


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-test.lock"])
def test_every_pinned_package_has_a_hash(name):
    """So that no file of another's making is installed, whatever an index says."""
    assert [package for package, entry in locked(name).items() if "--hash=sha256:" not in entry] == []


def test_the_image_holds_versions_that_were_tested():
    tested = {package: entry.split()[0] for package, entry in locked("requirements-test.lock").items()}

    assert {
        package: entry.split()[0] for package, entry in locked("requirements.lock").items()
    }.items() <= tested.items()


def test_the_image_installs_what_is_locked_and_nothing_else():
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if "pip install" in line]

    assert all(
        "--require-hashes" in line or {"--no-deps", "--no-build-isolation"} <= set(line.split()) for line in lines
    )


@pytest.mark.parametrize("name", [*PROCFILE])
def test_a_container_can_write_its_state_only_and_has_no_privileges(name):
    service = COMPOSE["services"][name]

    assert (service["read_only"], service["tmpfs"], service["cap_drop"]) == (True, ["/tmp"], ["ALL"])
    assert (service.get("cap_add"), service["security_opt"]) == (None, ["no-new-privileges:true"])
    assert re.search(r"^USER [1-9]\d*$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


def test_no_container_has_more_privileges_than_it_starts_with():
    for service in COMPOSE["services"].values():
        assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"])


def test_every_dependency_has_its_line_in_the_decisions():
    decision = (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text().lower()
    wanted = {Requirement(text).name.lower() for text in requires("crmsync") or []}

    assert {name for name in wanted if f"`{name}" not in decision} == set()


def test_pyproject_holds_only_what_setup_cfg_cannot():
    assert set(tomllib.loads((ROOT / "pyproject.toml").read_text())) == {"build-system", "tool"}
