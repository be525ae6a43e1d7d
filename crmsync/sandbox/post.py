"""Sending a webhook to a receiver, and telling what it answered."""

import http.client
from dataclasses import dataclass
from urllib.error import HTTPError
from urllib.request import Request, urlopen


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
