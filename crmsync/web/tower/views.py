"""The pages: each renders one read model; an action is a form, ends in 303, and says what it did."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

from flask import (
    Blueprint,
    Response,
    abort,
    flash,
    g,
    jsonify,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from crmsync.company import Company
from crmsync.domain import customer_numbers
from crmsync.domain.access import Role
from crmsync.domain.approvals import Approval, ApprovalError
from crmsync.domain.audit import Act, Origin
from crmsync.domain.dead_letters import DeadLetter, LetterStatus
from crmsync.domain.finding import WHERE
from crmsync.domain.runs import RunStatus
from crmsync.errors import CrmsyncError, StoreUnavailableError
from crmsync.flows import inventory
from crmsync.reading.alerts import all_alerts
from crmsync.reading.flows import background, flow_names, subject_of
from crmsync.reading.letters import takes_link, waiting_letters
from crmsync.reading.overview import SOURCES_SHOWN, has_several
from crmsync.reading.overview import overview as read_overview
from crmsync.reading.run import whole_run
from crmsync.reading.runs import RunList, found_runs, newest_runs, place_of, text_of
from crmsync.reading.stock import stock_known, stock_lines
from crmsync.settings import Settings
from crmsync.store import UnitOfWork
from crmsync.web import access
from crmsync.web.context import refusals_of_app, services_of_app
from crmsync.web.tower import words
from crmsync.web.tower.answers import (
    AnswerError,
    read_answers,
    read_reason,
    require_confirmation,
    require_same,
    told,
)
from crmsync.web.tower.sign_in import sign_in_page
from crmsync.worker import approvals, dead_letters
from crmsync.worker.dead_letters import NotWaitingError, linkable
from crmsync.worker.flow import FLOWS

logger = logging.getLogger(__name__)
blueprint = Blueprint("tower", __name__)

FORM_BYTES_MAX = 65_536  # the server cuts a body that is too large, and a form that was cut says something else
LATE_SECONDS = 60.0  # a run that is due for longer than this has no worker, or too few


@blueprint.record_once
def _prepare(state: BlueprintSetupState) -> None:
    settings: Settings = state.app.extensions["crmsync"].settings
    access.guard(state.app, settings)
    for function in words.FILTERS:
        state.app.add_template_filter(function)
    state.app.add_template_filter(subject_of, "subject")
    state.app.add_template_filter(told)
    state.app.add_template_filter(Role, "role")
    state.app.add_template_filter(takes_link)
    state.app.add_template_filter(settings.pasteable, "pasteable")


@blueprint.before_request
def _admit() -> Response | None:
    caller = access.caller_of_page()
    if caller is None:
        return _ask_who()
    if not caller.may(Role.OPERATOR if request.method == "POST" else Role.VIEWER):
        abort(403, f"You are a {caller.role}: you can see everything, but not decide.")
    g.caller, g.tenant, g.filter = caller, caller.tenant, ""
    if "\0" in request.path + "".join(request.args.values()):
        abort(400, "A URL must not contain a null character.")  # PostgreSQL takes none
    if asked := request.args.get("tenant", "").strip()[:40]:
        if not caller.sees(asked):
            abort(404, "There is no company of this name.")
        g.tenant = g.filter = asked
    request.max_content_length = FORM_BYTES_MAX
    if request.method == "POST" and not access.has_form_token():
        abort(403, "This form has expired. Go back, reload the page and try again.")
    return None


@blueprint.url_defaults
def _keep_filter(endpoint: str, values: dict[str, Any]) -> None:
    """A page of one company keeps that company in every link and every button."""
    if g.get("filter"):
        values.setdefault("tenant", g.filter)


def _ask_who() -> Response:
    """A program by HTTP's own way; a person with a form, and then the page that was asked for."""
    if not access.is_browser():
        return access.ask_for_password()
    is_page = request.method == "GET" and len(request.full_path) < 1000
    asked = f"{request.script_root}{request.full_path}".removesuffix("?") if is_page else ""
    return sign_in_page(status=401, next_path=asked)


blueprint.after_request(access.harden)


@blueprint.get("/")
def overview() -> str:
    refusals_of_app().flush()  # what this process has refused shall be on the page
    with _reading() as uow:
        return _page("overview", uow, overview=read_overview(uow, g.tenant))


