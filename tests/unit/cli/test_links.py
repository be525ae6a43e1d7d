"""`crmsync links import`: everything is checked before anything is written."""

from __future__ import annotations

import json

import pytest

from crmsync.domain.ledger import EntryKey
from crmsync.errors import VendorUnavailableError
from tests.fakes import add_link

pytestmark = pytest.mark.usefixtures("systems")

SHORT, LONG = "001xx000003DGb2", "001xx000003DGb2AAG"
OTHER = "001xx000003DGb3AAG"
HEADER = "crm_id,erp_customer,books_customer"


@pytest.fixture
def file(tmp_path):
    """Write lines (or bytes) to a file; returns its path."""

    def write(*lines):
        path = tmp_path / "customers.csv"
        content = lines[0] if isinstance(lines[0], bytes) else "\n".join(lines).encode()
        path.write_bytes(content)
        return str(path)

    return write


def links_of(store):
    with store.read() as uow:
        return {(row.connection, row.crm_key): (row.key, row.origin) for row in uow.links.customers(None)}


def problems_of(result):
    return [(problem["line"], problem["field"]) for problem in json.loads(result.output)["problems"]]


def test_both_customers_of_an_account_are_linked(run_cli, store, file):
    result = run_cli("links", "import", file(HEADER, f"{LONG},1000123,46000000001"))

    assert (result.exit_code, result.output) == (0, "✓ 2 linked.\n")
    assert links_of(store) == {
        ("s4hana", LONG): ("1000123", "imported"),
        ("zoho_books", LONG): ("46000000001", "imported"),
    }


def test_either_customer_may_be_empty(run_cli, store, file):
    run_cli("links", "import", file(HEADER, f"{LONG},1000123,", f"{OTHER},,46000000001"))

    assert set(links_of(store)) == {("s4hana", LONG), ("zoho_books", OTHER)}


def test_a_short_id_is_stored_in_its_long_form(run_cli, store, file):
    run_cli("links", "import", file(HEADER, f"{SHORT},1000123,"))

    assert set(links_of(store)) == {("s4hana", LONG)}


def test_a_byte_order_mark_and_other_columns_are_no_problem(run_cli, store, file):
    content = f'\ufeffname,{HEADER}\r\n"Müller, Söhne",{LONG},1000123,\r\n'.encode()

    assert run_cli("links", "import", file(content)).exit_code == 0
    assert len(links_of(store)) == 1


def test_every_problem_is_told_and_nothing_is_written(run_cli, store, file):
    path = file(
        HEADER,
        f"{LONG},1000123,",
        "001xx,1000124,",
        f"{OTHER},,",
        f"{OTHER},-1,46/1",
        ",1000125,",
        "006xx0000012abcAAA,1000126,",
    )

    result = run_cli("links", "import", path, "--json")

    assert result.exit_code == 1
    assert problems_of(result) == [
        (3, "crm_id"),
        (4, "erp_customer"),
        (5, "erp_customer"),
        (5, "books_customer"),
        (6, "crm_id"),
        (7, "crm_id"),
    ]
    assert links_of(store) == {}


def test_problems_are_shown_by_line_and_field(run_cli, store, file):
    result = run_cli("links", "import", file(HEADER, "nonsense,1,"))

    assert "1 problem, so nothing was linked." in result.output
    assert "2  crm_id" in result.output


def test_an_account_may_stand_in_a_line_for_each_currency_of_the_books(run_cli, store, file):
    path = file(HEADER, f"{LONG},1000123,46000000001", f"{SHORT},1000123,")

    assert run_cli("links", "import", path).output == "✓ 2 linked.\n"


def test_an_account_that_stands_twice_is_a_problem(run_cli, store, file):
    result = run_cli("links", "import", file(HEADER, f"{LONG},1000123,", f"{SHORT},1000124,"), "--json")

    assert problems_of(result) == [(3, "crm_id")]
    assert "line 2" in result.output


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"crm_id,erp_customer\n", (1, "books_customer")),
        (f"{HEADER}\n{LONG},1000123,\nM\xfcller".encode("latin-1"), (3, "")),
        (f'{HEADER}\n"{LONG},1000123,'.encode(), (2, "")),
        (b"", (1, "crm_id")),
    ],
    ids=["a column is missing", "not UTF-8", "an open quote", "empty"],
)
def test_a_file_that_can_not_be_read_is_told(run_cli, store, file, content, place):
    assert problems_of(run_cli("links", "import", file(content), "--json"))[0] == place


