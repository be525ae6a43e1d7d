"""The names under which Salesforce calls are counted and made to fail."""

from collections.abc import Callable

from crmsync.lab.sandbox.http import Request

SUBJECTS = {"opportunity": "deal", "product2": "product"}
OPERATIONS = (
    *("token", "versions", "limits", "query", "describe"),
    *(f"{verb}_{of}" for of in (*SUBJECTS.values(), "record") for verb in ("get", "create", "update", "delete")),
    *("upsert_record", "collections", "composite", "bulk", "other"),
)


def record_operation(verb: str) -> Callable[[Request, dict[str, str]], str]:
    """`update_deal` for an Opportunity, `update_product` for a Product2, `update_record` for the rest."""
    return lambda request, arguments: f"{verb}_{SUBJECTS.get(arguments['name'].lower(), 'record')}"
