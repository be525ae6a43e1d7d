"""A small identity provider for tests: it signs with keys of its own, and tells what the test wants it to tell."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Flask, Response, jsonify, redirect, request
from jwt.algorithms import RSAAlgorithm
from werkzeug.serving import make_server

CLIENT_ID, CLIENT_SECRET = "crmsync-tower", "a secret of the tests"


class Provider:
    """Signs in whoever comes as *person*. *told* replaces claims; *forged* is sent instead of a token."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.person: dict[str, Any] = {
            "sub": "u-1",
            "email": "ada@example.com",
            "email_verified": True,
            "groups": ["ops"],
        }
        self.told: dict[str, Any] = {}
        self.described: dict[str, Any] = {}
        self.sent_back: dict[str, str] = {}
        self.forged = ""
        self.keys = {"k1": first_key()}
        self.shown = ["k1"]
        self.signs_with = "k1"
        self.algorithm = "RS256"
        self.asked: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}

    def claims(self, asked: dict[str, str]) -> dict[str, Any]:
        now = int(time.time())
        own = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        return {name: value for name, value in {**own, **self.person, **self.told}.items() if value is not None}

    def token(self, asked: dict[str, str]) -> str:
        if self.forged:
            return self.forged
        key: Any = self.keys[self.signs_with] if self.algorithm.startswith("RS") else ""
        if self.algorithm.startswith("HS"):
            key = CLIENT_SECRET.ljust(32, "!")
        headers = {"kid": self.signs_with}
        return jwt.encode(self.claims(asked), key or None, algorithm=self.algorithm, headers=headers)

    def application(self) -> Flask:
        app = Flask("identity-provider")

        @app.get("/.well-known/openid-configuration")
        def described() -> Response:
            self.asked.append("description")
            places = {
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
            }
            return jsonify({"issuer": self.issuer, **places, **self.described})

        @app.get("/keys")
        def keys() -> Response:
            self.asked.append("keys")
            return jsonify(keys=[jwk_of(name, self.keys[name]) for name in self.shown])

        @app.get("/authorize")
        def authorize() -> Any:
            assert request.args["response_type"] == "code"
            assert request.args["code_challenge_method"] == "S256"
            code = f"code-{len(self._codes)}"
            self._codes[code] = request.args.to_dict()
            back = {"code": code, "state": request.args["state"], **self.sent_back}
            return redirect(f"{request.args['redirect_uri']}?{urlencode(back)}")

        @app.post("/token")
        def token() -> Any:
            self.asked.append("token")
            asked = self._codes.pop(request.form["code"], None)
            given = request.authorization
            is_known = given is not None and (given.username, given.password) == (CLIENT_ID, CLIENT_SECRET)
            if asked is None or not is_known or not is_verified(asked, request.form["code_verifier"]):
                return jsonify(error="invalid_grant"), 400
            assert request.form["redirect_uri"] == asked["redirect_uri"]
            return jsonify(access_token="at", token_type="Bearer", expires_in=300, id_token=self.token(asked))

        return app

    def authorized(self, url: str) -> str:
        """Where the browser is sent back to after it has been at *url*, without the host."""
        client = self.application_client
        answer = client.get(f"{urlsplit(url).path}?{urlsplit(url).query}")
        return str(answer.headers["Location"])

    @property
    def application_client(self) -> Any:
        return self._client

    _client: Any = None


@contextmanager
def running() -> Iterator[Provider]:
    """At an address of this machine, until the block ends."""
    provider = Provider("")
    app = provider.application()
    server = make_server("127.0.0.1", 0, app, threaded=True)
    provider.issuer = f"http://127.0.0.1:{server.port}"
    provider._client = app.test_client()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@cache
def first_key() -> rsa.RSAPrivateKey:
    """The same for all tests: making one takes a while."""
    return new_key()


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def jwk_of(name: str, key: rsa.RSAPrivateKey) -> dict[str, Any]:
    return {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": name, "use": "sig", "alg": "RS256"}


def is_verified(asked: dict[str, str], verifier: str) -> bool:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=") == asked["code_challenge"]


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