def test_the_same_file_again_changes_nothing(run_cli, store, file):
    path = file(HEADER, f"{LONG},1000123,")
    run_cli("links", "import", path)

    assert run_cli("links", "import", path).output == "✓ 1 already linked.\n"


def test_a_link_that_says_something_else_is_never_overwritten_unasked(run_cli, store, file):
    run_cli("links", "import", file(HEADER, f"{LONG},1000123,"))

    result = run_cli("links", "import", file(HEADER, f"{LONG},1000999,", f"{OTHER},1000124,"))

    assert result.exit_code == 1
    assert "is linked to 1000123 already" in result.output
    assert links_of(store) == {("s4hana", LONG): ("1000123", "imported")}


def test_replace_overwrites_it(run_cli, store, file):
    run_cli("links", "import", file(HEADER, f"{LONG},1000123,"))

    result = run_cli("links", "import", file(HEADER, f"{LONG},1000999,"), "--replace")

    assert result.output == "✓ 1 replaced.\n"
    assert links_of(store)["s4hana", LONG] == ("1000999", "imported")


def test_a_dry_run_tells_and_writes_nothing(run_cli, store, file):
    result = run_cli("links", "import", file(HEADER, f"{LONG},1000123,"), "--dry-run")

    assert result.exit_code == 0
    assert "1000123" in result.output
    assert "Dry run, nothing was written: 1 to be linked." in result.output
    assert links_of(store) == {}


def test_list_shows_what_is_linked(run_cli, store, file):
    assert "Nothing is linked yet" in run_cli("links", "list").output
    run_cli("links", "import", file(HEADER, f"{LONG},1000123,"))

    assert "1000123" in run_cli("links", "list").output
    assert json.loads(run_cli("links", "list", "--json").output)[0]["crm_key"] == LONG


# -- looked up before it is stored


def test_what_does_not_exist_or_is_blocked_is_told_and_nothing_is_linked(run_cli, store, file, systems):
    systems["s4hana"].missing.add("999999999")
    systems["zoho_books"].blocked.add("46")
    systems["salesforce"].missing.add(OTHER)

    result = run_cli("links", "import", file(HEADER, f"{LONG},999999999,46", f"{OTHER},1000124,"), "--json")

    problems = {(each["line"], each["field"]): each["text"] for each in json.loads(result.output)["problems"]}
    assert problems[2, "erp_customer"] == "SAP S/4HANA has no customer 999999999."
    assert "blocked or inactive" in problems[2, "books_customer"]
    assert problems[3, "crm_id"] == f"The CRM has no account {OTHER}."
    assert links_of(store) == {}


@pytest.mark.parametrize("silent", ["salesforce", "s4hana", "zoho_books"])
def test_a_system_that_can_not_be_asked_links_nobody(run_cli, store, file, systems, silent):
    systems[silent].error = VendorUnavailableError("It answered 503.")

    result = run_cli("links", "import", file(HEADER, f"{LONG},1000123,46"))

    assert result.exit_code == 1
    assert "Nothing was stored" in result.output
    assert links_of(store) == {}


def test_a_dry_run_shows_both_names(run_cli, store, file, systems):
    systems["s4hana"].name = "Holding AG"

    shown = run_cli("links", "import", file(HEADER, f"{LONG},C_10-01,"), "--dry-run").output

    assert "Acme Ltd, Ulm" in shown
    assert "C_10-01 Holding AG, Springfield" in shown


