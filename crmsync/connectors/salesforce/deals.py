"""Reads one deal with everything about it, in one query."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from marshmallow import Schema

from crmsync.connectors.salesforce import schemas, soql
from crmsync.connectors.salesforce.api import SalesforceApi
from crmsync.connectors.salesforce.errors import SYSTEM
from crmsync.connectors.salesforce.lacking import without_lacking
from crmsync.connectors.salesforce.settings import SalesforceSettings
from crmsync.domain.deals import Deal
from crmsync.errors import PermanentError, RecordNotFoundError

_READ_DEAL = "read deal"


class DealReader:
    """Reads deals; *lacking* are the fields that the organization is known to lack, shared with other readers."""

    def __init__(
        self,
        api: SalesforceApi,
        settings: SalesforceSettings,
        *,
        default_currency: Callable[[], str],
        lacking: set[str],
    ) -> None:
        self._api = api
        self._default_currency = default_currency
        self._lacking = lacking
        self._settings = settings
        self._answer = schemas.deal_answer(settings)

    def fetch(self, deal_id: str) -> Deal:
        """One call; another for every 2,000 lines or so.

        Raises: RecordNotFoundError; PermanentError for a field that is missing or hidden, and where nothing states the
        currency.
        """
        currency = self._default_currency()
        row = self._find(deal_id, currency)
        lines = self._list("read deal lines", schemas.LINES, row["lines"])
        contacts = self._list("read deal contacts", schemas.CONTACT_ROLES, row["contact_roles"])
        return schemas.deal_of(row, lines, contacts, currency or row["currency"])

    def _find(self, deal_id: str, currency: str) -> Mapping[str, Any]:
        """The deal's row; asked with its currency until the organization turns out to have only one."""
        spared = soql.spared_by(currency)
        row = without_lacking(self._lacking, lambda lacking: self._read(deal_id, lacking), spared=spared)
        if soql.CURRENCY in self._lacking and not currency:
            raise _currency_unknown()
        return row

    def _read(self, deal_id: str, lacking: set[str]) -> Mapping[str, Any]:
        query = f"{soql.select_deals(self._settings, lacking)} WHERE Id = {soql.quote(deal_id)}"
        row = next(self._api.query(_READ_DEAL, query), None)
        if row is None:
            raise RecordNotFoundError(
                "Salesforce does not show the deal: it was deleted, or crmsync may not see it.",
                system=SYSTEM,
                operation=_READ_DEAL,
                advice="Restore it, or give the integration user access to it, and replay; "
                "if it was deleted on purpose, discard it.",
            )
        found: Mapping[str, Any] = schemas.load(self._answer, row, operation=_READ_DEAL)
        return found

    def _list(self, operation: str, schema: Schema, page: Any) -> Any:
        """The rows of a list inside the deal; an empty list is null."""
        rows = [] if page is None else list(self._api.rows(operation, page))
        return schemas.load(schema, rows, operation=operation)


def _currency_unknown() -> PermanentError:
    return PermanentError(
        "The Salesforce organization has a single currency and its deals do not say which.",
        system=SYSTEM,
        operation=_READ_DEAL,
        code="INVALID_FIELD",
        field_errors={"CRMSYNC_DEFAULT_CURRENCY": "is missing"},
        advice="Set the option default_currency of the binding to the organization's currency, or "
        "CRMSYNC_DEFAULT_CURRENCY and restart; then replay.",
    )