@blueprint.get("/runs")
def runs() -> str:
    status, text = request.args.get("status", ""), request.args.get("text", "").strip()[:100]
    flow, everything = request.args.get("flow", ""), bool(request.args.get("everything"))
    if status not in set(RunStatus):
        status = ""
    if flow not in FLOWS:
        flow = ""
    with _reading() as uow:
        chosen = {"status": status, "flow": flow}
        found = found_runs(uow, g.tenant, text, everything=everything, **chosen) if text else []
        hidden, after = () if flow else background(), place_of(request.args.get("after", ""))
        newest = (
            RunList(()) if text else newest_runs(uow, g.tenant, status=status, flow=flow, without=hidden, after=after)
        )
        rows, whats = newest.rows or [each.run for each in found], {each.run.id: each.what for each in found}
        return _page(
            "runs",
            uow,
            runs=rows,
            whats=whats,
            text=text,
            where=WHERE,
            everything=everything,
            after=after,
            next_place=text_of(newest.next_place),
            **chosen,
            statuses=list(RunStatus),
            flows=flow_names(),
        )


@blueprint.get("/api/find")
def find() -> Response:
    """The same search for programs: `?text=INV-000001`, and `&everything=1` to search more than the newest."""
    text, everything = request.args.get("text", "").strip()[:100], bool(request.args.get("everything"))
    with _reading() as uow:
        found = [words.found_json(each) for each in found_runs(uow, g.tenant, text, everything=everything)]
    return jsonify(text=text, found=found, looked_at=WHERE)


@blueprint.get("/runs/<run_id>")
def run(run_id: str) -> str:
    with _reading() as uow:
        found = whole_run(uow, g.tenant, run_id)
        if found is None:
            abort(404, "There is no run with this id.")
        is_for_them = found.letter is not None and g.caller.may(Role.OPERATOR)  # it may hold personal data
        words = services_of_app().words_of(uow, found.letter.letter.id) if found.letter and is_for_them else ""
        return _page("run", uow, page=found, words=words)


@blueprint.get("/dead-letters")
def letters() -> str:
    with _reading() as uow:
        page = waiting_letters(uow, g.tenant)
        links = {row.letter.id: linkable(_company_of(row.letter)) for row in page.rows}
        return _page("letters", uow, page=page, links=links, number_pattern=customer_numbers.PATTERN)


@blueprint.get("/stock")
def stock() -> str:
    text = request.args.get("text", "").strip()[:100]
    with _reading() as uow:
        found = stock_known(uow, g.tenant, text=text)
        if has_several(uow, g.tenant):
            found = replace(found, lines=stock_lines(uow, g.tenant, limit=SOURCES_SHOWN))
        return _page("stock", uow, page=found, text=text, threshold=_threshold())


@blueprint.get("/alerts")
def alerts() -> str:
    slack = services_of_app().settings.slack
    with _reading() as uow:
        return _page("alerts", uow, page=all_alerts(uow, g.tenant), slack_is_on=slack.is_on)


@blueprint.post("/dead-letters/<int(max=2147483647):letter_id>/replay")
def replay(letter_id: int) -> BaseResponse:
    _require_own(letter_id)
    answers = read_answers(request.form, dead_letters.company_of_letter(services_of_app(), letter_id))
    reason = read_reason(request.form, needed_for="This answer" if answers.needs_reason else "")
    _require_same(letter_id)
    letter = dead_letters.replay(services_of_app(), letter_id, answers, by=_act(reason))
    if isinstance(letter, Approval):
        return _proposed(letter)
    return _done(letter, f"is replayed, from step “{words.label(letter.step)}” on; what is done is not repeated.")


@blueprint.post("/dead-letters/<int(max=2147483647):letter_id>/discard")
def discard(letter_id: int) -> BaseResponse:
    _require_own(letter_id)
    require_confirmation(request.form)
    reason = read_reason(request.form, needed_for="To discard")
    _require_same(letter_id)
    letter = dead_letters.discard(services_of_app(), letter_id, by=_act(reason))
    if isinstance(letter, Approval):
        return _proposed(letter)
    return _done(letter, "was discarded; its run will not go on, and a deal that was done stays done.")


@blueprint.post("/approvals/<int(max=2147483647):approval_id>/approve")
def approve(approval_id: int) -> BaseResponse:
    _require_own_approval(approval_id)
    done = approvals.approve(services_of_app(), approval_id, by=_act(read_reason(request.form)))
    flash(f"The {done.decision.value} of dead letter {done.letter_id} is confirmed, and done.", "done")
    return redirect(url_for("tower.letters"), 303)


