"""A vendor's consent page: a person allows or denies what an app asks for, and the browser goes back to the app.

    GET the page ─▶ a form with Allow and Deny ─▶ GET with `decision` ─▶ 302 to the app, with a code or access_denied

A code is good once, for a while, for one client, one address and one verifier (RFC 6749, 7636).
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from urllib.parse import urlencode

from crmsync.lab.sandbox.kernel.http import HTML, Request, Response
from crmsync.lab.sandbox.kernel.ledger import Clock

BUTTON = '<button name="decision" value="{0}">{0}</button>'


@dataclass(frozen=True)
class Asked:
    """What a page is asked, as far as it matters later."""

    client_id: str
    redirect_uri: str
    challenge: str
    asked_at: float


class Codes:
    """The codes that were given out. *seconds* is how long one is good."""

    def __init__(self, clock: Clock, make_token: Callable[[int], str], *, seconds: float) -> None:
        self._clock = clock
        self._make_token = make_token
        self._seconds = seconds
        self._given: dict[str, Asked] = {}
        self._used: set[str] = set()

    def give(self, fields: Mapping[str, str]) -> str:
        code = f"aPrx{self._make_token(40)}"
        asked = (fields["client_id"], fields["redirect_uri"], fields.get("code_challenge", ""))
        self._given[code] = Asked(*asked, self._clock.seconds())
        return code

    def problem(self, fields: Mapping[str, str]) -> str:
        """Why a code is not taken: "code", "expired", "redirect", "client" or "verifier"; "" where it is.

        It is used up by being asked for, whatever comes of it.
        """
        code = fields.get("code", "")
        asked = self._given.get(code)
        if asked is None or code in self._used:
            return "code"
        self._used.add(code)
        if self._clock.seconds() > asked.asked_at + self._seconds:
            return "expired"
        if fields.get("client_id") != asked.client_id:
            return "client"
        if fields.get("redirect_uri") != asked.redirect_uri:
            return "redirect"
        return "" if _fits(asked.challenge, fields.get("code_verifier", "")) else "verifier"

    def forget(self) -> None:
        self._given.clear()
        self._used.clear()


def _fits(challenge: str, verifier: str) -> bool:
    if not challenge:
        return not verifier
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=") == challenge


def page(request: Request, *, title: str, wants: str) -> Response:
    """The form: what was asked stands in hidden fields, and comes back with the decision."""
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in request.query.items()
    )
    text = (
        f"<html><body><h1>{escape(title)}</h1><p>The app asks for: {escape(wants)}</p>"
        f'<form method="get">{hidden}{BUTTON.format("Allow")}{BUTTON.format("Deny")}</form></body></html>'
    )
    return Response(200, text.encode(), {"Content-Type": HTML})


def back(redirect_uri: str, answer: Mapping[str, str]) -> Response:
    """The browser goes back to the app."""
    return Response(302, b"", {"Location": f"{redirect_uri}?{urlencode(answer)}"})
