"""Signing in to the control tower by an identity provider: there, and back again once."""

from __future__ import annotations

import hmac
import json
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from flask import Blueprint, Response, current_app, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from crmsync import people
from crmsync.domain.sign_on import identity_of, name_of, read_grants
from crmsync.errors import CrmsyncError
from crmsync.settings import OidcSettings
from crmsync.web import access
from crmsync.web.attempts import Attempts
from crmsync.web.context import services_of_app
from crmsync.web.tower.sign_in import inside, sign_in_page

if TYPE_CHECKING:
    from crmsync.identity_provider import Begun, IdentityProvider

logger = logging.getLogger(__name__)
blueprint = Blueprint("sign_on", __name__)
blueprint.after_request(access.harden)

COOKIE = "crmsync_sign_on"
SECONDS = 600  # in which a person has to come back
_SEAL = "sign-on"
_FAILED = "The identity provider has not signed you in. Try again."


@blueprint.get("/sign-in/oidc")
def begin() -> BaseResponse:
    """Send the browser to the provider; what it has to bring back is sealed in a cookie of its own."""
    if not _settings().is_on:
        return sign_in_page(status=404, problem="No identity provider is configured.")
    if not _allows():
        return _refused("too many attempts", status=429, problem="Too many attempts. Try again in a few minutes.")
    try:
        begun = _provider().begin(_redirect_uri())
    except CrmsyncError as error:
        return _refused(str(error), status=503, problem="The identity provider does not answer.")
    kept = {**asdict(begun), "url": "", "next": inside(request.args.get("next", "")), "until": _now() + SECONDS}
    response = make_response(redirect(begun.url, 303))
    sealed = services_of_app().vault.seal_for(json.dumps(kept), _SEAL)
    # Lax: the browser comes back from another site, and a strict cookie would stay behind.
    response.set_cookie(COOKIE, sealed, max_age=SECONDS, **_of_cookie())
    return response


@blueprint.get("/sign-in/oidc/callback")
def callback() -> BaseResponse:
    """The browser is back: who is it, and as what may they come in?"""
    response = _called_back() if _settings().is_on else sign_in_page(status=404)
    response.delete_cookie(COOKIE, **_of_cookie())
    return response


def _called_back() -> Response:
    begun, next_path = _begun()
    if begun is None or not hmac.compare_digest(request.args.get("state", "").encode(), begun.state.encode()):
        return _refused("a state that is not this browser's")
    if not _allows() or not _is_first(begun.state):
        return _refused("a state that was used before")
    if not request.args.get("code") or request.args.get("error"):
        return _refused("the provider refused", next_path=next_path)
    try:
        code, issuer = request.args["code"], request.args.get("iss", "")
        claims = _provider().finish(begun, _redirect_uri(), code, issuer)
    except CrmsyncError as error:
        return _refused(str(error), next_path=next_path)
    return _come_in(claims, next_path)


def _come_in(claims: Any, next_path: str) -> Response:
    grant = read_grants(_settings().roles).of(claims)
    if grant is None:
        return _refused("nobody has given them a role", status=403, problem="You have no role here: ask an admin.")
    identity = identity_of(claims["iss"], claims["sub"])
    try:
        with services_of_app().store.begin() as uow:
            user = people.signed_on(uow, identity, name_of(claims, identity), role=grant.role, tenant=grant.tenant)
            proof = access.proof_of(uow, user.name)
    except people.PeopleError as error:
        return _refused(str(error), status=403, problem=str(error))
    logger.info("signed in", extra={"action": "signed_in", "by": user.name})
    current_app.extensions["crmsync_attempts"].forget(_of_address())
    # A page that goes on by itself: after a redirect from another site the browser would keep the strict cookie back.
    page = make_response(render_template("tower/signed_on.html", next_path=next_path or url_for("tower.overview")))
    return access.sign_in(user.name, proof)(page)


def _begun() -> tuple[Begun | None, str]:
    """What this browser was sent away with, and where it wanted to go; None where that is over, or not ours."""
    from crmsync.identity_provider import Begun

    opened = services_of_app().vault.open_for(request.cookies.get(COOKIE, ""), _SEAL)
    kept = json.loads(opened) if opened else {}
    if kept.pop("until", 0) < _now():
        return None, ""
    next_path = kept.pop("next")
    return Begun(**kept), next_path


def _now() -> float:
    return services_of_app().store.clock().timestamp()


def _is_first(state: str) -> bool:
    with services_of_app().store.begin() as uow:
        return uow.sessions.use_once(state)


def _allows() -> bool:
    attempts: Attempts = current_app.extensions["crmsync_attempts"]
    return attempts.allow(_of_address(), access.client_address())


def _of_address() -> str:
    return f"{_SEAL} {access.client_address()}"


def _refused(why: str, *, status: int = 401, problem: str = _FAILED, next_path: str = "") -> Response:
    logger.warning("not signed in by the identity provider: %s", why, extra={"action": "sign_on_refused"})
    return sign_in_page(status=status, problem=problem, next_path=next_path)


def _of_cookie() -> dict[str, Any]:
    path = f"{request.script_root}/sign-in"
    return {"path": path, "secure": access.is_https(), "httponly": True, "samesite": "Lax"}


def _redirect_uri() -> str:
    """Never by what the request calls this host: that is anybody's word."""
    return f"{services_of_app().settings.tower_url}/sign-in/oidc/callback"


def _settings() -> OidcSettings:
    return services_of_app().settings.oidc


def _provider() -> IdentityProvider:
    """Made with the first sign-in of this process."""
    from crmsync.identity_provider import IdentityProvider

    made = current_app.extensions.setdefault("crmsync_identity_provider", IdentityProvider(_settings()))
    return cast("IdentityProvider", made)
