"""Where the stand-ins send their webhooks."""

from dataclasses import dataclass
from urllib.parse import quote


@dataclass
class Receiver:
    """The address of the crmsync receiver."""

    base_url: str = "http://127.0.0.1:8000"

    def deal_url(self, token: str | None = None) -> str:
        """The door for won deals; Outbound Messages carry a token in the address."""
        query = f"?token={quote(token)}" if token else ""
        return f"{self.base_url}/webhook/salesforce/deal-closed{query}"

    def payment_url(self) -> str:
        return f"{self.base_url}/webhook/zoho/payment"
