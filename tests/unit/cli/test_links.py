"""`crmsync links import`: everything is checked before anything is written."""

from __future__ import annotations

import json

import pytest

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
        return {(row.connection, row.crm_key): (row.key, row.origin) for row in uow.links.all()}


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
        f"{OTHER},12345678901,46-1",
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

    assert run_cli("links", "import", path).output == "✓ 1 linked already.\n"


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
