"""Somebody follows the set-up guides to the letter, with the stand-ins for the vendors."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from crmsync.lab.sandbox import Sandbox
from crmsync.lab.sandbox.kernel.http import Request
from crmsync.lab.sandbox.zoho import app as zoho
from crmsync.settings import Settings
from tests import guides
from tests.system import System, big_sandbox, running, until

pytestmark = pytest.mark.acceptance

VENDORS = ("SF_", "SAP_", "ZOHO_")
NEEDED = ("CRMSYNC_DEFAULT_CURRENCY",)  # by Salesforce's guide, not by the rest of the environment


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the reader keeps keys and secrets, made by the guides' own commands."""
    made = tmp_path / "keys"
    made.mkdir(mode=0o700)
    guides.run("salesforce", "secrets", made)
    guides.run("zoho-books", "secrets", made)
    return made


@pytest.fixture
def followed(tmp_path: Path, folder: Path) -> Iterator[System]:
    """A system with the variables of the three guides, and no other of the vendors."""
    scopes = tuple(guides.block("zoho-books", "scopes").strip().split(","))
    with running(tmp_path / "home", sandbox=big_sandbox(zoho_scopes=scopes)) as system:
        told = system.sandbox.environment()
        kept = {name: value for name, value in system.environment.items() if not name.startswith((*VENDORS, *NEEDED))}
        system.environment = {
            **kept,
            **{name: value for page in guides.GUIDES for name, value in guides.set_up(page, told, folder).items()},
        }
        system.sandbox.profile.salesforce.webhook_secret = (folder / "sf-webhook-secret").read_text().strip()
        system.sandbox.profile.zoho.webhook_secret = (folder / "zoho-webhook-secret").read_text().strip()
        yield system


def statuses(lines: list[str]) -> list[str]:
    """Of the answers that curl printed, each with its status below it: the status, and the reason in the answer."""
    found = re.findall(r"^(.*)\n(\d{3})$", "\n".join(lines), re.MULTILINE)
    reasons = [re.search(r'"reason": ?"(\w+)"', answer) for answer, _ in found]
    return [
        f"{status} {reason[1] if reason else ''}".strip() for (_, status), reason in zip(found, reasons, strict=True)
    ]


def promised(page: str) -> list[str]:
    """What the guide's table says that the calls of its block `door` are answered, in their order."""
    rows = re.findall(r"^\| `(200|400|401)`(?:, reason `(\w+)`)?", guides.GUIDES[page].read_text(), re.MULTILINE)
    return [f"{status} {reason}".strip() for status, reason in rows]


# -- the key


def test_the_key_that_the_guide_makes_is_taken_and_fits_its_certificate(tmp_path: Path) -> None:
    guides.run("salesforce", "key", tmp_path)
    key, certificate = tmp_path / "salesforce.key", tmp_path / "salesforce.crt"

    env = {"HOME": str(tmp_path), "SF_CLIENT_ID": "x", "SF_USERNAME": "x@example.com", "SF_PRIVATE_KEY_FILE": str(key)}
    assert Settings.from_env(env).systems.get("salesforce") is not None
    of_key = subprocess.check_output(["openssl", "pkey", "-in", key, "-pubout"])
    assert of_key == subprocess.check_output(["openssl", "x509", "-in", certificate, "-pubkey", "-noout"])
    assert key.stat().st_mode & 0o077 == 0


# -- the doctor


def test_the_doctor_says_what_the_guides_show(followed: System) -> None:
    said = followed.run("crmsync", "doctor")

    assert said.returncode == 0, said.stdout
    for page in guides.GUIDES:
        for line in guides.block(page, "doctor").splitlines():
            assert line in said.stdout
    shown = {line.partition(" – ")[0] for page in guides.GUIDES for line in guides.block(page, "doctor").splitlines()}
    assert {
        line.partition(" – ")[0] for line in said.stdout.splitlines() if line.startswith(("✓ Sales", "✓ SAP", "✓ Zoho"))
    } == shown


