"""Starts a run within a write of the API, as its webhook or the schedule would."""

from __future__ import annotations

from functools import partial

from crmsync import log
from crmsync.company import Company
from crmsync.connectors.registry import full_key
from crmsync.domain.runs import Run
from crmsync.web.api.effects import Effect
from crmsync.web.api.problems import invalid
from crmsync.web.context import services_of_app
from crmsync.worker import starting
from crmsync.worker.flow import Flow


def start(effect: Effect, flow: Flow, company: Company, subject: str, **noted: str) -> Run:
    """The run of *subject*; its message is sent once the write is committed. *noted* goes into the audit as well."""
    behaviour = services_of_app().settings.behaviour
    opened = starting.start(
        effect.uow,
        flow,
        company,
        subject,
        correlation_id=log.new_correlation_id(),
        queued_for=behaviour.queued_for,
        pause=behaviour.look_again,
    )
    run = flow.run_of(effect.uow, company, subject)
    assert run is not None  # it was opened above  # noqa: S101
    after = {"flow": flow.name, "subject_key": subject, **noted}
    effect.uow.audit.add(effect.act, "run.start", "run", run.id, tenant=run.tenant, after=after)
    effect.afterwards.append(partial(starting.enqueue, flow, opened))
    return run


def subject_of(flow: Flow, key: str, *, has_one_run: bool) -> str:
    """Raises: Problem where the flow needs one and there is none, or the other way round."""
    if has_one_run:
        if key not in ("", flow.name):
            raise invalid("This flow has one run.", subject_key="must be empty")
        return flow.name
    if not key:
        raise invalid("This flow needs a subject.", subject_key=f"is missing: the id of the {flow.subject}")
    return full_key(key)
