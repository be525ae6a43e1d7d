"""Rules that keep the architecture what docs/architecture.md says; the layers themselves are import-linter's."""

from __future__ import annotations

import ast
import inspect
import re
from configparser import ConfigParser
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table

from crmsync.store.rows import Rows
from crmsync.store.tables import metadata
from crmsync.systems import installed

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "crmsync"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_says_in_one_sentence_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text())
    docstring = ast.get_docstring(tree)

    assert docstring or not tree.body, "the module has no docstring"


def test_only_the_settings_read_the_environment() -> None:
    """The command line and the embedded server hand it on to processes; oauthlib and Flower know only a variable."""
    may = {"crmsync/settings.py", "crmsync/connectors/signing_in/auth.py", "crmsync/celery.py"}
    handing_on = {name_of(path) for room in ("cli", "lab") for path in (PACKAGE / room).rglob("*.py")}
    handing_on |= {"crmsync/embedded.py"}
    readers = {name_of(path) for path in MODULES if re.search(r"os\.(environ|getenv)", path.read_text())}

    assert readers - may - handing_on == set()


# How each vendor and its people call things; what crmsync writes under its own names is none of that.
WORDS = {
    "salesforce": r"(?i:salesforce|opportunit|\bsoql\b|\bsobject|pricebook)|\bSF_\w|StageName|AccountId|CurrencyIsoCode"
    r"|\bBilling[A-Z]\w+|\b\w+__c\b|ContactRole",
    "s4hana": r"(?i:s4hana|s/4hana|\bodata\b|\babap\b|business partner|sold-?to)|\bSAP\b|\bSAP_\w|\bA_[A-Z]\w+",
    "zoho_books": r"Zoho|zoho_|ZOHO|customerpayments|contact_persons",
}
COMPANY_FIELDS = r"\w+__c\b"  # a company calls the fields that it makes as it likes: also after another vendor
OWN_WORDS = ("domain", "worker", "store", "flows", "alerts", "reading", "web", "cli")


@pytest.mark.parametrize("vendor", WORDS)
@pytest.mark.parametrize("folder", [*OWN_WORDS, *(f"connectors/{vendor}" for vendor in WORDS)])
def test_nobody_speaks_the_words_of_another_vendor(folder: str, vendor: str) -> None:
    """Neither in names nor in what people read: a company that has another CRM would not know what is meant."""
    if folder == f"connectors/{vendor}":
        return
    words = re.compile(WORDS[vendor])
    modules = [path for path in (PACKAGE / folder).rglob("*.py") if "migrations" not in path.parts]
    own = re.compile(COMPANY_FIELDS if folder == "connectors/salesforce" else "(?!)")
    spoken = {name_of(path): found[0] for path in modules if (found := words.search(own.sub("", path.read_text())))}

    assert modules
    assert spoken == {}


def test_each_vendor_has_its_words() -> None:
    assert {path.parent.name for path in (PACKAGE / "connectors").glob("*/webhooks.py")} <= set(WORDS)
    for vendor, words in WORDS.items():
        assert re.search(words, (PACKAGE / "connectors" / vendor / "__init__.py").read_text()), vendor


# Where the engine may say one vendor's name, and why.
NAMES_A_VENDOR = {
    "crmsync/company.py": "which connection of the environment fills which role",
    "crmsync/spelling.py": "variables of Salesforce's own command line",
    "crmsync/log.py": "a word before tokens, which are hidden",
    "crmsync/private_key.py": "the variable in which a path would stand",
    "crmsync/cli/link_file.py": "the form of an account's id",
    "crmsync/domain/mail_domains.py": "a provider of mail",
}


def _is_of_a_vendor(path: Path) -> bool:
    return {"lab", "migrations", *installed()} & set(path.parts) != set()


@pytest.mark.parametrize("path", [path for path in MODULES if not _is_of_a_vendor(path)], ids=name_of)
def test_the_engine_names_no_vendor(path: Path) -> None:
    """Then another system touches its own folders, and nothing else. Comments and docstrings may give examples."""
    if name_of(path) in NAMES_A_VENDOR:
        return
    vendors = re.compile(r"salesforce|zoho|s4hana|\bsap\b|\b(SF|SAP|ZOHO)_", re.IGNORECASE)

    assert [text for text in _code_of(path) if vendors.search(text)] == []


def _code_of(path: Path) -> list[str]:
    """The names and the texts of a module, without its docstrings."""
    tree = ast.parse(path.read_text())
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone
    ]
    return [*texts, *(name for node in ast.walk(tree) for name in _names_of(node))]


