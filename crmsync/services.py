"""The collaborators that tasks and views may use, built once per process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

from redis import Redis

from crmsync import failpoints, log
from crmsync.alerts.content import Content, account_alert, outage_alert, recovery_alert
from crmsync.broker_address import Address
from crmsync.companies import Companies, usage_of
from crmsync.company import Company, default_roles
from crmsync.connection_book import ConnectionBook, Known
from crmsync.connectors.abilities import ANY, lacking
from crmsync.connectors.base import Check, Connector, TellsAccount
from crmsync.connectors.kit.doctor import not_checked
from crmsync.connectors.limits.breaker import BreakerStore, GuardedBudget, NeverOpen, SharedBreaker
from crmsync.connectors.limits.budget import UNLIMITED, Budget
from crmsync.connectors.limits.redis_link import Link, redis_client
from crmsync.connectors.registry import connect, is_withheld, shared_budget, system, system_of
from crmsync.connectors.signing_in.auth import FreshTokens, OwnTokens, TokenStore
from crmsync.connectors.system import System, Tools
from crmsync.connectors.way_out.heard import Heard
from crmsync.domain.breaker import Breaker
from crmsync.embedded import embedded_client_url, ensure_running
from crmsync.errors import ConfigurationError, CrmsyncError, NotNowError, OtherAccountError, StoreUnavailableError
from crmsync.options import Options, options_of
from crmsync.settings import Settings
from crmsync.store import Store, UnitOfWork, schema, whereabouts
from crmsync.store.account_watch import AccountWatch
from crmsync.store.engine import utc_now
from crmsync.store.notes import KeptNotes
from crmsync.store.remembered import Remembered
from crmsync.store.standing import Standing
from crmsync.store.vault import SharedTokens, Vault
from crmsync.store.watch import BreakerWatch

if TYPE_CHECKING:
    from crmsync.alerts.messenger import Messenger

GO_LIVE = "go_live"
UNREADABLE_WORDS = "(sealed with another CRMSYNC_SECRET_KEY than this process has)"
CONFIRM_SECONDS = 30.0
_UNFIT_ADVICE = "Install a release of its package that goes with this release of crmsync, and restart every process."


class Services:
    """What a process works with. Tests hand in their own connectors and messenger."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        connectors: Callable[[str], Connector] | None = None,
        messenger: Messenger | None = None,
    ) -> None:
        self.settings = settings
        self.store = store
        self.facts = Remembered(store)
        self._messenger = messenger
        self._is_handed_in = connectors is not None
        self._connect = connectors or self._connect_configured
        self._connected: dict[str, Connector] = {}
        self._versions: dict[str, int] = {}  # of which each was made, where that is not the environment
        self.link = redis_link(settings)
        self._lock = threading.Lock()

    @classmethod
    def from_settings(cls, settings: Settings, *, check_accounts: bool = True) -> Services:
        """Open the store, bring its schema up to date, and connect nothing yet.

        Raises: ConfigurationError where the store belongs to other accounts than the environment names.
        """
        folder = settings.failpoints  # `crmsync prove` lets the clock jump
        clock = failpoints.clock(folder) if folder else utc_now
        store = Store(settings.database_url, clock=clock, pool_size=settings.behaviour.database_connections)
        try:
            schema.ensure(store)
            made = cls(settings, store)
            if check_accounts:
                made.accounts.check()
        except BaseException:
            store.close()
            raise
        return made

    def check(self) -> None:
        """What must hold before work begins. Raises: ConfigurationError, by variable."""
        self.vault  # noqa: B018 - reads or makes the key

    def go_live(self, company: Company | None = None) -> datetime:
        """Nothing from before this instant is started by catch-up: as configured, else when crmsync first ran."""
        own = (company or self.company()).options.go_live
        if own is not None:
            return own
        kept = self.facts.get(GO_LIVE)
        if kept is None:
            with self.store.begin() as uow:
                # To the whole second, as the stamps of vendors are.
                kept = uow.facts.set_once(GO_LIVE, uow.now.replace(microsecond=0).isoformat())
        return datetime.fromisoformat(kept)

    @cached_property
    def messenger(self) -> Messenger:
        """What sends alerts; processes that send none do without Slack's library."""
        if self._messenger is not None:
            return self._messenger
        from crmsync.alerts.messenger import messenger_of

        return messenger_of(self.settings.slack)

    def company(self) -> Company:
        """The company of the environment."""
        return self.companies.default

    def _options(self) -> Options:
        return options_of(self.settings.behaviour, self.settings.go_live)

    @cached_property
    def companies(self) -> Companies:
        return Companies(self.store, self, default_roles(self.settings.systems), self._options)

    def is_configured(self, connection: str) -> bool:
        """Whether there is such a connection: the environment's, or one that people have made."""
        return self.book.is_known(connection)

    def connector(self, connection: str, role: str = "") -> Connector:
        """What is asked of it is done now, for this *role*, "" for what all roles ask.

        Raises: ConfigurationError if the environment does not configure it, or it lacks something that the role needs;
        ConnectionPausedError; NotNowError, as confirm_accounts().
        """
        known = self._known(connection)
        if known is not None:
            known.connection.require_work(known.system.title)
        self.confirm_accounts(wanted=connection)
        made = self._connector(connection, known)
        if known is not None and (lacks := lacking(made, role)):
            raise ConfigurationError(_unfit(connection, role, known.system, lacks), advice=_UNFIT_ADVICE)
        return made

    def unfit(self, connection: str, role: str) -> str:
        """Why its connector can't fill *role*, without asking it anything; "" where it can, or this process can't tell.

        A process from which its credentials are withheld makes no connector of it.
        """
        if self._is_handed_in or is_withheld(connection, self.settings):
            return ""
        try:
            lacks = lacking(self.apart(connection, OwnTokens()), role)
        except ConfigurationError as error:
            return str(error)
        except CrmsyncError:  # whoever uses it says so
            return ""
        return _unfit(connection, role, self.declared(connection), lacks) if lacks else ""

    def at_hand(self, connection: str) -> Connector | None:
        """The connector, if it is there and nothing has to be asked first; None before it is first used."""
        known = None if self._unconfirmed else self._known(connection)
        if self._unconfirmed or (known is not None and known.connection.why_not_now):
            return None
        return self._as_it_is(connection, _version(known))

    def system_of(self, connection: str) -> str:
        """What people call the system of a connection, without asking it anything; its name if it isn't configured."""
        if self._is_handed_in:
            return self._connector(connection).system
        known = self._known(connection)
        return known.system.title if known is not None else connection

    def declared(self, connection: str) -> System:
        """The system of a connection. Raises: ConfigurationError for one that nobody knows."""
        known = self._known(connection)
        return known.system if known is not None else system(connection)

    def _known(self, connection: str) -> Known | None:
        """The connection as it is now; None where there is none, or its connector was handed in."""
        return None if self._is_handed_in else self.book.find(connection)

    def _connector(self, connection: str, known: Known | None = None) -> Connector:
        """Made anew where somebody has changed the connection, in whichever process; *known* is how it is now."""
        version = _version(known or self._known(connection))
        if (made := self._as_it_is(connection, version)) is not None:
            return made
        with self._lock:
            if (made := self._as_it_is(connection, version)) is not None:
                return made
            self._connected[connection], self._versions[connection] = self._connect(connection), version
            return self._connected[connection]

    def _as_it_is(self, connection: str, version: int) -> Connector | None:
        """The connector that is at hand, if it was made of *version*."""
        return self._connected.get(connection) if self._versions.get(connection, 0) == version else None

    def confirm_accounts(self, *, wanted: str = "") -> None:
        """Before anything is done with any system: where credentials have changed, see whose they are.

        Raises: OtherAccountError; NotNowError while a system other than *wanted* can't be asked.
        """
        for connection in sorted(self._unconfirmed):
            try:
                cast(TellsAccount, self._connector(connection)).sign_in()
            except NotNowError:
                raise
            except CrmsyncError as error:
                if connection == wanted:
                    return  # its own call fails in the same way, and says so in its own words
                message = f"The new credentials of {error.system or connection} must be confirmed first: {error}"
                raise NotNowError(message, wait_seconds=CONFIRM_SECONDS, system=error.system) from error
            self._unconfirmed.discard(connection)

    @cached_property
    def _unconfirmed(self) -> set[str]:
        return self.accounts.unconfirmed()

    def _connect_configured(self, connection: str) -> Connector:
        known = self.book.get(connection)
        if self.accounts.has_new_credentials(connection):
            self._breakers().probe_now(connection)
        return self._made(known, self._tokens(), self._guarded(known, self._breakers()))

    def apart(self, connection: str, tokens: TokenStore) -> Connector:
        """A connector of its own, whose tokens nobody else uses. Raises: ConfigurationError if there is none."""
        return self._made(self.book.get(connection), tokens, UNLIMITED)

    def _made(self, known: Known, tokens: TokenStore, budget: Budget) -> Connector:
        connection = known.connection.id
        tools = Tools(
            token_store=tokens,
            behaviour=self.settings.behaviour,
            budget=budget,
            usage=partial(self.companies.usage, connection),
            notes=KeptNotes(self.store, connection),
            is_outside=known.is_outside and not self.settings.allow_private_addresses,
        )
        try:
            return known.system.connect(connection, known.settings, tools)
        except CrmsyncError:
            raise
        except Exception as error:  # a package of somebody else's may be broken
            what = f"The connector of {known.system.title} can't be made for {connection}: {type(error).__name__}."
            raise ConfigurationError(what, advice=_UNFIT_ADVICE) from error

    def examine(self, connection: str, heard: Heard | None = None) -> Iterator[Check]:
        """What `crmsync doctor` finds: with a sign-in of its own, past the breaker. Where all is well, that closes.

        Another system's new credentials have no part in it: what is read here is written nowhere but in its notes.
        Raises: ConfigurationError if the environment does not configure it.
        """
        tokens = FreshTokens(self._tokens())
        is_own = self._is_handed_in
        connector = self._connector(connection) if is_own else self._fresh(connection, tokens, heard or Heard())
        is_well = True
        if not is_own and (lacks := lacking(connector, ANY)):
            raise ConfigurationError(_unfit(connection, ANY, self.declared(connection), lacks), advice=_UNFIT_ADVICE)
        for check in connector.checks():
            is_well = is_well and check.is_ok
            yield check
        if not is_own:
            yield from self._fitting(connection, connector)
        if tokens.is_kept:
            yield not_checked("a fresh sign-in", "the system issues no more tokens for now, so the stored one was used")
        if is_well:
            self._breakers().found_well(connection, connector.system)

    def _fitting(self, connection: str, connector: Connector) -> Iterator[Check]:
        """What it lacks for the roles of its system; where a company has bound one, that is a failure."""
        of, bound = self.declared(connection), self.companies.roles_of(connection)
        for role in of.roles:
            if lacks := lacking(connector, role):
                what, is_bound = _unfit(connection, role, of, lacks), role in bound
                detail = f"{what} {_UNFIT_ADVICE}"
                yield Check(f"role {role}", not is_bound, detail, is_note=not is_bound)

    def _fresh(self, connection: str, tokens: FreshTokens, heard: Heard) -> Connector:
        known = self.book.get(connection)
        return self._made(known, tokens, self._guarded(known, NeverOpen(), heard))

    def _guarded(self, known: Known, breakers: BreakerStore, heard: Heard | None = None) -> GuardedBudget:
        connection, behaviour = known.connection.id, self.settings.behaviour
        budget = shared_budget(known.system, known.settings, self.link, behaviour)
        breaker = SharedBreaker(connection, budget.quota.system, breakers)
        met, barred = partial(self._met, connection), partial(self._barred, connection)
        if heard is not None:  # who examines it says what he has found
            return GuardedBudget(budget, breaker, met, heard.note)
        return GuardedBudget(budget, breaker, met, barred=barred)

    def _met(self, connection: str) -> None:
        """The system has taken a call."""
        self.accounts.met(connection)
        if self.standing.note(self.book.get(connection).connection):
            self.book.forget(connection)

    def _barred(self, connection: str, reason: str, code: str) -> None:
        """The system refuses the account."""
        if self.standing.refused(self.book.get(connection).connection, reason, code):
            self.book.forget(connection)

    def _breakers(self) -> BreakerWatch:
        pasteable = self.settings.pasteable

        def opened(system: str, breaker: Breaker) -> Content:
            command = pasteable("crmsync doctor")
            return outage_alert(system, failures=breaker.failures, reason=breaker.reason, command=command)

        def closed(system: str, breaker: Breaker) -> Content:
            since = f"{breaker.opened_at:%Y-%m-%d %H:%M} UTC"
            command = pasteable("celery -A crmsync dead-letters replay --error VendorUnavailableError")
            return recovery_alert(system, since=since, command=command)

        threshold = self.settings.behaviour.breaker_failures
        return BreakerWatch(self.store, threshold=threshold, opened=opened, closed=closed)

    def held_seconds(self, error: CrmsyncError) -> float | None:
        """For how long nobody calls the system of *error*; None while its breaker is closed."""
        if not error.is_outage or not error.system:
            return None
        with self.store.read() as uow:
            breaker = uow.breakers.open_of(error.connection, error.system)
        return breaker.wait_seconds(uow.now) if breaker is not None else None

    def _tokens(self) -> SharedTokens:
        return SharedTokens(self.store, self.vault, self.accounts)

    @cached_property
    def vault(self) -> Vault:
        return Vault(self.settings.secret_key, self.settings.home, self.settings.secret_key_previous)

    def sealed(self, words: str) -> str:
        """*words* as they may lie in the store."""
        return self.vault.seal(words) if words else ""

    def words_of(self, uow: UnitOfWork, letter_id: int) -> str:
        """What the vendor itself said when the run died, for operators' eyes only; "" where it said nothing."""
        sealed = uow.dead_letters.sealed_words(letter_id)
        if not sealed:
            return ""
        words = self.vault.open(sealed)
        return UNREADABLE_WORDS if words is None else words

    @cached_property
    def book(self) -> ConnectionBook:
        """The connections that there are."""
        return ConnectionBook(self.settings, self.store, lambda: self.vault)

    @cached_property
    def standing(self) -> Standing:
        """How a connection that people have made is getting on."""
        return Standing(self.store)

    @cached_property
    def accounts(self) -> AccountWatch:
        """Whose account each connection is."""
        command = self.settings.pasteable("crmsync doctor")
        return AccountWatch(self.store, lambda: self.vault, self.book, content=partial(account_alert, command=command))


