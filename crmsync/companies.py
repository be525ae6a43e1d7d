"""Which companies there are: that of the environment, and those that are bound in the store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from crmsync.company import Company, Connections, company_of
from crmsync.domain.access import DEFAULT_TENANT
from crmsync.store import Store
from crmsync.systems import ROLES

REMEMBERED = timedelta(seconds=10)  # how late a process may hear of another's change

_Bound = Mapping[str, Mapping[str, Sequence[Company]]]  # by flow, and by tenant


class Companies:
    """*roles* are filled by the connections of the environment."""

    def __init__(self, store: Store, connections: Connections, roles: Mapping[str, str]) -> None:
        self.default = company_of(DEFAULT_TENANT, roles, connections)
        self._connections = connections
        self._store = store
        self._known: _Bound = {}
        self._read_at: datetime | None = None

    def all(self, flow: str) -> list[Company]:
        """Every company that *flow* is bound for. That of the environment is, unless its tenant has bound it anew."""
        bound = self._bound().get(flow, {})
        implied = [] if DEFAULT_TENANT in bound else [self.default]
        return [*implied, *(company for companies in bound.values() for company in companies)]

    def of(self, tenant: str, flow: str, role: str, source: str) -> Company:
        """The company whose *flow* has *source* in this *role*.

        Where nothing is bound to it any more, a run that is under way has its own source, and nobody else's
        connections; of the environment it has those that are configured now.
        """
        mine = self._bound().get(flow, {}).get(tenant)
        if mine is None and tenant == DEFAULT_TENANT:
            return self._with(role, source)
        found = (company for company in mine or () if company.bound(role).connection == source)
        return next(found, None) or company_of(tenant, {role: source}, self._connections)

    def forget(self) -> None:
        """This process has changed a binding."""
        self._read_at = None

    def _with(self, role: str, source: str) -> Company:
        roles = {each: self.default.bound(each).connection for each in ROLES}
        is_so = source in ("", roles[role])
        return self.default if is_so else company_of(DEFAULT_TENANT, {**roles, role: source}, self._connections)

    def _bound(self) -> _Bound:
        now = self._store.clock()
        if self._read_at is None or abs(now - self._read_at) >= REMEMBERED:
            with self._store.read() as uow:
                rows = uow.bindings.all(None)
            known: dict[str, dict[str, list[Company]]] = defaultdict(dict)
            for each in rows:
                company = company_of(each.tenant, each.roles, self._connections)
                known[each.flow].setdefault(each.tenant, []).append(company)
            self._known, self._read_at = known, now
        return self._known
