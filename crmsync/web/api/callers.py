"""Authenticates the caller: the token, its rate limit, and whether it may use the endpoint."""

from __future__ import annotations

import hmac
from collections import Counter

from flask import current_app, g, request

from crmsync.domain.access import ApiToken, Caller, fingerprint, read_token
from crmsync.store.people import USED_SECONDS
from crmsync.web import paths
from crmsync.web.api.endpoints import ENDPOINTS, PREFIX, Rule, Tenancy
from crmsync.web.api.problems import Problem
from crmsync.web.attempts import Requests
from crmsync.web.context import services_of_app

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="crmsync"'}


def admit() -> None:
    """Admit the caller. Raises: Problem for whoever may not ask this, or asks what can't be understood."""
    settings = services_of_app().settings
    is_public = paths.is_public_port(settings)
    if request.url_rule is None or request.method == "OPTIONS":
        if is_public:  # a stranger need not know which URLs there are, nor what they are asked with
            raise _no_such_url()
        return  # Flask says what is wrong with the address
    rule = rule_of(request.url_rule.rule, request.method)
    if settings.admin_port and is_public != rule.is_public:
        raise _no_such_url()
    _check_address()
    if rule.role is None:
        return
    g.caller = _caller()
    if not g.caller.may(rule.role):
        raise Problem(403, "forbidden", f"This needs the role {rule.role}, and the token has the role {g.caller.role}.")
    if rule.tenancy is Tenancy.ALL and g.caller.tenant is not None:
        raise Problem(403, "forbidden", "This concerns the whole installation, and the token is for one tenant.")
    _check_body()


def _no_such_url() -> Problem:
    return Problem(404, "not-found", "There is no such URL.")


def rule_of(address: str, method: str) -> Rule:
    """The rule of a route; KeyError for one that has none, which is a mistake of ours."""
    place = address.removeprefix(PREFIX)
    for left, right in (("<", "{"), (">", "}")):
        place = place.replace(left, right)
    place = "/".join(_without_converter(part) for part in place.split("/"))
    return ENDPOINTS["GET" if method == "HEAD" else method, place]


def _without_converter(part: str) -> str:
    """
    >>> _without_converter("{int:letter_id}"), _without_converter("{run_id}"), _without_converter("runs")
    ('{letter_id}', '{run_id}', 'runs')
    """
    return "{" + part.rpartition(":")[2] if part.startswith("{") and ":" in part else part


def _check_address() -> None:
    twice = [name for name, count in Counter(name for name, _ in request.args.items(multi=True)).items() if count > 1]
    if twice:
        errors = [{"parameter": name[:100], "detail": "is given more than once"} for name in twice[:10]]
        raise Problem(400, "given-twice", "A query parameter is given more than once.", errors=errors)
    if "\0" in request.path or any("\0" in name + value for name, value in request.args.items()):
        raise Problem(400, "malformed", "A URL must not contain a null character.")


def _check_body() -> None:
    has_body = request.content_length or request.headers.get("Transfer-Encoding")
    if request.method in ("POST", "PUT", "PATCH") and has_body and not request.is_json:
        raise Problem(415, "wrong-type", "Send application/json.")


def _caller() -> Caller:
    given = request.headers.get("Authorization", "")
    scheme, _, text = given.partition(" ")
    found = read_token(text.strip()) if scheme.lower() == "bearer" else None
    token = _valid(found.id, found.secret) if found else None
    if token is None:
        detail = "The token is not valid (any more)." if given else "Send a token: Authorization: Bearer crm_…"
        raise Problem(401, "unauthorized", detail, headers=_CHALLENGE)
    _check_rate(token)
    return token.caller


def _valid(token_id: str, secret: str) -> ApiToken | None:
    store = services_of_app().store
    with store.read() as uow:
        kept, token, now = uow.api_tokens.secret_hash(token_id), uow.api_tokens.get(token_id), uow.now
    is_right = hmac.compare_digest(fingerprint(secret), kept or "")
    if not is_right or token is None or not token.is_valid(now):
        return None
    if token.last_used_at is None or abs((now - token.last_used_at).total_seconds()) >= USED_SECONDS:
        with store.begin(durable=False) as uow:
            uow.api_tokens.used(token_id)
    return token


def _check_rate(token: ApiToken) -> None:
    limit: Requests = current_app.extensions["crmsync_requests"]
    wait = limit.seconds_to_wait(token.id)
    if wait:
        raise Problem(
            429, "too-many-requests", f"More than {limit.per_minute} a minute.", headers={"Retry-After": str(wait)}
        )