def _unfit(connection: str, role: str, of: System, lacks: Sequence[str]) -> str:
    can = f"can't fill the role {role}" if role else "can't be used"
    return f"The connection {connection} {can}: the connector of {of.title} lacks {', '.join(lacks)}."


def _version(known: Known | None) -> int:
    """It grows with each change of a connection; one that the environment configures is never changed."""
    return known.connection.version if known is not None else 0


def examine_without_store(connection: str, settings: Settings, heard: Heard) -> Iterator[Check]:
    """As Services.examine(), where the store can't be opened. Raises: ConfigurationError."""
    breaker = SharedBreaker(connection, system_of(connection, settings), NeverOpen())
    budget = GuardedBudget(UNLIMITED, breaker, heard=heard.note)
    usage = partial(usage_of, settings.behaviour)
    tools = Tools(token_store=OwnTokens(), behaviour=settings.behaviour, usage=usage, budget=budget)
    return connect(connection, settings, tools).checks()


def refuse_other_accounts(settings: Settings) -> None:
    """Before processes start. A database or a system that does not answer now is asked again before each call.

    Raises: ConfigurationError if the store belongs to other accounts than the credentials.
    """
    store = Store(settings.database_url)
    try:
        store.ping()
        if schema.current(store) == schema.HEAD:  # else it was made by a release that remembered no accounts
            made = Services(settings, store)
            made.accounts.check()
            made.confirm_accounts()
    except OtherAccountError as error:
        raise ConfigurationError(str(error), advice=error.advice) from error
    except (NotNowError, StoreUnavailableError):
        pass
    finally:
        store.close()


