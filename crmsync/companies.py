"""Lists the companies: the one of the environment, and those that have bindings in the store."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from crmsync.company import Company, Connections, company_of
from crmsync.connectors.system import Usage
from crmsync.domain.access import DEFAULT_TENANT
from crmsync.domain.bindings import FLOWS, NEEDS, Binding, UnclearCompanyError
from crmsync.errors import ConfigurationError
from crmsync.options import CompanySettings, Options, read_options
from crmsync.store import Store

logger = logging.getLogger(__name__)

REMEMBERED = timedelta(seconds=10)  # how late a process may hear of another's change

_Bound = Mapping[str, Mapping[str, Sequence[Company]]]  # by flow, and by tenant


class Companies:
    """*roles* are filled by the connections of the environment; *options* are its own, as they are now."""

    def __init__(
        self, store: Store, connections: Connections, roles: Mapping[str, str], options: Callable[[], Options]
    ) -> None:
        self._roles = roles
        self._options = options
        self._connections = connections
        self._store = store
        self._known: _Bound = {}
        self._read_at: datetime | None = None

    @property
    def default(self) -> Company:
        """The company of the environment."""
        return company_of(DEFAULT_TENANT, self._roles, self._connections, self._options())

    def all(self, flow: str) -> list[Company]:
        """Every company that *flow* is bound for. That of the environment is, unless its tenant has bound it anew."""
        bound = self._bound().get(flow, {})
        implied = [] if DEFAULT_TENANT in bound else [self.default]
        return [*implied, *(company for companies in bound.values() for company in companies)]

    def named(self, flow: str, role: str, *, tenant: str | None = None, source: str = "") -> list[Company]:
        """The companies of *tenant* (None: any) whose *flow* has *source* in this *role* ("": anything there)."""
        mine = [each for each in self.all(flow) if tenant in (None, each.tenant)]
        if source:
            return [each for each in mine if each.bound(role).connection == source]
        return [each for each in mine if each.tenant != DEFAULT_TENANT or each.has([role])]

    def one(self, flow: str, role: str, *, tenant: str | None = None, source: str = "") -> Company:
        """The only company of those that named() finds. That of the environment is there, configured or not.

        Raises: UnclearCompanyError where several are meant, or none.
        """
        found = self.named(flow, role, tenant=tenant, source=source)
        if len(found) == 1:
            return found[0]
        if not found and tenant in (None, DEFAULT_TENANT) and not source:
            return self.default
        if found:
            raise UnclearCompanyError(f"Several companies are meant: {_listed(found, role)}.")
        known = _listed(self.named(flow, role), role) or "there is none"
        raise UnclearCompanyError(f"{flow} is bound for no such company: {known}.")

    def of(self, tenant: str, flow: str, role: str, source: str) -> Company:
        """The company whose *flow* has *source* in this *role*.

        Where nothing is bound to it any more, a run that is under way has its own source, and nobody else's
        connections; of the environment it has those that are configured now.
        """
        found = self.sought(lambda: self._found(tenant, flow, role, source))
        return found or company_of(tenant, {role: source}, self._connections, self._options())

    def sought(self, find: Callable[[], Company | None]) -> Company | None:
        """What *find* finds; if that is nothing, once more, for another process may have bound it a moment ago."""
        found = find()
        if found is None:
            self.forget()
            found = find()
        return found

    def options_of(self, binding: Binding) -> Options:
        """The options in force for a binding; the environment's where it has none that can be read."""
        company = None if binding.is_implied else self._company(binding)
        return self._options() if company is None else company.options

    def usage(self, connection: str) -> Usage:
        """What the companies that use *connection* have set; the environment's own where it is bound to nothing."""
        own = self._options()
        using = {flow: [each.options for each in self.all(flow) if each.works_with(connection, flow)] for flow in FLOWS}
        if not any(using.values()):
            return usage_of(own)
        currencies = {each.default_currency for each in using["order_to_invoice"]} or {own.default_currency}
        return Usage(
            default_currency=currencies.pop() if len(currencies) == 1 else "",
            copies_stock=any(each.inventory_seconds for each in using["inventory"]),
        )

    def roles_of(self, connection: str) -> set[str]:
        """Those that *connection* fills in any flow of any company."""
        return {
            role
            for flow in FLOWS
            for company in self.all(flow)
            for role in NEEDS[flow]
            if company.bound(role).connection == connection
        }

    def forget(self) -> None:
        """This process has changed a binding."""
        self._read_at = None

    def _found(self, tenant: str, flow: str, role: str, source: str) -> Company | None:
        mine = self._bound().get(flow, {}).get(tenant)
        if mine is None and tenant == DEFAULT_TENANT:
            return self._with(role, source)
        return next((company for company in mine or () if company.bound(role).connection == source), None)

    def _with(self, role: str, source: str) -> Company:
        roles = {**self._roles, role: source or self._roles[role]}
        return company_of(DEFAULT_TENANT, roles, self._connections, self._options())

    def _company(self, binding: Binding) -> Company | None:
        """Where it does not say when it goes live, that is when it was bound. None where its options can't be read."""
        default = replace(self._options(), go_live=binding.created_at)
        try:
            options = read_options(binding.options, default)
        except ConfigurationError as error:  # of one company: the others go on
            logger.error("a binding of %s can't be read: %s", binding.tenant, error, extra={"action": "bad_binding"})
            return None
        return company_of(binding.tenant, binding.roles, self._connections, options)

    def _bound(self) -> _Bound:
        now = self._store.clock()
        if self._read_at is None or abs(now - self._read_at) >= REMEMBERED:
            with self._store.read() as uow:
                rows = uow.bindings.all(None)
            known: dict[str, dict[str, list[Company]]] = defaultdict(dict)
            for each in rows:
                if (company := self._company(each)) is not None:
                    known[each.flow].setdefault(each.tenant, []).append(company)
            self._known, self._read_at = known, now
        return self._known


def usage_of(own: CompanySettings) -> Usage:
    """What the environment says, of its own connections and of those that are bound to nothing."""
    return Usage(default_currency=own.default_currency, copies_stock=own.inventory_seconds > 0)


def _listed(companies: Iterable[Company], role: str) -> str:
    """Each with the connection that tells it from another of the same name: "acme (con_a1), default (crm)"."""
    return ", ".join(sorted(f"{each.tenant} ({each.bound(role).connection})" for each in companies))
