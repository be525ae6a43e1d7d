"""The description of the API (OpenAPI 3.1), for programs, and as a page that loads nothing from elsewhere."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, current_app, json, render_template, request

from crmsync.web.api.callers import rule_of
from crmsync.web.api.endpoints import PREFIX, Rule, Tenancy
from crmsync.web.api.schemas import CAMEL_TYPE

blueprint = Blueprint("document", __name__, url_prefix=PREFIX)

_VERBS = ("get", "post", "put", "patch", "delete")
_TENANCY = {
    Tenancy.OWN: "Shows and changes only what belongs to the token's tenant; anything else does not exist: 404.",
    Tenancy.ALL: "For tokens of the whole installation.",
    Tenancy.NONE: "",
}


@blueprint.get("/openapi.json")
def openapi() -> Response:
    return Response(json.dumps(document()), content_type="application/json")


@blueprint.get("/docs")
def docs() -> str:
    return render_template("api/docs.html", api=document(), root=request.script_root)


def document() -> dict[str, Any]:
    """The document, each operation with who may ask for it."""
    found: dict[str, Any] = current_app.extensions["crmsync_api"].spec.to_dict()
    for address, operations in found["paths"].items():
        for verb in _VERBS:
            if verb in operations:
                _say_who(operations[verb], rule_of(address, verb.upper()))
                _say_camel(operations[verb]["responses"])
    return found


def _say_camel(responses: dict[str, Any]) -> None:
    """What `case=camel` answers: the same, with other names, so under a type of its own."""
    for status, answer in responses.items():
        if str(status).startswith("2") and "application/json" in answer.get("content", {}):
            answer["content"][CAMEL_TYPE] = {"schema": {"type": "object"}}


def _say_who(operation: dict[str, Any], rule: Rule) -> None:
    operation["x-role"], operation["x-tenancy"] = rule.role.value if rule.role else None, rule.tenancy.value
    needed = f"Needs the role {rule.role} or a higher one." if rule.role else "Needs no role."
    told = [operation.get("description", ""), f"{needed} {_TENANCY[rule.tenancy]}".strip()]
    operation["description"] = "\n\n".join(filter(None, told))
