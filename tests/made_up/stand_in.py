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
    """Takes bills from whoever knows its secret."""

    vendor: ClassVar[str] = "ledgerly"
    system: ClassVar[str] = "ledgerly"
    prefix: ClassVar[str] = "LEDGERLY_"
    profile_type: ClassVar[type[Any]] = LedgerlyProfile
    oddities: ClassVar[dict[str, Details]] = {
        "closed": {"kind": "answer", "status": 423, "body": "The year is closed."}
    }

    def __init__(self, around: Surroundings, profile: LedgerlyProfile, number: int = 1) -> None:
        super().__init__(around, profile, number)
        self.bills: list[dict[str, Any]] = []
        self.router.add("POST", "/bills", self._create, "create_bill")
        self.router.add("GET", "/bills", lambda request: answer({"bills": self.bills}), "find_bill")

    def _create(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {self.profile.client_secret}":
            return answer({"error": "unauthorized"}, 401)
        bill = {"id": str(len(self.bills) + 1), **request.json()}
        self.bills.append(bill)
        self.ledger.note("created", "bill", bill["id"], reference=bill["reference"])
        return answer(bill, 201)

    def error_answer(self, fault: Fault, operation: str) -> Response:
        return answer({"error": "internal"}, 500)

    def settings(self) -> dict[str, Any]:
        return {"client_id": self.profile.client_id}

    def secrets(self) -> dict[str, str]:
        return {"client_secret": self.profile.client_secret}

    def documents(self) -> dict[str, list[dict[str, Any]]]:
        return {"bills": list(self.bills)}

    def reset(self) -> None:
        self.bills.clear()
