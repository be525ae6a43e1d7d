"""The part of `crmsync doctor` that sends a signed test message to each webhook endpoint of the running receiver."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from crmsync import declared, subscriptions
from crmsync.cli.check_systems import called, stored
from crmsync.cli.finding import Finding, failed, not_checked
from crmsync.connectors.doors import Door, Knock, Shut
from crmsync.connectors.system import System
from crmsync.domain.bindings import NEEDS
from crmsync.domain.subscriptions import Subscription, SubscriptionStatus
from crmsync.errors import CertificateError, CrmsyncError
from crmsync.settings import Settings

if TYPE_CHECKING:
    from crmsync.domain.connections import Connection
    from crmsync.services import Services

AREA = "Doors"
SECONDS = 10.0

_OTHER_STORE = "it works with another database than this process. Give both the same DATABASE_URL, and restart it."
_OTHER_KEY = "its database does not answer, or it has another CRMSYNC_SECRET_KEY than this process. Set the same."
_LET_IN = "a signed test message was accepted; it started nothing"


@dataclass(frozen=True, slots=True)
class Reply:
    """What answered: *status* is 0 where nobody did, and *error* says why."""

    status: int
    body: Any = None
    error: CrmsyncError | None = None


@dataclass(frozen=True, slots=True)
class At:
    """A knock, and the path at which it is done; *of* is the stored connection that it is of, None: the environment's.

    *area* is what its line is about.
    """

    path: str
    knock: Knock
    area: str = AREA
    of: System | None = None

    @property
    def variable(self) -> str:
        """Where people set the secret."""
        return _in_its_words(self.knock.variable, self.of)

    @property
    def organization_variable(self) -> str:
        return _in_its_words(self.knock.organization_variable, self.of)

    @property
    def address(self) -> str:
        return f"{self.path}?{self.knock.query}" if self.knock.query else self.path


def all_of(settings: Settings, services: Services | None = None) -> Iterator[Finding]:
    """Those of the environment's connections and, where the store can be used, of all that people have made."""
    made = stored(services) if services is not None else []
    found = [*_of_environment(settings, is_all_stored=bool(made) and not settings.systems)]
    if services is not None:
        found += _of_connections(services, made)
    yield from _tried(settings, found)


def of_connections(services: Services, chosen: Sequence[Connection]) -> Iterator[Finding]:
    """Those of *chosen* connections that people have made, each with its own secrets."""
    yield from _tried(services.settings, _of_connections(services, chosen))


def _tried(settings: Settings, found: Iterable[At | Finding]) -> Iterator[Finding]:
    knocks: list[At] = []
    for each in found:
        if isinstance(each, At):
            knocks.append(each)
        else:
            yield each
    if knocks:
        yield from _knocked(settings, knocks)


# -- of the environment


def _of_environment(settings: Settings, *, is_all_stored: bool) -> Iterator[At | Finding]:
    from crmsync.company import default_roles
    from crmsync.connectors import registry

    usual = registry.in_use(settings, default_roles(settings.systems).values())
    with_doors = [system for name in usual if (system := registry.system(name)).doors]
    configured = [system for system in with_doors if system.name in settings.systems]
    if not configured and not is_all_stored:
        titles = [system.title for system in with_doors]
        yield not_checked(AREA, "all doors", f"neither {' nor '.join(titles)} is configured")
    for system in configured:
        yield from _at_the_doors(system, settings.systems[system.name])


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


# -- of connections that people have made


def _of_connections(services: Services, chosen: Sequence[Connection]) -> Iterator[At | Finding]:
    """One that is paused is left alone, as its system is."""
    with services.store.read() as uow:
        known = [each for each in uow.subscriptions.all(None) if each.status is SubscriptionStatus.ACTIVE]
    for each in chosen:
        if each.why_not_now:
            continue
        own = [webhook for webhook in known if webhook.connection == each.id]
        try:
            yield from _of_connection(services, each, own)
        except CrmsyncError as error:
            yield failed(called(each), "doors", error)


