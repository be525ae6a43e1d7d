"""Asks an identity provider who somebody is: OpenID Connect, authorization code with PKCE, by Authlib.

It is imported with the first sign-in: Authlib costs megabytes, and a receiver has none to spare. Every exchange goes
through the one way out.
"""

from __future__ import annotations

import binascii
import hmac
import json
import secrets
import threading
import time
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from crmsync.connectors.way_out.transport import Session, exchange
from crmsync.errors import CrmsyncError
from crmsync.settings import OidcSettings

SECONDS = 10.0  # for all of an exchange
KEPT_SECONDS = 600.0  # how long the provider's description and keys are believed
FETCH_SECONDS = 60.0  # keys are not asked for more often, whatever tokens name: a token is anybody's
LEEWAY_SECONDS = 60
SCOPE = "openid email profile"
NAME = "the identity provider"
# Signed with a key that the provider alone has: never `none`, and nothing that our own secret could sign.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")


class SignOnError(CrmsyncError):
    """The provider's answer does not say who it is, or is not for us."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What has to be known again when the browser comes back; *url* is where it is sent."""

    url: str
    state: str
    nonce: str
    verifier: str
    issuer: str


class _Client(Session, OAuth2Session):
    """Authlib's session, as careful as all others."""


class IdentityProvider:
    def __init__(self, settings: OidcSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._metadata: tuple[float, Mapping[str, Any]] | None = None
        self._keys: tuple[float, Mapping[str, Any]] | None = None

    def begin(self, redirect_uri: str) -> Begun:
        """Begin a sign-in. Raises: SignOnError; VendorUnavailableError where the provider does not answer."""
        metadata = self._described()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        with self._client(redirect_uri, metadata) as client:
            url, _ = client.create_authorization_url(
                metadata["authorization_endpoint"], state=state, nonce=nonce, code_verifier=verifier
            )
        return Begun(url, state, nonce, verifier, metadata["issuer"])

    def finish(self, begun: Begun, redirect_uri: str, code: str, issuer: str) -> Mapping[str, Any]:
        """The claims of who has signed in. *issuer* is what the browser brought back as such, "" for nothing.

        Raises: SignOnError; VendorUnavailableError.
        """
        metadata = self._described()
        names_itself = metadata.get("authorization_response_iss_parameter_supported") is True
        accepted = (begun.issuer,) if names_itself else ("", begun.issuer)
        if begun.issuer != metadata["issuer"] or issuer not in accepted:
            raise SignOnError("Another provider has answered than the one that was asked.")
        token = self._exchanged(metadata, begun, redirect_uri, code)
        if not isinstance(token.get("id_token"), str):
            raise SignOnError("The provider has sent no identity.")
        return self._claims(metadata, token["id_token"], begun, str(token.get("access_token") or ""))

    def _exchanged(self, metadata: Mapping[str, Any], begun: Begun, redirect_uri: str, code: str) -> Mapping[str, Any]:
        try:
            with self._client(redirect_uri, metadata) as client, exchange(NAME, "token", seconds=SECONDS):
                found = client.fetch_token(metadata["token_endpoint"], code=code, code_verifier=begun.verifier)
        except (AuthlibBaseError, ValueError, LookupError, TypeError):
            raise SignOnError("The provider does not take back what it gave: sign in again.") from None
        return found if isinstance(found, Mapping) else {}

    def _claims(self, metadata: Mapping[str, Any], token: str, begun: Begun, access_token: str) -> Mapping[str, Any]:
        try:
            keys = KeySet.import_key_set(_signing(self._key_set(metadata, _key_id(token))))
            found = jwt.decode(token, keys, algorithms=list(ALGORITHMS))
            claims = CodeIDToken(
                found.claims,
                found.header,
                options={
                    "iss": {"essential": True, "value": metadata["issuer"]},
                    "aud": {"essential": True, "value": self._settings.client_id},
                    "nonce": {"essential": True},
                },
                params={"nonce": begun.nonce, "client_id": self._settings.client_id, "access_token": access_token},
            )
            claims.validate(leeway=LEEWAY_SECONDS)
        except (JoseError, ValueError, LookupError, TypeError, AttributeError):
            raise SignOnError("The identity that the provider has sent is not one for us.") from None
        is_ours = claims["iss"] == metadata["issuer"] and hmac.compare_digest(str(claims["nonce"]), begun.nonce)
        subject = claims["sub"]
        if not is_ours or not isinstance(subject, str) or not 0 < len(subject) <= 255:
            raise SignOnError("The identity that the provider has sent is not one for us.")
        return dict(claims)

    def _client(self, redirect_uri: str, metadata: Mapping[str, Any]) -> _Client:
        secret = self._settings.client_secret
        methods = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        method = "client_secret_basic" if "client_secret_basic" in methods else "client_secret_post"
        return _Client(
            client_id=self._settings.client_id,
            client_secret=secret.reveal() if secret is not None else None,
            token_endpoint_auth_method=method if secret is not None else "none",
            scope=SCOPE,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
        )

    # -- what the provider says of itself

    def _described(self) -> Mapping[str, Any]:
        """Its description, which has to be of the issuer that is configured. Raises: SignOnError."""
        with self._lock:
            if self._metadata is None or time.monotonic() - self._metadata[0] > KEPT_SECONDS:
                found = self._get(f"{self._settings.issuer}/.well-known/openid-configuration")
                self._check(found)
                self._metadata = (time.monotonic(), found)
            return self._metadata[1]

    def _check(self, found: Mapping[str, Any]) -> None:
        if str(found.get("issuer", "")).rstrip("/") != self._settings.issuer:
            raise SignOnError("What stands at CRMSYNC_OIDC_ISSUER is the description of another issuer.")
        scheme = urlsplit(self._settings.issuer).scheme
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if urlsplit(str(found.get(name, ""))).scheme not in ("https", scheme):
                raise SignOnError(f"The provider's {name} is missing, or is not https.")

    def _key_set(self, metadata: Mapping[str, Any], key_id: str) -> Mapping[str, Any]:
        """Its keys; asked for anew where a token names one that is not known, for keys are changed without a word."""
        with self._lock:
            age = time.monotonic() - self._keys[0] if self._keys else KEPT_SECONDS + 1
            is_known = self._keys is not None and key_id in _key_ids(self._keys[1])
            if age > KEPT_SECONDS or (not is_known and age > FETCH_SECONDS):
                self._keys = (time.monotonic(), self._get(metadata["jwks_uri"]))
            found = self._keys[1] if self._keys else {}
        if key_id not in _key_ids(found):
            raise SignOnError("The provider's identity is signed with a key that it does not show.")
        return found

    def _get(self, url: str) -> Mapping[str, Any]:
        with self._client("", {}) as client, exchange(NAME, "description", seconds=SECONDS):
            response = client.send(client.prepare_request(requests.Request("GET", url)))
        try:
            found = json.loads(response.content) if response.status_code == 200 else None
        except ValueError:
            found = None
        if not isinstance(found, Mapping):
            raise SignOnError(f"{NAME.capitalize()} does not describe itself: HTTP {response.status_code}.")
        return found


def _key_id(token: str) -> str:
    """Which key has signed it, as it says itself. Raises: ValueError."""
    head = token.partition(".")[0]
    try:
        header = json.loads(urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("this is no token") from error
    return str(header.get("kid", "")) if isinstance(header, Mapping) else ""


def _key_ids(keys: Mapping[str, Any]) -> list[str]:
    return [str(each.get("kid", "")) for each in keys.get("keys") or () if isinstance(each, Mapping)]


def _signing(keys: Mapping[str, Any]) -> Any:
    """Those that sign, and are not secret: a provider may show others beside them."""
    shown = [each for each in keys["keys"] if isinstance(each, Mapping)]
    kept = [each for each in shown if each.get("use", "sig") == "sig" and each.get("kty") in ("RSA", "EC", "OKP")]
    return {"keys": kept}