def _names_of(node: ast.AST) -> list[str]:
    """The names that stand in *node* itself: of variables, attributes, arguments, functions, classes and modules."""
    named = [getattr(node, word, None) for word in ("id", "attr", "arg", "name", "asname", "module")]
    return [name for name in named if isinstance(name, str)]


@pytest.mark.parametrize("path", [path for path in MODULES if "sandbox" not in path.parts], ids=name_of)
def test_functions_are_short(path: Path) -> None:
    long = [
        f"{node.name}: {length}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and (length := _body_lines(node)) > 40
    ]

    assert long == []


def _body_lines(function: ast.FunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_the_contract_of_the_vendors_looks_at_each_that_is_registered() -> None:
    """import-linter reads names, and would not look at a package that nobody has named."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    named = setup["importlinter:contract:vendors"]["modules"].split()
    registered = setup["options.entry_points"]["crmsync.systems"].strip().splitlines()

    assert [line.partition(" = ")[2] for line in registered] == [f"{name}:SYSTEM" for name in named]
    assert {name.rpartition(".")[2] for name in named} == set(installed())


VENDORS = [PACKAGE / "connectors" / name for name in installed()]


def test_what_connectors_share_knows_no_vendor() -> None:
    shared = [path for path in MODULES if PACKAGE / "connectors" in path.parents and not set(VENDORS) & {*path.parents}]
    importing = [
        name_of(path)
        for path in shared
        if any(vendor in other.parents for other in imports_of(path) for vendor in VENDORS)
    ]

    assert len(shared) > 20
    assert importing == []


# What each file of a vendor is for, by a name that it must have.
SAME_FILES = {
    "__init__": "SYSTEM",  # what crmsync knows of it, below the facts
    "settings": "",
    "account": "claim",  # whose account a connection is
    "quota": "quota",  # what it allows
    "client": "connect",  # fills the roles
    "api": "Api",  # the protocol: calls, pages
    "schemas": "load",  # its JSON
    "errors": "SYSTEM",  # what its answers mean
    "doctor": "examine",  # what `crmsync doctor` asks of it
}


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_each_vendor_has_the_same_files(vendor: Path) -> None:
    has_doors = bool(installed()[vendor.name].doors)
    wanted = SAME_FILES | ({"doors": "read", "webhooks": ""} if has_doors else {})
    lacking = [f"{name}: {what}" for name, what in wanted.items() if not _defines(vendor / f"{name}.py", what)]

    assert lacking == []
    assert has_doors or not (vendor / "webhooks.py").exists()
    assert "Vendor facts" in (vendor / "__init__.py").read_text()


def _defines(path: Path, what: str) -> bool:
    """Whether there is something of this name, or a class whose name ends so."""
    if not path.exists():
        return False
    names = {
        name
        for node in ast.parse(path.read_text()).body
        for name in [
            *(target.id for target in getattr(node, "targets", ()) if isinstance(target, ast.Name)),
            getattr(node, "name", ""),
        ]
    }
    return not what or any(name.endswith(what) for name in names)


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_a_vendor_is_called_the_same_in_its_errors_and_on_screens(vendor: Path) -> None:
    errors = import_module(f"crmsync.connectors.{vendor.name}.errors")

    assert installed()[vendor.name].title == errors.SYSTEM


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Also those that are hidden in a function or asked for by the type checker only."""
    assert circles({path: imports_of(path) for path in MODULES}) == []


def imports_of(path: Path) -> set[Path]:
    """The modules of ours that a module imports, wherever it does."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {file for alias in node.names if (file := file_of(alias.name))}
        elif isinstance(node, ast.ImportFrom):
            named = [file_of(f"{node.module}.{alias.name}") or file_of(f"{node.module}") for alias in node.names]
            found |= {file for file in named if file}
    return found - {path}


def file_of(module: str) -> Path | None:
    """Where a module of ours is; None for those of others, and for what is no module."""
    if module.partition(".")[0] != PACKAGE.name:
        return None
    folder = ROOT.joinpath(*module.split("."))
    return next((path for path in (folder.with_suffix(".py"), folder / "__init__.py") if path.exists()), None)


def circles(imports: dict[Path, set[Path]]) -> list[list[str]]:
    """The groups in which each module leads to every other, by Tarjan's algorithm."""
    order, low, stack, groups = dict[Path, int](), dict[Path, int](), list[Path](), list[list[str]]()

    def visit(module: Path) -> None:
        order[module] = low[module] = len(order)
        stack.append(module)
        for other in sorted(imports.get(module, ())):
            if other not in order:
                visit(other)
            if other in stack:
                low[module] = min(low[module], low[other])
        if low[module] == order[module]:
            at = stack.index(module)
            groups.append(sorted(name_of(each) for each in stack[at:]))
            del stack[at:]

    for module in sorted(imports):
        if module not in order:
            visit(module)
    return [group for group in groups if len(group) > 1]


# -- whose rows a query reads

# By one of these a row says whose it is: by its tenant, its connection's, or its run's.
OWNED = {
    table.name for table in metadata.sorted_tables if {"tenant", "connection", "source", "run_id"} & {*table.c.keys()}
}
# A parameter that names one connection, run, letter, alert, token or person: who has it, has it from what is their own.
KEYS = {"connection", "connection_id", "source", "origin", "run", "run_id", "run_ids", "letter_id", "entry", "key"}
KEYS |= {
    "link",
    "cause",
    "token_id",
    "webhook_id",
    "consent_id",
    "state_hash",
    "name",
    "person",
    "approval_id",
    "letter",
    "letter_ids",
}
# Queries that ask for no tenant, and why.
OF_ALL_TENANTS = {
    "Audit.in_order": "the chain of hashes goes through all of it",
    "Breakers.open_for": "is asked for the environment's connections only",
    "Breakers.release_waiting": "lets runs come back; each then asks its own connection",
    "Connections.all_kept": "secrets are sealed anew for the whole installation",
    "Alerts.claim_due": "one sender delivers the alerts of all",
    "Due.claim": "the sweeper brings back everybody's runs",
    "Due.sent": "the sweeper compares it with queues, which everybody shares",
    "Due.set_right": "the sweeper corrects everybody's runs",
    "Due.taken_at": "whether any worker works concerns the installation",
    "Owners.tenants": "which tenants there are",
    "Retention.drop_alerts": "housekeeping",
    "Retention.drop_deliveries": "housekeeping",
    "Retention.drop_locks": "housekeeping",
    "Retention.drop_products": "housekeeping",
    "Retention.drop_runs": "housekeeping",
    "Retention.drop_tellings": "housekeeping",
    "Retention.full_key": "completes an account's id for the command line",
    "Retention.reduce_runs": "housekeeping",
    "Tallies.kept": "counts by tenant or connection: who reads them chooses",
    "Tallies.newer": "counts by tenant or connection: who reads them chooses",
    "Tallies.read": "counts by tenant or connection: who reads them chooses",
    "Users.of_identity": "signs somebody in: whose they are is read from the user",
}


def queries() -> dict[str, inspect.Signature]:
    """The public methods of the store that answer with more than yes or no, in modules that know a table of tenants."""
    found = {}
    for path in sorted((PACKAGE / "store").glob("*.py")):
        module = import_module(f"crmsync.store.{path.stem}")
        known = {name for name, value in vars(module).items() if isinstance(value, Table) and value.name in OWNED}
        groups = [each for each in vars(module).values() if isinstance(each, type) and issubclass(each, Rows)]
        for group in groups if known else ():
            if group.__module__ == module.__name__ and not group.__name__.startswith("_"):
                found |= {f"{group.__name__}.{name}": inspect.signature(each) for name, each in methods_of(group)}
    return {name: signature for name, signature in found.items() if signature.return_annotation not in ("None", "bool")}


def methods_of(group: type) -> list[tuple[str, Any]]:
    return [(name, each) for name, each in vars(group).items() if inspect.isfunction(each) and not name.startswith("_")]


def is_said_whose(signature: inspect.Signature) -> bool:
    """Whether the tenant comes first, or something that must be given says whose it is."""
    parameters = [each for each in signature.parameters.values() if each.name not in ("self", "uow")]
    if parameters and parameters[0].name == "tenant":
        return parameters[0].default is inspect.Parameter.empty
    return any(each.name in KEYS and each.default is inspect.Parameter.empty for each in parameters)


def test_every_query_is_told_whose_rows_it_reads() -> None:
    asked = queries()
    silent = {name for name, signature in asked.items() if not is_said_whose(signature)}

    assert len(asked) > 60
    assert {"runs", "deliveries", "dead_letters", "ledger", "links", "alerts", "products", "applications"} <= OWNED
    assert silent == set(OF_ALL_TENANTS)


def test_every_reading_is_told_whose_rows_it_shows() -> None:
    """`figures` are those of the metrics, which are the installation's."""
    silent = set()
    for path in sorted((PACKAGE / "reading").glob("*.py")):
        for name, each in vars(import_module(f"crmsync.reading.{path.stem}")).items():
            if inspect.isfunction(each) and not name.startswith("_") and each.__module__.endswith(f".{path.stem}"):
                signature = inspect.signature(each)
                if "uow" in signature.parameters and not is_said_whose(signature):
                    silent.add(name)

    assert silent == {"figures", "run_rows"}
