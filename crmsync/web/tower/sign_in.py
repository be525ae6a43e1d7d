"""Signing in to the control tower with name and password, by a link that works once, and signing out."""

from __future__ import annotations

import logging

from flask import Blueprint, Response, current_app, flash, make_response, redirect, render_template, request, url_for
from flask.blueprints import BlueprintSetupState
from werkzeug.wrappers import Response as BaseResponse

from crmsync.domain import passwords
from crmsync.errors import StoreUnavailableError
from crmsync.passwords import TOWER_USER
from crmsync.web import access
from crmsync.web.attempts import Attempts, seconds_to_wait
from crmsync.web.context import services_of_app

logger = logging.getLogger(__name__)
blueprint = Blueprint("sign_in", __name__)

FORM_BYTES_MAX = 8_192

blueprint.after_request(access.harden)


@blueprint.record_once
def _prepare(state: BlueprintSetupState) -> None:
    state.app.extensions["crmsync_attempts"] = Attempts(state.app.extensions["crmsync"].link)


def sign_in_page(*, status: int, problem: str = "", name: str = "", next_path: str = "") -> Response:
    """The form, in place of the page that was asked for; afterwards that is shown."""
    page = render_template(
        "tower/sign_in.html",
        csrf=access.form_token(),
        problem=problem,
        name=name,
        next_path=next_path,
        oidc=services_of_app().settings.oidc,
        waiting_count=None,
        now=services_of_app().store.clock(),
    )
    return make_response(page, status)


@blueprint.get("/sign-in")
def page() -> Response:
    return sign_in_page(status=200)


@blueprint.post("/sign-in")
def sign_in() -> BaseResponse:
    request.max_content_length = FORM_BYTES_MAX
    name, password = request.form.get("name", "").strip().lower()[:100], request.form.get("password", "")
    next_path = inside(request.form.get("next", ""))
    if not access.has_form_token():
        problem = "This form has expired. Sign in again."
        return sign_in_page(status=403, problem=problem, name=name, next_path=next_path)
    if services_of_app().settings.oidc.only:
        return sign_in_page(status=403, problem="No password opens the control tower here.", next_path=next_path)
    address = access.client_address()
    attempts: Attempts = current_app.extensions["crmsync_attempts"]
    if not attempts.allow(name, address):
        return _too_often(name, next_path)
    proof = _proof(name, password)
    if not proof:
        logger.warning("wrong name or password", extra={"action": "sign_in_refused", "client": address})
        return sign_in_page(status=401, problem="Name or password is wrong.", name=name, next_path=next_path)
    attempts.forget(name)
    logger.info("signed in", extra={"action": "signed_in", "by": name})
    with_cookie = access.sign_in(name, proof)
    return with_cookie(make_response(redirect(next_path or url_for("tower.overview"), 303)))


@blueprint.get("/sign-in/<key>")
def by_link(key: str) -> BaseResponse:
    """A link that `crmsync demo` prints: good for a few minutes, and once."""
    with services_of_app().store.begin() as uow:
        name = uow.sessions.take_link(key)
        proof = access.proof_of(uow, name) if name else ""
    if name is None or not proof:
        return sign_in_page(
            status=401, problem="This link has already been used, or has expired. Sign in with a password."
        )
    return access.sign_in(name, proof)(make_response(redirect(url_for("tower.overview"), 303)))


@blueprint.post("/sign-out")
def sign_out() -> BaseResponse:
    if not access.has_form_token():
        return redirect(url_for("tower.overview"), 303)
    response = access.sign_out(make_response(redirect(url_for("sign_in.page"), 303)))
    flash("You are signed out.", "done")
    return response


@blueprint.errorhandler(StoreUnavailableError)
def _no_store(_: StoreUnavailableError) -> Response:
    return sign_in_page(status=503, problem="The database does not answer. Try again in a moment.")


def _proof(name: str, password: str) -> str:
    """What a session is opened with, or "" where name or password is wrong: the same work for every name.

    It is read before the hash, so that a password that is changed meanwhile leaves no session of the one before.
    """
    with services_of_app().store.read() as uow:
        proof = access.proof_of(uow, name) if name.isprintable() else ""  # a database may refuse the others
        kept = uow.users.password_hash(name) if name.isprintable() else None
    is_built_in = access.is_built_in(current_app, name, password)
    is_right = passwords.is_right(password, kept) or (is_built_in and name == TOWER_USER)
    return proof if is_right else ""


def _too_often(name: str, next_path: str) -> Response:
    wait = seconds_to_wait()
    logger.warning("too many attempts to sign in", extra={"action": "sign_in_limited"})
    problem = f"Too many attempts. Try again in {-(-wait // 60)} minutes."
    response = sign_in_page(status=429, problem=problem, name=name, next_path=next_path)
    response.headers["Retry-After"] = str(wait)
    return response


def inside(path: str) -> str:
    """*path* if it leads to a page of ours, else "": nobody is sent elsewhere after signing in."""
    root = request.script_root
    is_ours = path.startswith(f"{root}/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if is_ours else ""