def redis_link(settings: Settings, *, level: int = logging.WARNING) -> Link:
    """Where processes share their budgets: REDIS_URL, else a broker that is a Redis, else the embedded server.

    Nothing is opened or started before the first question.
    """

    def opening() -> Redis:
        if not settings.redis_address:
            ensure_running(settings.home)
        return redis_client(settings.redis_address or Address(embedded_client_url(settings.home)))

    return Link(opening, level=level)


_services: Services | None = None
_lock = threading.Lock()


def services() -> Services:
    """This process's own, from its environment."""
    global _services
    if _services is None:
        with _lock:
            if _services is None:
                settings = Settings.from_env()
                log.configure(settings.log_style, settings.log_level)
                _services = Services.from_settings(settings)
                remember_addresses(settings)
    return _services


def remember_addresses(settings: Settings) -> None:
    """For commands that are pasted into a shell without them."""
    broker = settings.broker_url or settings.redis_url
    whereabouts.remember(settings.home, settings.database_url)
    whereabouts.remember_broker(settings.home, log.without_password(broker) if broker else whereabouts.OWN_BROKER)


def use(replacement: Services | None) -> Any:
    """Let this process work with *replacement* (tests), or forget what it has (a forked child)."""
    global _services
    before, _services = _services, replacement
    return before


def disconnect() -> None:
    """Close this process's connections to the database; the next question opens new ones."""
    if _services is not None:
        _services.store.close()
