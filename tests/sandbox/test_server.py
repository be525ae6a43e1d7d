"""The servers under parallel load, and the cost of importing the package."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import requests

from crmsync.lab.sandbox import Sandbox
from tests.sandbox.clients import BooksClient, ErpClient, order


def test_parallel_creates_get_numbers_of_their_own(sandbox: Sandbox, erp: ErpClient, books: BooksClient) -> None:
    sandbox.profile.zoho.concurrent = sandbox.profile.zoho.per_minute = 10_000
    sandbox.latency.seconds = 0.01
    customer, contact = erp.customer(), books.contact()["contact_id"]
    headers, cookies = dict(erp.session.headers), erp.session.cookies.get_dict()
    access = {"Authorization": books.session.headers["Authorization"]}
    organization = {"organization_id": books.env["ZOHO_ORGANIZATION_ID"]}

    def post_both(number: int) -> tuple[str, str]:
        reference = f"D-{number}"
        body = {**order(customer), "PurchaseOrderByCustomer": reference}
        address = erp.url("API_SALES_ORDER_SRV/A_SalesOrder")
        made = requests.post(address, json=body, headers=headers, cookies=cookies, timeout=30).json()["d"]
        lines = [{"name": "Sensor", "rate": 100}]
        body = {"customer_id": contact, "reference_number": reference, "line_items": lines}
        invoice = requests.post(books.url("/invoices"), json=body, headers=access, params=organization, timeout=30)
        return made["SalesOrder"], invoice.json()["invoice"]["invoice_number"]

    with ThreadPoolExecutor(64) as pool:
        made = list(pool.map(post_both, range(128)))

    assert len({number for number, _ in made}) == 128
    assert len({number for _, number in made}) == 128
    ledger = sandbox.ledger()
    assert (len(ledger["orders"]), len(ledger["invoices"])) == (128, 128)
    assert not any(ledger["duplicates"].values())
    assert sandbox.calls()["sap"]["operations"]["create_order"] == 128


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = ("jwt", "cryptography", "http.server")
    code = f"import sys, crmsync.lab.sandbox; print([n for n in {heavy} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_stopped_sandbox_answers_no_more() -> None:
    with Sandbox() as sandbox:
        url = sandbox.control_url
        session = requests.Session()
        assert session.get(f"{url}/control/calls", timeout=10).json() == {}
    try:
        session.get(f"{url}/control/calls", timeout=10)
    except requests.ConnectionError:
        answered = False
    else:
        answered = True
    session.close()
    assert not answered


def test_a_chunked_body_is_read(books: BooksClient) -> None:
    parts = iter([b'{"contact_name":', b'"Elm Works"}'])
    answer = books.call("POST", "/contacts", data=parts, headers={"Content-Type": "application/json"})
    assert answer.json()["contact"]["contact_name"] == "Elm Works"


def test_the_former_name_of_the_package_goes_on() -> None:
    code = "from crmsync.sandbox import Sandbox; from crmsync.lab import sandbox; print(Sandbox is sandbox.Sandbox)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"

    shown = subprocess.run(
        [sys.executable, "-m", "crmsync.sandbox", "--help"], capture_output=True, text=True, check=True
    )
    assert "--port-base" in shown.stdout
