"""The stand-in of a vendor that nobody has heard of: what a further one takes, beside its own routes and rules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from crmsync.lab.sandbox.kernel.account import Account, Surroundings
from crmsync.lab.sandbox.kernel.faults import Details, Fault
from crmsync.lab.sandbox.kernel.http import Request, Response, answer


@dataclass
class LedgerlyProfile:
    client_id: str = "ledgerly-client"
    client_secret: str = "ledgerly-secret"

    def of_another(self, number: int) -> Self:
        return replace(self, client_id=f"{self.client_id}-{number}", client_secret=f"{self.client_secret}-{number}")


class LedgerlyStandIn(Account):
    """Takes payers, bills and what is paid on them from whoever knows its secret."""

    vendor: ClassVar[str] = "ledgerly"
    system: ClassVar[str] = "ledgerly"
    prefix: ClassVar[str] = "LEDGERLY_"
    profile_type: ClassVar[type[Any]] = LedgerlyProfile
    oddities: ClassVar[dict[str, Details]] = {
        "closed": {"kind": "answer", "status": 423, "body": "The year is closed."}
    }

    def __init__(self, around: Surroundings, profile: LedgerlyProfile, number: int = 1) -> None:
        super().__init__(around, profile, number)
        self.rows: dict[str, dict[str, dict[str, Any]]] = {"payers": {}, "bills": {}, "payments": {}}
        self._offer("payers", "payer", {"email": ""})
        self._offer("bills", "bill", {"paid": "0", "mailed_to": []})
        self._offer("payments", "payment", {})
        self.router.add("POST", "/bills/{key}/mail", self._mail, "mail_bill")

    def pay(self, bill: str, amount: str, on: str) -> str:
        """What somebody there does who sees money come in. Returns the payment's id."""
        with self.lock:
            self.rows["bills"][bill]["paid"] = amount
            return str(self._made("payments", "payment", {"bill": bill, "amount": amount, "on": on})["id"])

    def _offer(self, kind: str, one: str, usual: dict[str, Any]) -> None:
        """To make such a record, to list those that are as the query says, and to read one."""

        def create(request: Request) -> Response:
            return self._known(request) or answer(self._made(kind, one, {**usual, **request.json()}), 201)

        def find(request: Request) -> Response:
            rows = [row for row in self.rows[kind].values() if request.query.items() <= row.items()]
            return self._known(request) or answer(rows)

        def read(request: Request, key: str) -> Response:
            row = self.rows[kind].get(key)
            return self._known(request) or (answer(row) if row else answer({"error": "unknown"}, 404))

        self.router.add("POST", f"/{kind}", create, f"create_{one}")
        self.router.add("GET", f"/{kind}", find, f"find_{one}")
        self.router.add("GET", f"/{kind}/{{key}}", read, f"read_{one}")

    def _known(self, request: Request) -> Response | None:
        """The refusal of a caller who does not know the secret."""
        is_known = request.headers.get("authorization") == f"Bearer {self.profile.client_secret}"
        return None if is_known else answer({"error": "unauthorized"}, 401)

    def _made(self, kind: str, one: str, values: dict[str, Any]) -> dict[str, Any]:
        row = {"id": f"{one[0].upper()}{len(self.rows[kind]) + 1}", **values}
        self.rows[kind][row["id"]] = row
        self.ledger.note("created", one, row["id"])
        return row

    def _mail(self, request: Request, key: str) -> Response:
        refused = self._known(request)
        if refused is None:
            self.rows["bills"][key]["mailed_to"] = request.json()["to"]
            self.ledger.mail(key, reference=self.rows["bills"][key]["reference"])
        return refused or answer({})

    def error_answer(self, fault: Fault, operation: str) -> Response:
        return answer({"error": "internal"}, 500)

    def settings(self) -> dict[str, Any]:
        return {"client_id": self.profile.client_id, "url": self.url}

    def secrets(self) -> dict[str, str]:
        return {"client_secret": self.profile.client_secret}

    def documents(self) -> dict[str, list[dict[str, Any]]]:
        return {kind: list(rows.values()) for kind, rows in self.rows.items() if kind != "payments"}

    def reset(self) -> None:
        for rows in self.rows.values():
            rows.clear()
