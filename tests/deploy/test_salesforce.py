"""deploy/salesforce gives an org exactly the fields and rights that crmsync uses, in a form that Salesforce takes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pytest
from defusedxml import ElementTree

from crmsync.connectors.salesforce import soql
from crmsync.connectors.salesforce.settings import READ_OF_ACCOUNTS, READ_OF_DEALS, READ_OF_PRODUCTS, SalesforceSettings
from crmsync.settings import Settings
from tests import guides
from tests.builders import private_pem

ROOT = Path(__file__).parent.parent.parent
PROJECT = ROOT / "deploy" / "salesforce"
FIELDS = PROJECT / "force-app" / "main" / "default" / "objects"
FILES = sorted(PROJECT.rglob("*-meta.xml"))
KNOWN: dict[str, dict[str, str]] = json.loads((Path(__file__).parent / "schemas" / "salesforce.json").read_text())
NAMESPACE = "{http://soap.sforce.com/2006/04/metadata}"
SIMPLE = {"string", "number", "boolean", "Date"}

# What the code writes: the type of the field, and how long a text may become.
TYPES = {
    "order_number": ("Text", 10),  # SalesOrder of A_SalesOrder
    "invoice_number": ("Text", 100),  # invoice_number of Zoho Books
    "status": ("Text", 255),
    "status_reason": ("Text", 255),
    "payment_received": ("Checkbox", 0),
    "payment_amount": ("Currency", 0),
    "payment_date": ("Date", 0),
    "stock": ("Number", 0),
    "low_stock": ("Checkbox", 0),
}


def written_fields(settings: SalesforceSettings) -> dict[str, str]:
    """Object and field that crmsync writes, by what they mean."""
    of_deals = {**soql.own_fields(settings), **soql.payment_fields(settings)}
    of_deals |= {"status_reason": settings.status_reason_field} if settings.status_reason_field else {}
    return {
        **{meaning: f"Opportunity.{field}" for meaning, field in of_deals.items()},
        **{meaning: f"{soql.PRODUCT}.{field}" for meaning, field in soql.stock_fields(settings).items()},
    }


def settings_of_the_guide() -> SalesforceSettings:
    """With the fields that the guide names, and the defaults of all others."""
    fields = {name: value for name, value in guides.environment("salesforce").items() if name.endswith("_FIELD")}
    env = {"HOME": "/nowhere", "SF_CLIENT_ID": "x", "SF_USERNAME": "x@example.com", "SF_PRIVATE_KEY": private_pem()}
    found = Settings.from_env({**env, **fields}).systems.get("salesforce")
    assert found is not None
    return found


SETTINGS = settings_of_the_guide()
WRITTEN = written_fields(SETTINGS)


def read(path: Path) -> Element:
    return ElementTree.parse(path).getroot()


def words(element: Element) -> dict[str, str]:
    return {child.tag.removeprefix(NAMESPACE): child.text or "" for child in element}


def field_file(name: str) -> Path:
    thing, _, field = name.partition(".")
    return FIELDS / thing / "fields" / f"{field}.field-meta.xml"


def permission_set() -> Element:
    return read(PROJECT / "force-app" / "main" / "default" / "permissionsets" / "crmsync.permissionset-meta.xml")


# -- the fields


@pytest.mark.parametrize("meaning", WRITTEN)
def test_a_field_that_crmsync_writes_has_its_type_and_room(meaning: str) -> None:
    found = words(read(field_file(WRITTEN[meaning])))
    expected, length = TYPES[meaning]

    assert found["fullName"] == WRITTEN[meaning].partition(".")[2]
    assert found["type"] == expected
    assert int(found.get("length", 0)) >= length
    assert found.get("required", "false") == "false"  # a required field could not have rights of its own


def test_no_field_is_deployed_that_crmsync_does_not_write() -> None:
    deployed = {f"{path.parts[-3]}.{path.name.partition('.')[0]}" for path in FIELDS.rglob("*.field-meta.xml")}

    assert deployed == set(WRITTEN.values())


def test_the_table_of_the_guide_shows_each_field_with_its_variable_and_type() -> None:
    guide = (ROOT / "docs" / "setup" / "salesforce.md").read_text()
    rows = re.findall(r"^\| `(SF_\w+_FIELD)` \| (\w+) \| `(\w+)` \| (\w+)", guide, re.MULTILINE)

    shown = {f"{thing}.{field}": (variable, kind) for variable, thing, field, kind in rows}
    assert {name: kind for name, (_, kind) in shown.items()} == {
        name: words(read(field_file(name)))["type"] for name in WRITTEN.values()
    }
    documented = (ROOT / "docs" / "configuration.md").read_text()
    for name, (variable, _) in shown.items():  # the default, or the example of a field that has none
        assert re.search(rf"^\| `{variable}` \|.*`{name.partition('.')[2]}`", documented, re.MULTILINE), variable


# -- the rights


def field_rights() -> dict[str, bool]:
    """Each field of the permission set, and whether it may be edited."""
    rights = [words(each) for each in permission_set().iter(f"{NAMESPACE}fieldPermissions")]
    assert all(each["readable"] == "true" for each in rights)
    return {each["field"]: each["editable"] == "true" for each in rights}


def test_what_crmsync_writes_may_be_edited_and_nothing_else() -> None:
    assert {field for field, may_edit in field_rights().items() if may_edit} == set(WRITTEN.values())


def test_fields_that_may_only_be_read_are_fields_that_crmsync_reads() -> None:
    of_accounts = [f"Account.{field}" for field in READ_OF_ACCOUNTS]
    of_products = [f"{soql.PRODUCT}.{field}" for field in READ_OF_PRODUCTS]
    asked = {*READ_OF_DEALS, *of_accounts, *soql._LINES, *soql._CONTACT_ROLES, *of_products}
    read_only = [field for field, may_edit in field_rights().items() if not may_edit]

    # An address is one thing to rights, and several fields to queries; a deal's account is read through its relation.
    of_queries = {"Account.BillingAddress": "Account.BillingStreet", "Opportunity.AccountId": "Account.Name"}
    for field in read_only:
        wanted = of_queries.get(field, field)
        assert wanted in asked or wanted.removeprefix("Opportunity.") in asked, field


def test_deals_and_products_may_be_edited_and_nothing_may_be_made_or_deleted() -> None:
    rights = {
        each["object"]: {right for right, value in each.items() if value == "true"}
        for each in map(words, permission_set().iter(f"{NAMESPACE}objectPermissions"))
    }

    assert {thing for thing, granted in rights.items() if "allowEdit" in granted} == {"Opportunity", "Product2"}
    granted = set().union(*rights.values())
    assert granted == {"allowRead", "allowEdit", "viewAllRecords"}
    assert set(rights) == {"Account", "Contact", "Opportunity", "Pricebook2", "Product2"}


def test_the_permission_set_holds_nothing_but_objects_and_fields() -> None:
    assert {child.tag.removeprefix(NAMESPACE) for child in permission_set()} == {
        "description",
        "fieldPermissions",
        "hasActivationRequired",
        "label",
        "objectPermissions",
    }


# -- the form


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_element_is_known_to_the_metadata_api(path: Path) -> None:
    root = read(path)
    assert root.tag.startswith(NAMESPACE)

    assert list(faults(root, root.tag.removeprefix(NAMESPACE))) == []


def faults(element: Element, kind: str) -> Iterator[str]:
    """What Salesforce would not take of *element*, which is a *kind*."""
    known, found = KNOWN[kind], [child.tag.removeprefix(NAMESPACE) for child in element]
    yield from (f"{kind} has no {name}" for name in found if name not in known)
    yield from (f"{kind} lacks {name}" for name, what in known.items() if what.endswith("!") and name not in found)
    yield from (f"{kind} has {name} twice" for name in set(found) if found.count(name) > 1 and known[name][-1] != "*")
    if [child.tag for child in element] != sorted_tags(element):
        yield f"{kind} is not in the order in which Salesforce writes it: {found}"
    for child, name in zip(element, found, strict=True):
        if name in known:
            yield from faults_of_value(child, known[name].rstrip("!*"))


def sorted_tags(element: Element) -> list[str]:
    """A name first, then by the alphabet; an element of a flow has its name, label and place first."""
    first = ["fullName", "name", "label", "locationX", "locationY"]
    is_element = element.find(f"{NAMESPACE}locationX") is not None
    leads = first if is_element else ["fullName"]

    def place(tag: str) -> tuple[int, str]:
        name = tag.removeprefix(NAMESPACE)
        return (leads.index(name), "") if name in leads else (len(leads), name)

    return sorted([child.tag for child in element], key=place)


def faults_of_value(element: Element, kind: str) -> Iterator[str]:
    values: Any = KNOWN["enumerations"].get(kind)
    text = (element.text or "").strip()
    if values is not None:
        if text not in values:
            yield f"{text} is none of {kind}"
    elif kind not in SIMPLE:
        yield from faults(element, kind)
    elif kind == "boolean" and text not in ("true", "false"):
        yield f"{text} is neither true nor false"
    elif kind == "number" and not re.fullmatch(r"\d+(\.\d+)?", text):
        yield f"{text} is no number"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_is_named_as_what_it_holds(path: Path) -> None:
    endings = {"field": "CustomField", "permissionset": "PermissionSet", "workflow": "Workflow", "flow": "Flow"}

    assert read(path).tag == NAMESPACE + endings[path.name.split(".")[1].removesuffix("-meta")]


def test_the_project_names_its_folders_and_the_version_that_crmsync_speaks() -> None:
    project = json.loads((PROJECT / "sfdx-project.json").read_text())
    folders = [each["path"] for each in project["packageDirectories"]]

    assert all((PROJECT / folder).is_dir() for folder in folders)
    assert {path.relative_to(PROJECT).parts[0] for path in FILES} == set(folders)
    assert project["sourceApiVersion"] == SETTINGS.api_version.removeprefix("v")


# -- what announces a deal


def test_the_outbound_message_carries_the_id_alone_to_the_door_and_no_session() -> None:
    (message,) = read(PROJECT / "announce/main/default/workflows/Opportunity.workflow-meta.xml")
    said = words(message)

    assert [each.text for each in message.iter(f"{NAMESPACE}fields")] == ["Id"]
    assert said["includeSessionId"] == "false"
    assert said["endpointUrl"].startswith("https://crmsync.example.com/webhook/salesforce/deal-closed?token=REPLACE")


def test_the_flow_sends_that_message_when_a_deal_becomes_won_and_comes_switched_off() -> None:
    flow = read(PROJECT / "announce/main/default/flows/crmsync_Deal_Closed.flow-meta.xml")
    text = {child.tag.removeprefix(NAMESPACE): child.text for child in flow.iter()}

    assert text["actionName"] == "Opportunity.crmsync_deal_closed"
    assert (text["actionType"], text["field"], text["booleanValue"]) == ("outboundMessage", "IsWon", "true")
    assert text["doesRequireRecordChangedToMeetCriteria"] == "true"
    assert text["status"] == "Draft"
