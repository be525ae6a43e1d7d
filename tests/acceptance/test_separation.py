"""Nothing secret and nothing of a person leaves the vendors and the store, and nothing of one company reaches another.

An end-to-end run with two companies plants secrets and personal data that can be recognised. What then stands in
answers, pages, logs, Redis, Flower, metrics, Slack and files is searched for each of them, also encoded.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crmsync.lab.rig import SlackCatcher
from crmsync.web.api.endpoints import ENDPOINTS
from tests import system as harness
from tests.acceptance import two_companies as story
from tests.acceptance.planted import Output, Outputs, Tap, everything_in, forms, where
from tests.acceptance.two_companies import PERSONS, TENANTS, WORDS, Life
from tests.system import NO_PERIODS, RedisServer, System, big_sandbox

pytestmark = pytest.mark.acceptance

# Where the store holds personal data, which retention and `crmsync forget` take away (docs/runbook.md).
OF_PERSONS = {"runs.results"}
# Screens and alerts may name a company; so may answers to who is let in.
SCREENS = ("api", "page", "command", "slack")


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    home = tmp_path_factory.mktemp("separation")
    with (
        big_sandbox(companies=2) as sandbox,
        SlackCatcher() as slack,
        RedisServer() as broker,
        harness.database(home) as url,
    ):
        broker.start()
        environment = {
            **story.SECRETS,
            **NO_PERIODS,
            "SLACK_WEBHOOK_URL": f"{slack.url}/planted-path-of-slack",
            "FLOWER_BASIC_AUTH": ":".join(story.FLOWER),
            "CRMSYNC_ALLOW_HTTP": "true",
            "CRMSYNC_ALLOW_PRIVATE_ADDRESSES": "true",
            "CRMSYNC_LOG_LEVEL": "DEBUG",
        }
        system = System(home, sandbox, database_url=url, redis_url=broker.url, **environment)
        with system, Tap(broker.url) as tap, system.redis() as client:
            life = Life(system, Outputs(), slack)
            life.secrets.add("planted-path-of-slack")
            system.start("web", "worker", "beat", "flower")
            story.people_and_tokens(life)
            story.connect(life)
            story.deals(life)
            story.changes(life)
            life.secrets |= story.vendor_tokens(sandbox.companies)
            story.remains(life, tap.commands, everything_in(client))
            yield life


def test_the_search_finds_what_is_planted() -> None:
    for form in forms("planted value"):
        assert where(["planted value"], [Output("log x", f"..{form}..")]), form


def test_everything_was_read(life: Life) -> None:
    """What has not happened proves nothing."""
    public = {endpoint for endpoint, rule in ENDPOINTS.items() if rule.is_public}
    assert set(ENDPOINTS) - public - life.asked == set()
    assert {each.kind for each in life.outputs.all} == {
        "api", "page", "door", "command", "flower", "log", "redis", "slack", "file",
    }  # fmt: skip
    assert len(life.secrets) > 30
    for tenant in TENANTS:
        company, person = life.company(tenant), PERSONS[tenant]
        with company.zoho.lock:
            stored = str(company.zoho.organization.contacts.docs)
        assert person.email in stored
        assert person.company in " ".join(each.text for each in life.outputs.of("slack"))
        assert person.company in " ".join(each.text for each in life.outputs.of("api") if each.tenant == tenant)


def test_no_secret_stands_anywhere(life: Life) -> None:
    assert where(life.secrets, life.outputs.all) == []


def test_no_person_stands_anywhere(life: Life) -> None:
    assert where(_persons(), life.outputs.all) == []


def test_companies_are_named_on_screens_and_in_alerts_only(life: Life) -> None:
    assert where([each.company for each in PERSONS.values()], life.outputs.besides(*SCREENS)) == []


def test_vendors_words_are_shown_to_operators_only(life: Life) -> None:
    strangers = [each for each in life.outputs.all if each.role not in ("operator", "admin") and each.kind != "command"]

    assert where([WORDS], strangers) == []
    for tenant in TENANTS:
        assert where([WORDS], [each for each in life.outputs.of("api") if each.tenant == tenant]) != []
    assert where([WORDS], [each for each in life.outputs.of("page") if each.role == "operator"]) != []


def test_a_company_sees_nothing_of_another(life: Life) -> None:
    for tenant, other in (TENANTS, TENANTS[::-1]):
        answers = [each for each in life.outputs.of("api") if each.tenant == tenant]

        assert where(life.names[other], answers) == []
        assert where(life.names[tenant], answers) != []


def test_in_the_store_secrets_are_sealed_and_persons_stand_where_it_is_said(life: Life) -> None:
    columns = [Output(name, text) for name, text in story.columns(life)]

    assert where(life.secrets, columns) == []
    assert where([WORDS], columns) == []
    assert {each.place for each in columns if where(_persons(), [each])} == OF_PERSONS


def _persons() -> list[str]:
    return [text for each in PERSONS.values() for text in each.data]