# -- curl at the vendors


@pytest.fixture
def vendors() -> Iterator[Sandbox]:
    with big_sandbox() as sandbox:
        yield sandbox


def test_curl_reads_one_row_of_each_service_of_sap(vendors: Sandbox, folder: Path) -> None:
    told = vendors.environment()
    oauth = guides.set_up("s4hana", told, folder)
    password = {"SAP_USER": told["SAP_CLIENT_ID"], "SAP_PASSWORD_FILE": oauth["SAP_CLIENT_SECRET_FILE"]}

    with_token = guides.run("s4hana", "sap", folder, **oauth)
    with_password = guides.run(
        "s4hana", "sap-basic", folder, **password, SAP_BASE_URL=oauth["SAP_BASE_URL"], SAP_CLIENT="100"
    )

    assert [line.split()[-1] for line in with_token] == ["200"] * 4
    assert with_password == with_token


def test_curl_signs_in_at_zoho_and_finds_the_organisation(vendors: Sandbox, folder: Path) -> None:
    zoho = guides.set_up("zoho-books", vendors.environment(), folder)

    told = json.loads("".join(guides.run("zoho-books", "organizations", folder, **zoho)))

    assert zoho["ZOHO_ORGANIZATION_ID"] in [row["organization_id"] for row in told["organizations"]]


def test_curl_turns_the_code_into_a_refresh_token_once(vendors: Sandbox, folder: Path) -> None:
    zoho = guides.set_up("zoho-books", vendors.environment(), folder)
    code = vendors.profile.zoho.grant_code

    first, second = (json.loads("".join(guides.run("zoho-books", "grant", folder, **zoho, CODE=code))) for _ in "12")

    assert first["refresh_token"] == Path(zoho["ZOHO_REFRESH_TOKEN_FILE"]).read_text()
    assert json.dumps(second, separators=(",", ":")) in guides.GUIDES["zoho-books"].read_text()


# -- the doors


def test_the_doors_answer_what_the_guides_say(followed: System, folder: Path) -> None:
    followed.start("web")
    deal = followed.sandbox.deals.create()
    url = followed.url("")

    assert statuses(guides.run("salesforce", "door", folder, URL=url, DEAL=deal.id)) == promised("salesforce")
    assert statuses(guides.run("salesforce", "token", folder, URL=url)) == ["401 mismatch", "400 malformed"]
    assert statuses(guides.run("zoho-books", "door", folder, URL=url, PAYMENT="460000000042059")) == promised(
        "zoho-books"
    )
    with followed.store.read() as uow:
        assert {run.subject_key for run in uow.runs.newest(None, limit=10)} == {"460000000042059", deal.id}


# -- the whole way, with the least rights


def test_a_deal_is_ordered_billed_and_paid_with_the_scopes_of_the_guide_and_needs_each(
    followed: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = set()

    def watched(scopes: tuple[str, ...], request: Request) -> bool:
        resource = request.path.split("/")[3]
        area = "settings" if resource in zoho.SETTINGS else resource
        needed.add(f"ZohoBooks.{area}.{zoho.VERBS[request.method]}")
        return allows(scopes, request)

    allows = zoho._allows
    monkeypatch.setattr(zoho, "_allows", watched)
    assert followed.run("crmsync", "doctor").returncode == 0
    followed.start("web", "worker", "beat")
    deal = followed.sandbox.deals.create(account="A customer nobody knows")

    assert followed.close(deal.id) == 200
    followed.wait_for("done", deal)
    _, (invoice,) = followed.documents(deal)
    followed.sandbox.invoices.pay(invoice["number"], webhook=True)

    until(
        lambda: next(row for row in followed.sandbox.ledger()["deals"] if row["id"] == deal.id)["Payment_Received__c"]
    )
    assert needed == set(guides.block("zoho-books", "scopes").strip().split(","))
