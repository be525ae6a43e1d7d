"""Custom fields, as bodies spell them, and the lookup that an upsert makes with one."""

from collections.abc import Iterable
from typing import Any

from crmsync.lab.sandbox.http import Request
from crmsync.lab.sandbox.zoho.errors import ZohoError, missing
from crmsync.lab.sandbox.zoho.profile import ZohoProfile

Doc = dict[str, Any]
SPELLINGS = ("api_name", "customfield_id", "label", "index")


class CustomFields:
    """The custom fields of one module; each may be named by api_name, id, label or index."""

    def __init__(self, profile: ZohoProfile, module: str) -> None:
        self.unique = profile.unique_fields.get(module, ())
        self.names = (*self.unique, *profile.plain_fields.get(module, ()))
        self._first_id = profile.first_id // 10**6 * 10**6 + 98_000 + 100 * len(module) + 1

    def describe(self) -> list[Doc]:
        return [
            {"api_name": name, "customfield_id": str(self._first_id + index), "label": name, "index": index + 1}
            for index, name in enumerate(self.names)
        ]

    def read(self, entries: Any) -> dict[str, Any]:
        """Field name → value. Raises ZohoError for a field that the module does not have."""
        if not isinstance(entries, list):
            raise ZohoError(2, "Invalid value passed for custom_fields")
        return dict(self._entry(entry) for entry in entries)

    def _entry(self, entry: Any) -> tuple[str, Any]:
        for field in self.describe() if isinstance(entry, dict) else ():
            if any(key in entry and str(entry[key]) == str(field[key]) for key in SPELLINGS):
                return field["api_name"], entry.get("value")
        raise ZohoError(2, "Invalid value passed for custom_fields")

    def check_unique(self, values: dict[str, Any], others: Iterable[Doc]) -> None:
        """Raises ZohoError where a field that prevents duplicates would hold one."""
        given = [name for name in self.unique if values.get(name)]
        held = [other["_custom"] for other in others] if given else []
        for name in given:
            if any(custom.get(name) == values[name] for custom in held):
                raise ZohoError(120124, f"The value for {name} already exists. Please enter a unique value.")

    def show(self, values: dict[str, Any]) -> list[Doc]:
        return [
            {**field, "value": values[field["api_name"]]} for field in self.describe() if field["api_name"] in values
        ]

    def flat(self, values: dict[str, Any]) -> Doc:
        """As lists show them: flattened, with a twin `_unformatted`."""
        return {key: value for name, value in values.items() for key in (name, f"{name}_unformatted")}


def upsert_target(request: Request, fields: CustomFields, docs: Iterable[Doc]) -> tuple[Doc | None, dict[str, str]]:
    """The document that a PUT on the collection means, or None where it is to be created with the returned value.

    Raises ZohoError without the two identifier headers, for a field that is not unique, and for a missing document
    unless `X-Upsert: true` was sent.
    """
    name = request.headers.get("x-unique-identifier-key", "")
    value = request.headers.get("x-unique-identifier-value", "")
    if not name or not value:
        raise ZohoError(4, "X-Unique-Identifier-Key and X-Unique-Identifier-Value are required")
    if name not in fields.unique:
        raise ZohoError(2, f"{name} is no custom field that prevents duplicate values")
    found = next((doc for doc in docs if doc["_custom"].get(name) == value), None)
    if found is None and request.headers.get("x-upsert", "").lower() != "true":
        raise missing("Resource")
    return found, {name: value}
