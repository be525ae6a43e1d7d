"""/links: which customers are linked; setting and removing a link."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from marshmallow import fields, validate

from crmsync.company import Company
from crmsync.connectors.registry import full_key
from crmsync.domain.audit import Act
from crmsync.domain.customer_numbers import customer_number
from crmsync.domain.links import Link
from crmsync.reading.links import customer_links
from crmsync.store import UnitOfWork
from crmsync.store.owners import Owners
from crmsync.web.api import effects, tenancy, waiting
from crmsync.web.api.cursors import cursor_of, place_of
from crmsync.web.api.problems import Problem, invalid, not_found
from crmsync.web.api.resource import Resource
from crmsync.web.api.schemas import ApiSchema, ListSchema, QuerySchema, ReasonSchema, Text, Truth, page_of
from crmsync.web.context import services_of_app
from crmsync.worker import customer_links as links_of_people
from crmsync.worker import link_checks
from crmsync.worker.dead_letters import linkable
from crmsync.worker.link_checks import Asked, Checked

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


class PlaceSchema(QuerySchema):
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


class RemovalQuerySchema(PlaceSchema):
    reason = Text(load_default="", validate=validate.Length(max=500), metadata={"description": "for the audit"})


class SetLinkSchema(ReasonSchema):
    key = Text(required=True, validate=validate.Length(1, 40), metadata={"description": "the customer's number there"})
    is_seen = Truth(
        load_default=False,
        metadata={"description": "confirms a customer whose name or tax number differs from the account's"},
    )


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


@blueprint.route("/links/<connection>/<account>", methods=["PUT"])
@blueprint.asks(PlaceSchema)
@blueprint.takes(SetLinkSchema)
@blueprint.response(200, LinkSchema)
def set_link(query: dict[str, Any], body: dict[str, Any], connection: str, account: str) -> dict[str, Any]:
    """Set which customer an account is at a connection, in place of the one that it was in that customer's currency.

    A worker looks both up first: this process calls no system. Documents that were made for another customer stay.
    """
    company = _company(query, connection)
    account, number = _account_key(company, account), _number(body["key"])
    asked = Asked(company.tenant, company.deals.connection, connection, account, number)
    found = Checked(**waiting.answer("the look-up", link_checks.TASK, **asdict(asked)))
    _require_right(found, is_seen=body["is_seen"])
    with services_of_app().store.begin() as uow:
        return _as_json(_set(uow, asked, found, effects.act(body["reason"])), uow.owners)


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
        _require_one_source(each.source for each in found)
        removed = [link for link in found if uow.links.remove(link)]
        for link in removed:
            tenant = owners.tenant_of(link.source)
            links_of_people.audit(uow, effects.act(query["reason"]), "link.remove", tenant=tenant, before=[link])
        return {"removed": [_as_json(link, owners) for link in removed]}


def _require_one_source(found: Iterable[str]) -> None:
    """Raises: Problem for several CRMs: which of them is meant is not for us to guess."""
    sources = sorted(set(found))
    if len(sources) > 1:
        told = {"parameter": "source", "detail": f"expected one of {', '.join(sources)}"}
        raise Problem(422, "invalid", "Accounts of several CRMs have this id.", errors=[told])


def _company(query: dict[str, Any], connection: str) -> Company:
    """Whose accounts have customers at *connection*.

    Raises: Problem 404 where the caller has no such company; 422 where several CRMs have customers there.
    """
    found = [
        each
        for each in services_of_app().companies.all(link_checks.FLOW)
        if tenancy.sees(each.tenant)
        and query["tenant_id"] in ("", each.tenant)
        and query["source"] in ("", each.deals.connection)
        and connection in linkable(each).values()
    ]
    if not found:
        raise not_found("connection")
    _require_one_source(each.deals.connection for each in found)
    return found[0]


def _account_key(company: Company, account: str) -> str:
    try:
        return str(company.deals.declared.account_key(account))
    except ValueError as error:
        raise _wrong_account(str(error)) from None


def _number(key: str) -> str:
    try:
        return customer_number(key)
    except ValueError as error:
        raise invalid("This is not a customer number.", key=str(error)) from None


def _require_right(found: Checked, *, is_seen: bool) -> None:
    """Raises: Problem 422 with what is wrong with the account or the number, or why the two may not be one."""
    if found.wrong_account:
        raise _wrong_account(found.wrong_account)
    if found.wrong_key:
        raise invalid("The customer can't be linked.", key=found.wrong_key)
    if found.doubt and not is_seen:
        raise invalid(
            "The customer differs from the account. If it is the right one, send is_seen; otherwise name another.",
            key=found.doubt,
        )


def _wrong_account(detail: str) -> Problem:
    errors = [{"parameter": "account", "detail": detail}]
    return Problem(422, "invalid", "The account can't be linked.", errors=errors)


def _set(uow: UnitOfWork, asked: Asked, found: Checked, act: Act) -> Link:
    """The link as it is now; one that says the same already stays as it is."""
    link = Link(
        asked.connection,
        asked.source,
        asked.account,
        asked.key,
        links_of_people.SET,
        currency=found.currency,
        name=found.name,
        city=found.city,
        linked_by=str(act),
    )
    before = uow.links.get(asked.connection, asked.source, asked.account, found.currency)
    if before is not None and before.key == asked.key:
        return before
    was = before.key if before is not None else None
    links_of_people.replace_link(uow, act, link, tenant=asked.tenant, before=was)
    made = uow.links.get(asked.connection, asked.source, asked.account, found.currency)
    assert made is not None  # it was written above  # noqa: S101
    return made


def _as_json(link: Link, owners: Owners) -> dict[str, Any]:
    return link.to_json() | {"tenant_id": owners.tenant_of(link.source)}