def _of_connection(services: Services, of: Connection, webhooks: Sequence[Subscription]) -> Iterator[At | Finding]:
    """Its own doors, and those that people have given an address and a secret of its own.

    Raises: ProcessFaultError where its secrets do not open.
    """
    known = services.book.get(of.id)
    for door in known.system.doors:
        path, is_elsewhere = f"/hooks/{of.id}/{door.name}", any(each.door == door.name for each in webhooks)
        for found in door.code().knocks(known.settings, services.store.clock()):
            if isinstance(found, Knock):
                yield At(path, found, called(of), known.system)
            elif not (found.is_fault and is_elsewhere):
                yield _shut_of(services, of, door, known.system, found)
    for webhook in webhooks:
        _, door, settings = subscriptions.opening(services, webhook.id)
        path = subscriptions.address_of(webhook, "")
        for found in door.code().knocks(settings, services.store.clock()):
            if isinstance(found, Knock):
                yield At(path, replace(found, name=f"{found.name} ({webhook.id})"), called(of), known.system)


def _shut_of(services: Services, of: Connection, door: Door, system: System, found: Shut) -> Finding:
    """A door that is shut is a fault where a company waits for what it announces."""
    name, why = found.name or f"door {door.name}", _in_its_words(found.why, system)
    if found.is_fault and _is_waited_for(services, of, door.announces):
        return Finding(called(of), name, False, why)
    return not_checked(called(of), name, why)


def _is_waited_for(services: Services, of: Connection, role: str) -> bool:
    flows = [flow for flow, roles in NEEDS.items() if roles[0] == role]
    return any(services.companies.named(flow, role, source=of.id) for flow in flows)


def _in_its_words(text: str, of: System | None) -> str:
    """The settings of a connection that people have made have no variables."""
    return text if of is None else declared.by_name(text, of.declared)


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
        yield judged(at, reply, f"{url}{at.path}")


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


def judged(at: At, reply: Reply, place: str) -> Finding:
    """What the answer to a knock means."""
    told = reply.body if isinstance(reply.body, dict) else {}
    if reply.status == 200 and told.get("status") == "probe":
        return Finding(at.area, at.knock.name, True, _LET_IN)
    if reply.status == 400 and told.get("error") == "MalformedWebhookError":
        release = "the proof was accepted, by a receiver of another release"
        return Finding(at.area, at.knock.name, True, release, is_note=True)
    return Finding(at.area, at.knock.name, False, _problem(at, reply, told, place))


def _problem(at: At, reply: Reply, told: Mapping[str, Any], place: str) -> str:
    if not reply.status:
        return f"{reply.error} ({place})"
    if told.get("reason") == "organization":
        return f"the receiver at {place} runs with another {at.organization_variable} than the one that is set here"
    if reply.status == 401 and told.get("reason"):
        cause = "it runs with another secret. Set the same, and restart it." if at.of is None else _OTHER_STORE
        return (
            f"the receiver at {place} refuses the proof that is made with {at.variable} as it is set here "
            f"(“{told.get('message')}”): {cause}"
        )
    if at.of is not None and told.get("error") == "NoDoorError":
        return f"the receiver at {place} does not know this connection: {_OTHER_STORE}"
    if at.of is not None and told.get("error") == "NotStoredError":
        return f"the receiver at {place} can't open this door: {_OTHER_KEY}"
    if 300 <= reply.status < 400:
        return f"{place} leads elsewhere (HTTP {reply.status}), and senders do not follow: correct CRMSYNC_DOORS_URL"
    if told.get("error"):
        return f"the receiver at {place} answered with {reply.status}: {told.get('message')}"
    return (
        f"what answers at {place} is not the receiver (HTTP {reply.status}): look at PORT, or at the proxy and "
        "CRMSYNC_DOORS_URL"
    )
