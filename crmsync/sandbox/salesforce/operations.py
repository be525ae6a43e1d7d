"""The names under which Salesforce calls are counted and made to fail."""

from collections.abc import Callable

from crmsync.sandbox.http import Request

OPERATIONS = (
    "token",
    "versions",
    "limits",
    "query",
    "describe",
    "get_deal",
    "create_deal",
    "update_deal",
    "delete_deal",
    "get_product",
    "create_product",
    "update_product",
    "delete_product",
    "get_record",
    "create_record",
    "update_record",
    "delete_record",
    "upsert_record",
    "collections",
    "composite",
    "bulk",
    "other",
)
SUBJECTS = {"opportunity": "deal", "product2": "product"}


def record_operation(verb: str) -> Callable[[Request, dict[str, str]], str]:
    """`update_deal` for an Opportunity, `update_product` for a Product2, `update_record` for the rest."""
    return lambda request, arguments: f"{verb}_{SUBJECTS.get(arguments['name'].lower(), 'record')}"
