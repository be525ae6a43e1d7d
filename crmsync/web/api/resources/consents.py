"""Consent in the browser: the address of the system's page. callback.py is where the browser comes back."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request
from marshmallow import fields

from crmsync import consents as verbs
from crmsync.domain.connections import ReadOnlyConnectionError
from crmsync.domain.consents import NoConsentPageError
from crmsync.errors import ConfigurationError
from crmsync.web.api import effects
from crmsync.web.api.problems import Problem
from crmsync.web.api.resource import Resource
from crmsync.web.api.resources.connections import own_connection
from crmsync.web.api.schemas import ApiSchema, QuerySchema
from crmsync.web.api.tenancy import own
from crmsync.web.context import services_of_app

blueprint = Resource("consents", "Consent in the browser")


class AuthorizeQuerySchema(QuerySchema):
    redirect = fields.Boolean(
        load_default=False,
        truthy={"true", True},
        falsy={"false", False},
        metadata={"description": "answer 303 to the page itself; so does an Accept that prefers text/html"},
    )


class ConsentSchema(ApiSchema):
    authorize_url = fields.URL(
        required=True, metadata={"description": "for the browser of whoever may consent; good once, for ten minutes"}
    )
    expires_at = fields.AwareDateTime(required=True)


@blueprint.route("/connections/<connection_id>/authorize")
@blueprint.asks(AuthorizeQuerySchema)
@blueprint.response(200, ConsentSchema)
@blueprint.alt_response(303, description="to the system's page")
def authorize(query: dict[str, Any], connection_id: str) -> Response:
    """Ask for consent in the browser: where the system's page is (OAuth 2.0 with PKCE, where the system has it).

    Each time it is another address. Whoever consents there lets crmsync in, and the connection works from then on.
    """
    own_connection(connection_id)
    using = services_of_app()
    try:
        with using.store.begin() as uow:
            started = verbs.start(using, uow, effects.act(), own(), connection_id)
    except (NoConsentPageError, ReadOnlyConnectionError) as error:
        raise Problem(409, "no-consent-page", error.with_advice) from None
    except ConfigurationError as error:
        raise Problem(409, "no-public-address", str(error)) from None
    if query["redirect"] or _is_for_browser():
        return Response(status=303, headers={"Location": started.address})
    return jsonify(ConsentSchema().dump({"authorize_url": started.address, "expires_at": started.request.expires_at}))


def _is_for_browser() -> bool:
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"
