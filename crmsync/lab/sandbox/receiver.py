"""Where the stand-ins send their webhooks, and what is answered there."""

import http.client
from dataclasses import dataclass
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen


@dataclass
class Receiver:
    """The address of the crmsync receiver."""

    base_url: str = "http://127.0.0.1:8000"


@dataclass
class Doors:
    """Where one company's webhooks go in at the receiver."""

    receiver: Receiver
    deal: str = "/webhook/salesforce/deal-closed"
    payment: str = "/webhook/zoho/payment"

    def deal_url(self, token: str | None = None) -> str:
        """The door for won deals; Outbound Messages carry a token in the address."""
        query = f"?token={quote(token)}" if token else ""
        return f"{self.receiver.base_url}{self.deal}{query}"

    def payment_url(self) -> str:
        return f"{self.receiver.base_url}{self.payment}"


@dataclass
class Answer:
    """A receiver's answer; status 0 where there was none, with the reason as text."""

    status: int
    text: str


def post(url: str, body: bytes, headers: dict[str, str], *, timeout: float = 10) -> Answer:
    """POST once, without retry."""
    request = Request(url, body, headers, method="POST")  # noqa: S310
    try:
        with urlopen(request, timeout=timeout) as response:  # noqa: S310
            return Answer(response.status, response.read().decode(errors="replace"))
    except HTTPError as error:
        with error:
            return Answer(error.code, error.read().decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, str(error))
