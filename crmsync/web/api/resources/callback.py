"""The page on which the browser comes back from the consent page of a system, with a code or a reason.

Whoever comes has no token, so it acts only on a state that is known, not used yet and not too old.
"""

from __future__ import annotations

import threading
import time

from flask import Blueprint, Response, render_template, request

from crmsync import consents as verbs
from crmsync.domain.consents import ConsentRefusedError, ConsentRequest, ConsentStatus
from crmsync.errors import ConfigurationError, CrmsyncError, ProcessFaultError
from crmsync.services import Services
from crmsync.web.api.endpoints import PREFIX
from crmsync.web.context import services_of_app
from crmsync.worker import consents as work

blueprint = Blueprint("callback", __name__, url_prefix=PREFIX)

WAIT_SECONDS = 15.0  # for the worker: a person looks at a page that loads
LOOK_SECONDS = 0.2
WAITING_AT_ONCE = 2  # requests of a process: each holds one of its threads
_waiting = threading.BoundedSemaphore(WAITING_AT_ONCE)


@blueprint.get("/oauth/callback")
def callback() -> Response:
    """The browser comes back from a system's page. A HEAD, as link previews send it, does nothing."""
    if request.method == "HEAD":
        return Response(status=204)
    using = services_of_app()
    try:
        with using.store.begin() as uow:
            returned = verbs.returned(using, uow, request.args)
        if returned.status is ConsentStatus.RETURNED:
            work.send(using, returned)
            returned = _awaited(using, returned)
    except ProcessFaultError:
        return _page("crmsync can't finish this now", "Its database or its key is not at hand. Try again later.", 503)
    except (ConsentRefusedError, ConfigurationError) as error:
        return _page("This answer is not taken", str(error.args[0]), 400)
    except CrmsyncError as error:
        return _page("This answer is not taken", error.with_advice, 409)
    return _shown(returned)


def _shown(of: ConsentRequest) -> Response:
    if of.status is ConsentStatus.DONE:
        return _page("crmsync is connected", f"{of.message} You may close this page.", 200, of)
    if of.status is ConsentStatus.FAILED:
        return _page("crmsync is not connected", of.message, 400, of)
    message = "Consent is given, and crmsync is still finishing the connection: look at its status in a minute."
    return _page("Almost done", message, 202, of)


def _page(title: str, message: str, status: int, of: ConsentRequest | None = None) -> Response:
    """It goes nowhere, loads nothing, and tells no other page where it was."""
    text = render_template("api/consent.html", title=title, message=message, request=of)
    return Response(text, status, {"Referrer-Policy": "no-referrer"}, content_type="text/html; charset=utf-8")


def _awaited(using: Services, asked: ConsentRequest) -> ConsentRequest:
    """What a worker makes of it, if that is soon, and not too many wait."""
    if not _waiting.acquire(blocking=False):
        return asked
    try:
        until = time.monotonic() + WAIT_SECONDS
        while True:
            with using.store.read() as uow:
                found = verbs.now(uow, asked.id)
            if found.status.is_over or time.monotonic() >= until:
                return found
            time.sleep(LOOK_SECONDS)
    finally:
        _waiting.release()
