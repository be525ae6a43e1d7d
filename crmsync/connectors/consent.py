"""How people consent in the browser that crmsync works with their account: OAuth 2.0's code, with PKCE (RFC 9700).

A system declares where its page is and what it is asked; what is exchanged there is done by a worker alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode, urlsplit

if TYPE_CHECKING:
    from crmsync.environment import Secret

ISSUER = "iss"  # RFC 9207


@dataclass(frozen=True, slots=True, repr=False)
class Grant:
    """What comes back from the page, and what it was asked with; *verifier* is None without PKCE."""

    code: Secret
    redirect_uri: str
    verifier: Secret | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Granted:
    """What a code was exchanged for; *account* is whose it is, "" where the answer does not say."""

    refresh_token: Secret
    account: str = ""


class Exchange(Protocol):
    def __call__(self, settings: Any, grant: Grant, *, is_outside: bool) -> Granted:
        """Raises: AuthenticationError where the code is refused; OtherAccountError where it is of another account."""


def _is_same_place(server: str, told: str) -> bool:
    """
    >>> _is_same_place("https://accounts.zoho.com", "https://accounts.zoho.com/oauth"), _is_same_place("https://a", "b")
    (True, False)
    """
    try:
        ours, theirs = urlsplit(server), urlsplit(told)
        return (ours.scheme, ours.hostname, ours.port) == (theirs.scheme, theirs.hostname, theirs.port)
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """The page of a system. *server* is the setting that names its host; *secret* the one that is got by consent."""

    server: str
    authorize_path: str
    token_path: str
    scopes: tuple[str, ...]
    more_scopes: Callable[[Any], tuple[str, ...]] = lambda settings: ()
    """What settings need beside those."""
    exchange: Exchange
    between_scopes: str = " "
    parameters: Mapping[str, str] = field(default_factory=dict)
    """What the page is asked beside what OAuth has."""
    has_pkce: bool = True
    auth_kind: str = "refresh_token"
    secret: str = "refresh_token"  # noqa: S105 - the name of a setting
    says_server: tuple[str, ...] = (ISSUER,)
    """What its answer may say of the server that it comes from."""
    is_server: Callable[[Any, str], bool] | None = None
    """Whether an address is the server's that the settings name; None: where it is the same one."""

    def authorize_url(self, settings: Any) -> str:
        return f"{getattr(settings, self.server)}{self.authorize_path}"

    def token_url(self, settings: Any) -> str:
        return f"{getattr(settings, self.server)}{self.token_path}"

    def address(self, settings: Any, *, redirect_uri: str, state: str, challenge: str) -> str:
        """The address at which a person consents.

        *challenge* is that of PKCE by S256, which is left out where it isn't known.
        """
        asked = {
            "response_type": "code",
            "client_id": settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": self.between_scopes.join((*self.scopes, *self.more_scopes(settings))),
            "state": state,
            **({"code_challenge": challenge, "code_challenge_method": "S256"} if self.has_pkce else {}),
            **self.parameters,
        }
        return f"{self.authorize_url(settings)}?{urlencode(asked, quote_via=quote)}"

    def is_from_elsewhere(self, settings: Any, answer: Mapping[str, str]) -> bool:
        """Whether *answer* says that it comes from another server than the one that was asked (a mix-up)."""
        told = [answer[name] for name in self.says_server if answer.get(name)]
        server = str(getattr(settings, self.server))
        is_it = self.is_server or (lambda _, each: _is_same_place(server, each))
        return not all(is_it(settings, each) for each in told)
