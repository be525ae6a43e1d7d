"""Lists the won deals by the time of their last change, without missing any.

Each page is a query of its own that begins after the last row of the page before, by the pair of stamp and id: many
deals may share one stamp, and behind a cursor that lasts for minutes a row may come with the stamp of a later change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from crmsync.connectors.kit.pages import Page
from crmsync.connectors.salesforce import schemas, soql
from crmsync.connectors.salesforce.api import SalesforceApi, unexpected
from crmsync.connectors.salesforce.lacking import without_lacking
from crmsync.connectors.salesforce.settings import SalesforceSettings
from crmsync.domain.catch_up import WonDeal

_READ = "read won deals"


class WonDealReader:
    """Reads won deals; *lacking* are the fields that the organization is known to lack, shared with other readers."""

    def __init__(
        self,
        api: SalesforceApi,
        settings: SalesforceSettings,
        *,
        default_currency: Callable[[], str],
        lacking: set[str],
    ) -> None:
        self._api = api
        self._settings = settings
        self._default_currency = default_currency
        self._lacking = lacking
        self._answer = schemas.won_deal_answer(settings)

    def pages(self, since: datetime, until: datetime) -> Iterator[Sequence[WonDeal]]:
        """Pages of at most 2,000 deals that were changed in [since, until), oldest change first.

        Raises: UnexpectedAnswerError for a page that does not lead on.
        """
        after: soql.Position | None = None
        currency = self._default_currency()
        while True:
            page = self._page(currency, soql.won_deals_between(since, until, after, self._settings.catch_up_filter))
            deals = [
                schemas.won_deal_of(row, currency or row["currency"])
                for row in schemas.load(self._answer, page.rows, operation=_READ)
            ]
            last = _last(deals, page, after)
            if deals:
                yield deals
            if last is None:
                return
            after = last

    def _page(self, currency: str, where: str) -> Page[str]:
        def ask(lacking: set[str]) -> Page[str]:
            return self._api.page(_READ, soql.select_won_deals(self._settings, lacking) + where)

        return without_lacking(self._lacking, ask, spared=soql.spared_by(currency))


def _last(deals: Sequence[WonDeal], page: Page[str], after: soql.Position | None) -> soql.Position | None:
    """Where the next page begins; None after the last one."""
    if page.is_last and len(deals) < soql.WON_DEALS_PER_PAGE:
        return None
    last = (deals[-1].changed_at, deals[-1].key) if deals else None
    if last is None or not _leads_on(last, after):
        raise unexpected(_READ, "SystemModstamp", "the page does not begin after the previous one")
    return last


def _leads_on(last: soql.Position, after: soql.Position | None) -> bool:
    """Ids of one stamp are in an order of Salesforce's own: only the stamp is compared, and the same id is no step."""
    return after is None or last[0] > after[0] or (last[0] == after[0] and last[1] != after[1])
