"""/links: which customers are linked; removing a link."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marshmallow import fields, validate

from crmsync.connectors.registry import full_key
from crmsync.domain.links import Link
from crmsync.reading.links import customer_links
from crmsync.store.owners import Owners
from crmsync.web.api import effects, tenancy
from crmsync.web.api.cursors import cursor_of, place_of
from crmsync.web.api.problems import Problem, not_found
from crmsync.web.api.resource import Resource
from crmsync.web.api.schemas import ApiSchema, ListSchema, QuerySchema, Text, page_of
from crmsync.web.context import services_of_app
from crmsync.worker import customer_links as links_of_people

blueprint = Resource("links", "Which customer here is which there")


class LinkSchema(ApiSchema):
    tenant_id = fields.String(required=True)
    source = fields.String(required=True, metadata={"description": "the connection of the CRM"})
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
    tenant_id = Text(
        load_default="",
        validate=validate.Length(max=40),
        metadata={"description": "whose link; needed where several companies have one of this account"},
    )
    source = Text(
        load_default="",
        validate=validate.Length(max=40),
        metadata={"description": "the connection of the CRM; needed where several have this account"},
    )
    reason = Text(load_default="", validate=validate.Length(max=500), metadata={"description": "for the audit"})


class RemovedSchema(ApiSchema):
    removed = fields.List(fields.Nested(LinkSchema), required=True)


@blueprint.route("/links")
@blueprint.asks(LinksQuerySchema)
@blueprint.response(200, page_of(ListedLinkSchema))
def links(query: dict[str, Any]) -> dict[str, Any]:
    """List every link, oldest first."""
    place = place_of(query)
    wanted = (query["connection"], full_key(query["account"]))
    with services_of_app().store.read() as uow:
        rows = customer_links(uow, tenancy.own())
        found = [row for row in rows if wanted == (wanted[0] and row.link.connection, wanted[1] and row.link.crm_key)]
        begin = place[0] if place else 0
        shown, more = found[begin : begin + query["limit"]], begin + query["limit"]
        items = [_as_json(row.link, uow.owners) | {"accounts": row.accounts} for row in shown]
    return {"items": items, "next_cursor": cursor_of([more] if more < len(found) else None, query)}


@blueprint.route("/links/<connection>/<account>", methods=["DELETE"])
@blueprint.asks(RemovalQuerySchema)
@blueprint.response(200, RemovedSchema)
def remove_link(query: dict[str, Any], connection: str, account: str) -> dict[str, Any]:
    """Remove the links of an account at a connection; documents that were made for its customer stay.

    The next deal of the account searches for its customer again. Two CRMs may have an account of the same id.
    """
    with services_of_app().store.begin() as uow:
        owners, key = uow.owners, full_key(account)
        of_account = [link for link in uow.links.customers(tenancy.own()) if key == link.crm_key]
        found = [each for each in of_account if each.connection == connection]
        found = [each for each in found if owners.is_of(query["tenant_id"] or None, each.source)]
        found = [each for each in found if query["source"] in ("", each.source)]
        if not found:
            raise not_found("link")
        _require_one_source(found)
        removed = [link for link in found if uow.links.remove(link)]
        for link in removed:
            tenant = owners.tenant_of(link.source)
            links_of_people.audit(uow, effects.act(query["reason"]), "link.remove", tenant=tenant, before=[link])
        return {"removed": [_as_json(link, owners) for link in removed]}


def _require_one_source(found: Sequence[Link]) -> None:
    """Raises: Problem for links of several CRMs: which of them is meant is not for us to guess."""
    sources = sorted({link.source for link in found})
    if len(sources) > 1:
        told = {"parameter": "source", "detail": f"expected one of {', '.join(sources)}"}
        raise Problem(422, "invalid", "Accounts of several CRMs have this id.", errors=[told])


def _as_json(link: Link, owners: Owners) -> dict[str, Any]:
    return link.to_json() | {"tenant_id": owners.tenant_of(link.source)}
