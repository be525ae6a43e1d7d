"""The part of `crmsync doctor` that sends a signed test message to each webhook endpoint of the running receiver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from crmsync.cli.finding import Finding, not_checked
from crmsync.connectors.doors import Door, Knock, Shut
from crmsync.connectors.system import System
from crmsync.errors import CertificateError, CrmsyncError
from crmsync.settings import Settings

AREA = "Doors"
SECONDS = 10.0

_LET_IN = "a signed test message was accepted; it started nothing"


@dataclass(frozen=True, slots=True)
class Reply:
    """What answered: *status* is 0 where nobody did, and *error* says why."""

    status: int
    body: Any = None
    error: CrmsyncError | None = None


@dataclass(frozen=True, slots=True)
class At:
    """A knock, and the path at which it is done."""

    path: str
    knock: Knock

    @property
    def address(self) -> str:
        return f"{self.path}?{self.knock.query}" if self.knock.query else self.path


def all_of(settings: Settings) -> Iterator[Finding]:
    from crmsync.company import default_roles
    from crmsync.connectors import registry

    usual = registry.in_use(settings, default_roles(settings.systems).values())
    with_doors = [system for name in usual if (system := registry.system(name)).doors]
    configured = [system for system in with_doors if system.name in settings.systems]
    if not configured:
        titles = [system.title for system in with_doors]
        yield not_checked(AREA, "all doors", f"neither {' nor '.join(titles)} is configured")
    knocks: list[At] = []
    for system in configured:
        for found in _at_the_doors(system, settings.systems[system.name]):
            if isinstance(found, At):
                knocks.append(found)
            else:
                yield found
    if knocks:
        yield from _knocked(settings, knocks)


def _at_the_doors(system: System, own: Any) -> Iterator[At | Finding]:
    """How each door of a system is knocked at, and what is so of those that are shut."""
    secrets = [getattr(own, each.name) for each in system.declared if each.is_of_a_door]
    for door in system.doors:
        if any(secret is not None and secret.is_withheld for secret in secrets):
            what = "its secrets are withheld from this process; run `crmsync doctor` where the receiver runs as well"
            yield not_checked(AREA, door.path, what)
            continue
        for found in door.code().knocks(own, datetime.now(UTC)):
            yield At(door.path, found) if isinstance(found, Knock) else _shut(door, found)


def _shut(door: Door, found: Shut) -> Finding:
    name = found.name or door.path
    return Finding(AREA, name, False, found.why) if found.is_fault else not_checked(AREA, name, found.why)


# -- knocking


def _knocked(settings: Settings, knocks: list[At]) -> Iterator[Finding]:
    """At the address that senders use, where it is known; else at this machine's own."""
    from crmsync.cli.processes import local_url

    here, outside = local_url(settings), settings.receiver_url
    url = outside or here
    first = _ask(url, knocks[0], is_here=not outside)
    if not first.status:
        yield _nobody(
            url, here, first.error, is_running=bool(outside) and _ask(here, knocks[0], is_here=True).status > 0
        )
        return
    for at in knocks:
        reply = first if at is knocks[0] else _ask(url, at, is_here=not outside)
        yield judged(at.knock, reply, f"{url}{at.path}")


def _nobody(url: str, here: str, error: CrmsyncError | None, *, is_running: bool) -> Finding:
    if is_running:
        what = f"the receiver answers at {here}, but not at {url}, where its senders go: {error}"
        return Finding(AREA, "from outside", False, what)
    if isinstance(error, CertificateError):
        return Finding(AREA, "from outside", False, f"{error} ({url})")
    return not_checked(AREA, "all doors", f"nothing answers at {url}; start crmsync, then run this again")


def _ask(url: str, at: At, *, is_here: bool) -> Reply:
    from crmsync.connectors.way_out.transport import exchange, new_session

    try:
        with exchange("The receiver", "probe", seconds=SECONDS):
            session = new_session(is_direct=is_here)
            answer = session.post(f"{url}{at.address}", data=at.knock.body, headers=dict(at.knock.headers))
    except CrmsyncError as error:
        return Reply(0, error=error)
    try:
        return Reply(answer.status_code, answer.json())
    except ValueError:
        return Reply(answer.status_code)


def judged(knock: Knock, reply: Reply, place: str) -> Finding:
    """What the answer to *knock* means."""
    told = reply.body if isinstance(reply.body, dict) else {}
    if reply.status == 200 and told.get("status") == "probe":
        return Finding(AREA, knock.name, True, _LET_IN)
    if reply.status == 400 and told.get("error") == "MalformedWebhookError":
        return Finding(AREA, knock.name, True, "the proof was accepted, by a receiver of another release", is_note=True)
    return Finding(AREA, knock.name, False, _problem(knock, reply, told, place))


def _problem(knock: Knock, reply: Reply, told: Mapping[str, Any], place: str) -> str:
    if not reply.status:
        return f"{reply.error} ({place})"
    if told.get("reason") == "organization":
        return f"the receiver at {place} runs with another {knock.organization_variable} than the one that is set here"
    if reply.status == 401 and told.get("reason"):
        return (
            f"the receiver at {place} refuses the proof that is made with {knock.variable} as it is set here "
            f"(“{told.get('message')}”): it runs with another secret. Set the same, and restart it."
        )
    if 300 <= reply.status < 400:
        return f"{place} leads elsewhere (HTTP {reply.status}), and senders do not follow: correct CRMSYNC_DOORS_URL"
    if told.get("error"):
        return f"the receiver at {place} answered with {reply.status}: {told.get('message')}"
    return (
        f"what answers at {place} is not the receiver (HTTP {reply.status}): look at PORT, or at the proxy and "
        "CRMSYNC_DOORS_URL"
    )