def test_an_account_has_one_link_for_each_currency_of_the_books(run_cli, store, file, systems):
    run_cli("links", "import", file(HEADER, f"{LONG},,46"))
    systems["zoho_books"].currency = "EUR"

    assert run_cli("links", "import", file(HEADER, f"{LONG},,47")).output == "✓ 1 linked.\n"
    with store.read() as uow:
        assert [(link.key, link.currency) for link in uow.links.customers(None)] == [("46", "USD"), ("47", "EUR")]


# -- the mistakes of the past


def link(store, account, key="46", **more):
    with store.begin() as uow:
        add_link(uow, "zoho_books", "customer", account, key, origin="e-mail", **more)


def test_customers_that_accounts_share_are_listed(run_cli, store):
    link(store, LONG, name="Holding AG", city="Ulm")
    link(store, OTHER)
    link(store, OTHER, currency="EUR")
    link(store, "001xx000003DGb4AAG", "47")

    shared = json.loads(run_cli("links", "list", "--shared", "--json").output)

    assert [(each["crm_key"], each["key"], each["accounts"]) for each in shared] == [
        (LONG, "46", 2), (OTHER, "46", 2), (OTHER, "46", 2),
    ]  # fmt: skip
    told = run_cli("links", "list").output
    assert "Holding AG, Ulm" in told
    assert "1 customer shared by several accounts" in told


def test_two_currencies_of_one_account_are_not_shared(run_cli, store):
    link(store, LONG)
    link(store, LONG, currency="EUR")

    assert run_cli("links", "list", "--shared").output == "No customer is shared by several accounts.\n"


def test_a_link_is_taken_back_and_says_what_stands_on_it(run_cli, store, bury):
    bury()
    account = "001xx000003dgb2AAA"
    link(store, account, name="Holding AG")
    with store.begin() as uow:
        key = EntryKey("zoho_books", "invoice", "SF-1")
        uow.ledger.reserve(key, uow.runs.of_account("salesforce", account)[0], certain_at=uow.now)
        uow.ledger.confirmed(key, {"key": "9", "number": "INV-7", "net": {"amount": "47000.00", "currency": "USD"}})

    refused = run_cli("links", "remove", account)
    assert "INV-7" in refused.output
    assert "47,000.00 USD" in refused.output
    assert refused.exit_code == 2, "nobody can be asked here"
    assert links_of(store) != {}

    done = json.loads(run_cli("links", "remove", account, "--yes", "--json").output)
    assert [each["key"] for each in done["removed"]] == ["46"]
    assert [each["number"] for each in done["documents"]] == ["INV-7"]
    assert links_of(store) == {}


def test_only_the_link_of_one_system_is_taken_back(run_cli, store, file):
    run_cli("links", "import", file(HEADER, f"{LONG},1000123,46"))

    run_cli("links", "remove", SHORT, "--system", "BOOKS", "--yes")

    assert set(links_of(store)) == {("s4hana", LONG)}


def test_what_stands_on_a_link_is_told_in_words(run_cli, store, bury):
    bury()
    account = "001xx000003dgb2AAA"
    link(store, account)
    with store.begin() as uow:
        add_link(uow, "s4hana", "customer", account, "0001000003", origin="created")
        key = EntryKey("s4hana", "order", "SF-1")
        uow.ledger.reserve(key, uow.runs.of_account("salesforce", account)[0], certain_at=uow.now)
        uow.ledger.confirmed(key, {"key": "9", "number": "9"})

    told = run_cli("links", "remove", account, "--system", "ERP").output

    assert "0001000003, made by crmsync." in told
    assert "1 document was made for it, and stays as it is:" in told


def test_who_names_the_customer_is_told_the_account(run_cli, store):
    with store.begin() as uow:
        add_link(uow, "s4hana", "customer", LONG, "0001000003", origin="import")

    assert f"is linked to {LONG}: name the account." in " ".join(
        run_cli("links", "remove", "1000003", "--yes").output.split()
    )


@pytest.mark.parametrize("words", [[OTHER], [LONG, "--system", "CRM"]])
def test_a_link_that_is_not_there_can_not_be_taken_back(run_cli, store, words):
    link(store, LONG)

    assert run_cli("links", "remove", *words, "--yes").exit_code == 2