@blueprint.post("/approvals/<int(max=2147483647):approval_id>/reject")
def reject(approval_id: int) -> BaseResponse:
    _require_own_approval(approval_id)
    with services_of_app().store.begin() as uow:
        done = approvals.reject(uow, approval_id, by=_act(read_reason(request.form)))
    flash(f"The {done.decision.value} of dead letter {done.letter_id} is rejected; it waits on.", "done")
    return redirect(url_for("tower.letters"), 303)


def _proposed(made: Approval) -> BaseResponse:
    text = (
        f"Dead letter {made.letter_id} needs two people: the {made.decision.value} is proposed, and waits for another."
    )
    flash(text, "done")
    return redirect(url_for("tower.letters"), 303)


def _letter(letter_id: int) -> DeadLetter | None:
    with _reading() as uow:
        return uow.dead_letters.get(letter_id)


def _company_of(letter: DeadLetter) -> Company:
    """Whose customers an answer may name."""
    flow, services = FLOWS.get(letter.flow), services_of_app()
    if flow is None:
        return services.company()
    return services.companies.of(letter.tenant, flow.bound_as, flow.subject_role, letter.source)


def _threshold() -> Decimal | None:
    """At and below which a product is low; None where companies that are seen differ."""
    companies = services_of_app().companies.all(inventory.FLOW.bound_as)
    seen = {each.options.low_stock_threshold for each in companies if g.tenant in (None, each.tenant)}
    own = seen or {services_of_app().company().options.low_stock_threshold}
    return own.pop() if len(own) == 1 else None


def _require_own(letter_id: int) -> None:
    """What is another company's is answered as what does not exist."""
    if g.tenant is not None:
        letter = _letter(letter_id)
        if letter is None or letter.tenant != g.tenant:
            abort(404, "There is no dead letter of this number.")


def _require_own_approval(approval_id: int) -> None:
    if g.tenant is not None:
        with _reading() as uow:
            approval = uow.approvals.get(approval_id)
        _require_own(approval.letter_id if approval else 0)


def _require_same(letter_id: int) -> None:
    """Raises: AnswerError where a letter that waits asks something else than the page that was filled in."""
    letter = _letter(letter_id)
    if letter is not None and letter.status is LetterStatus.WAITING:
        require_same(request.form, letter)


def _done(letter: DeadLetter, what: str) -> BaseResponse:
    logger.info("dead letter %s %s", letter.id, what, extra={"action": "tower", "by": g.caller.name})
    flash(f"Dead letter {letter.id} ({letter.title or letter.subject_key}) {what}", "done")
    return redirect(url_for("tower.letters"), 303)


def _act(reason: str) -> Act:
    return Act(g.caller.name, Origin.TOWER, reason, behind=g.caller.person)


@blueprint.errorhandler(NotWaitingError)
@blueprint.errorhandler(ApprovalError)
@blueprint.errorhandler(AnswerError)
def _not_done(error: CrmsyncError) -> BaseResponse:
    flash(f"{error} {error.advice or ''}".strip(), "failed")
    return redirect(url_for("tower.letters"), 303)


@blueprint.errorhandler(StoreUnavailableError)
def _no_store(_: StoreUnavailableError) -> tuple[str, int]:
    return _error("The database does not answer", "Nothing is lost: webhooks are refused for now and sent again."), 503


@blueprint.errorhandler(HTTPException)
def _refused(error: HTTPException) -> tuple[str, int]:
    return _error(error.name, error.description or ""), error.code or 500


def _error(title: str, text: str) -> str:
    return render_template(
        "tower/error.html",
        title=title,
        text=text,
        waiting_count=None,
        now=services_of_app().store.clock(),
        csrf=access.form_token(),
    )


def _page(name: str, uow: UnitOfWork, **model: Any) -> str:
    waiting = uow.dead_letters.waiting_count(g.tenant)
    return render_template(
        f"tower/{name}.html",
        now=uow.now,
        waiting_count=waiting,
        late_seconds=LATE_SECONDS,
        sources_shown=SOURCES_SHOWN,
        tenants=uow.owners.tenants() if g.caller.tenant is None else [],
        csrf=access.form_token(),
        tenant_of=uow.owners.tenant_of,
        connection_name=partial(words.connection_name, uow.owners),
        **model,
    )


def _reading() -> AbstractContextManager[UnitOfWork]:
    return services_of_app().store.read()
