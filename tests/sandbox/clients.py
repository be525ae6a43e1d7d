"""Plain HTTP clients of the stand-ins, written from the vendors' pages and not from the connectors."""

import time
from typing import Any, Self

import jwt
import requests

from crmsync.lab.sandbox import Sandbox
from crmsync.lab.sandbox.world import Company

Json = dict[str, Any]
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Client:
    def __init__(self, sandbox: Sandbox | Company) -> None:
        self.env = sandbox.environment()
        self.session = requests.Session()
        self.sign_in()

    def sign_in(self) -> None:
        raise NotImplementedError

    def url(self, path: str) -> str:
        raise NotImplementedError

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(method, self.url(path), timeout=10, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()


def assertion(env: dict[str, str], **changes: Any) -> str:
    claims = {"iss": env["SF_CLIENT_ID"], "sub": env["SF_USERNAME"], "aud": "https://login.salesforce.com"}
    claims = {**claims, "exp": int(time.time()) + 180, **changes}
    return jwt.encode({name: value for name, value in claims.items() if value}, env["SF_PRIVATE_KEY"], "RS256")


class CrmClient(Client):
    def token(self, **changes: Any) -> requests.Response:
        form = {"grant_type": JWT_GRANT, "assertion": assertion(self.env, **changes)}
        return self.session.post(f"{self.env['SF_LOGIN_URL']}/services/oauth2/token", data=form, timeout=10)

    def sign_in(self) -> None:
        self.session.headers["Authorization"] = "Bearer " + self.token().json()["access_token"]

    def url(self, path: str) -> str:
        return f"{self.env['SF_LOGIN_URL']}/services/data/v68.0{path}"

    def query(self, soql: str, **options: Any) -> requests.Response:
        return self.call("GET", "/query", params={"q": soql}, **options)

    def records(self, soql: str) -> list[Json]:
        answer = self.query(soql)
        assert answer.status_code == 200, answer.text
        found: list[Json] = answer.json()["records"]
        return found


class ErpClient(Client):
    def sign_in(self) -> None:
        auth = (self.env["SAP_CLIENT_ID"], self.env["SAP_CLIENT_SECRET"])
        form = {"grant_type": "client_credentials"}
        token = self.session.post(self.env["SAP_TOKEN_URL"], data=form, auth=auth, timeout=10).json()["access_token"]
        self.session.headers.update({"Authorization": f"Bearer {token}", "Accept": "application/json"})
        self.fetch()

    def fetch(self) -> None:
        answer = self.call("GET", "API_SALES_ORDER_SRV/", headers={"x-csrf-token": "Fetch"})
        self.session.headers["x-csrf-token"] = answer.headers["x-csrf-token"]

    def url(self, path: str) -> str:
        return f"{self.env['SAP_BASE_URL']}/sap/opu/odata/sap/{path}"

    def create_partner(self, body: Json) -> requests.Response:
        return self.call("POST", "API_BUSINESS_PARTNER/A_BusinessPartner", json=body)

    def create_order(self, body: Json) -> requests.Response:
        return self.call("POST", "API_SALES_ORDER_SRV/A_SalesOrder", json=body)

    def customer(self, **changes: Any) -> str:
        answer = self.create_partner({**partner(), **changes})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["d"]["Customer"])

    def order(self, **changes: Any) -> Json:
        answer = self.create_order({**order(self.customer()), **changes})
        assert answer.status_code == 201, answer.text
        found: Json = answer.json()["d"]
        return found


class BooksClient(Client):
    def token(self, **changes: str) -> requests.Response:
        names = {
            "refresh_token": "ZOHO_REFRESH_TOKEN",
            "client_id": "ZOHO_CLIENT_ID",
            "client_secret": "ZOHO_CLIENT_SECRET",
        }
        form = {name: self.env[variable] for name, variable in names.items()} | {"grant_type": "refresh_token"}
        return self.session.post(
            f"{self.env['ZOHO_ACCOUNTS_URL']}/oauth/v2/token", data={**form, **changes}, timeout=10
        )

    def sign_in(self) -> None:
        self.session.headers["Authorization"] = "Zoho-oauthtoken " + self.token().json()["access_token"]
        self.session.params = {"organization_id": self.env["ZOHO_ORGANIZATION_ID"]}

    def url(self, path: str) -> str:
        return f"{self.env['ZOHO_API_URL']}/books/v3{path}"

    def contact(self, **changes: Any) -> Json:
        body = {
            "contact_name": "Fjord Foods",
            "contact_persons": [{"first_name": "Ida", "email": "ap@fjord.example.com"}],
        }
        answer = self.call("POST", "/contacts", json={**body, **changes})
        assert answer.status_code == 201, answer.text
        found: Json = answer.json()["contact"]
        return found

    def invoice(self, contact_id: str | None = None, **changes: Any) -> Json:
        contact_id = contact_id or self.contact()["contact_id"]
        body = {"customer_id": contact_id, "reference_number": "SF-1", "line_items": [{"name": "Sensor", "rate": 100}]}
        answer = self.call("POST", "/invoices", json={**body, **changes})
        assert answer.status_code == 201, answer.text
        found: Json = answer.json()["invoice"]
        return found

    def read(self, invoice: Json) -> Json:
        found: Json = self.call("GET", f"/invoices/{invoice['invoice_id']}").json()["invoice"]
        return found


AREA = {"SalesOrganization": "1010", "DistributionChannel": "10", "Division": "00", "Currency": "USD"}


def partner() -> Json:
    return {
        "BusinessPartnerCategory": "2",
        "BusinessPartnerGrouping": "BP02",
        "OrganizationBPName1": "Fjord Foods",
        "BusinessPartnerIDByExtSystem": "CRM-0018X",
        "to_BusinessPartnerAddress": [
            {"Country": "NO", "Language": "EN", "to_EmailAddress": [{"EmailAddress": "ap@fjord.example.com"}]}
        ],
        "to_BusinessPartnerRole": [{"BusinessPartnerRole": "FLCU00"}, {"BusinessPartnerRole": "FLCU01"}],
        "to_Customer": {"to_CustomerSalesArea": [AREA]},
    }


def price(rate: str = "235.00", **changes: Any) -> Json:
    return {"ConditionType": "PPR0", "ConditionRateValue": rate, "ConditionCurrency": "USD", **changes}


def item(material: str = "SENSOR-100", quantity: str = "200", *prices: Json) -> Json:
    return {"Material": material, "RequestedQuantity": quantity, "to_PricingElement": list(prices) or [price()]}


def order(customer: str, *items: Json) -> Json:
    return {
        "SalesOrderType": "OR",
        "SalesOrganization": "1010",
        "DistributionChannel": "10",
        "OrganizationDivision": "00",
        "SoldToParty": customer,
        "PurchaseOrderByCustomer": "CRM-D-88123",
        "TransactionCurrency": "USD",
        "to_Item": list(items) or [item()],
    }
