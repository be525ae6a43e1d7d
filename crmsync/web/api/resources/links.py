"""/links: which customer here is which there; taking a link back."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from crmsync.connectors.registry import full_key
from crmsync.domain.access import DEFAULT_TENANT
from crmsync.reading.links import customer_links
from crmsync.web.api import effects, tenancy
from crmsync.web.api.cursors import cursor_of, place_of
from crmsync.web.api.problems import not_found
from crmsync.web.api.resource import Resource
from crmsync.web.api.schemas import ApiSchema, ListSchema, QuerySchema, Text, page_of
from crmsync.web.context import services_of_app
from crmsync.worker import customer_links as links_of_people

blueprint = Resource("links", "Which customer here is which there")


class LinkSchema(ApiSchema):
    tenant_id = fields.Constant(DEFAULT_TENANT)
    connection = fields.String(required=True)
    account = fields.String(required=True, attribute="crm_key", metadata={"description": "its id in the CRM"})
    key = fields.String(required=True, metadata={"description": "the customer's number there"})
    currency = fields.String(required=True)
    name = fields.String(required=True)
    city = fields.String(required=True)
    origin = fields.String(required=True)
    linked_by = fields.String(required=True)
    created_at = fields.AwareDateTime(required=True)


class ListedLinkSchema(LinkSchema):
    accounts = fields.Integer(required=True, metadata={"description": "how many accounts share the customer"})


class LinksQuerySchema(ListSchema):
    connection = Text(load_default="", validate=validate.Length(max=40))
    account = Text(load_default="", validate=validate.Length(max=40))


class RemovalQuerySchema(QuerySchema):
    reason = Text(load_default="", validate=validate.Length(max=500), metadata={"description": "for the audit"})


class RemovedSchema(ApiSchema):
    removed = fields.List(fields.Nested(LinkSchema), required=True)


@blueprint.route("/links")
@blueprint.asks(LinksQuerySchema)
@blueprint.response(200, page_of(ListedLinkSchema))
def links(query: dict[str, Any]) -> dict[str, Any]:
    """List every link, oldest first."""
    place = place_of(query)
    if not tenancy.sees():
        return {"items": [], "next_cursor": None}
    with services_of_app().store.read() as uow:
        rows = customer_links(uow)
    wanted = (query["connection"], full_key(query["account"]))
    found = [row for row in rows if wanted == (wanted[0] and row.link.connection, wanted[1] and row.link.crm_key)]
    begin = place[0] if place else 0
    shown, more = found[begin : begin + query["limit"]], begin + query["limit"]
    items = [row.link.to_json() | {"accounts": row.accounts} for row in shown]
    return {"items": items, "next_cursor": cursor_of([more] if more < len(found) else None, query)}


@blueprint.route("/links/<connection>/<account>", methods=["DELETE"])
@blueprint.asks(RemovalQuerySchema)
@blueprint.response(200, RemovedSchema)
def remove_link(query: dict[str, Any], connection: str, account: str) -> dict[str, Any]:
    """Take back the links of an account at a connection; documents that were made for its customer stay.

    The next deal of the account looks for its customer anew.
    """
    tenancy.require("link")
    with services_of_app().store.begin() as uow:
        of_account = uow.links.of_account(services_of_app().company().deals.connection, full_key(account))
        found = [link for link in of_account if link.connection == connection]
        if not found:
            raise not_found("link")
        removed = [link for link in found if uow.links.remove(link)]
        links_of_people.audit(uow, effects.act(query["reason"]), "link.remove", before=removed)
    return {"removed": [link.to_json() for link in removed]}
