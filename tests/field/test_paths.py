"""Cases from the field, O20: the receiver under a path of its host; and public and private pages on two ports."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
import yaml
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from crmsync.domain.dead_letters import LetterStatus
from crmsync.errors import InvalidDealError
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.web import metrics
from crmsync.web.app import create_app
from tests.field.receiver import Receiver
from tests.field.test_doors import BODY, ENVIRONMENT, OPERATOR, TOWER_PASSWORD
from tests.integration.test_webhooks import DOOR, dies_of, signed
from tests.system import ROOT
from tests.unit.web.conftest import NO_REDIS

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
PREFIX = "/apps/crm"
OUTSIDE = "https://intranet.test"


@pytest.fixture(autouse=True)
def environment(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = {**ENVIRONMENT, "CRMSYNC_TOWER_PASSWORD": TOWER_PASSWORD, "REDIS_URL": NO_REDIS}
    for name, value in changed.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(metrics, "queue_names", lambda: ())
    monkeypatch.setattr("crmsync.worker.dead_letters.best_effort", lambda send: True)


def client_of(services: Services, **environment: str) -> FlaskClient:
    settings = Settings.from_env({**os.environ, **environment})
    return create_app(Services(settings, services.store)).test_client(use_cookies=False)


class Proxy:
    """What a browser sees: addresses under PREFIX. *strips*: the receiver sees them without it."""

    def __init__(self, client: FlaskClient, *, strips: bool, header: bool) -> None:
        self._client = client
        self._strips = strips
        self._headers = {**OPERATOR, **({"X-Forwarded-Prefix": PREFIX} if header else {})}

    def open(self, path: str, **options: Any) -> TestResponse:
        assert path == PREFIX or path.startswith(f"{PREFIX}/"), f"{path} leads out of the application"
        inside = (path.removeprefix(PREFIX) or "/") if self._strips else path
        headers = {**self._headers, **options.pop("headers", {})}
        answer = self._client.open(inside, headers=headers, **options)
        answer.get_data()
        answer.close()
        return answer


WAYS = {
    "the address says it, the proxy strips it": ({"CRMSYNC_PUBLIC_URL": OUTSIDE + PREFIX}, True, False),
    "the address says it, the proxy leaves it": ({"CRMSYNC_PUBLIC_URL": f"{OUTSIDE}{PREFIX}/"}, False, False),
    "the proxy says it and strips it": ({}, True, True),
    "the proxy says it and leaves it": ({}, False, True),
    "both say it": ({"CRMSYNC_PUBLIC_URL": OUTSIDE + PREFIX}, True, True),
}


@pytest.fixture(params=WAYS.values(), ids=WAYS.keys())
def proxy(request: pytest.FixtureRequest, services: Services) -> Proxy:
    environment, strips, header = request.param
    return Proxy(client_of(services, **environment), strips=strips, header=header)


def targets(page: TestResponse, at: str) -> Iterator[str]:
    """Where the links, forms, scripts and styles of a page lead, as a browser resolves them."""
    for target in re.findall(r'(?:href|src|action)="([^"]+)"', page.text):
        parts = urlsplit(urljoin(f"{OUTSIDE}{at}", target.replace("&amp;", "&")))
        assert f"{parts.scheme}://{parts.netloc}" == OUTSIDE, target
        yield parts.path + (f"?{parts.query}" if parts.query else "")


def test_O20__every_page_and_file_is_reached_under_the_path(services: Services, proxy: Proxy) -> None:
    """A crawl from the first page on."""
    dies_of(services, InvalidDealError())
    seen, waiting = set(), [f"{PREFIX}/"]
    while waiting:
        at = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        page = proxy.open(at)
        is_action = re.search(r"/dead-letters/\d+/", at) is not None
        assert page.status_code == (405 if is_action else 200), at
        if page.mimetype == "text/html" and not is_action:
            waiting += targets(page, at)

    pages = {urlsplit(each).path.removeprefix(PREFIX) for each in seen}
    assert {"/", "/runs", "/dead-letters", "/stock", "/alerts", "/static/tower.css", "/static/live.js"} <= pages
    assert any(page.endswith("/replay") for page in pages)
    assert any(re.fullmatch(r"/runs/\w+", page) for page in pages)


def test_O20__a_form_is_sent_and_answered_under_the_path(services: Services, proxy: Proxy) -> None:
    run_id = dies_of(services, InvalidDealError())
    page = proxy.open(f"{PREFIX}/dead-letters")
    cookie = page.headers["Set-Cookie"]
    token = re.search(r'name="token" value="([^"]+)"', page.text)
    action = next(target for target in targets(page, f"{PREFIX}/dead-letters") if target.endswith("/replay"))
    assert token is not None
    assert f"Path={PREFIX}" in cookie, "no other application of the host gets it"

    sent = proxy.open(action, method="POST", data={"token": token[1]}, headers={"Cookie": cookie.partition(";")[0]})

    assert (sent.status_code, sent.headers["Location"]) == (303, f"{PREFIX}/dead-letters")
    with services.store.read() as uow:
        letter = uow.dead_letters.of_run(run_id)
    assert letter is not None
    assert letter.status is LetterStatus.REPLAYING


def test_O20__webhooks_and_health_are_reached_under_the_path(services: Services, proxy: Proxy) -> None:
    assert proxy.open(PREFIX + DOOR, method="POST", data=BODY, headers=signed(BODY)).status_code == 200
    assert proxy.open(f"{PREFIX}/healthz").status_code == 200
    assert proxy.open(f"{PREFIX}/metrics").status_code == 200


def test_O20__this_machine_reaches_it_without_the_path_as_well(services: Services) -> None:
    """The supervisor, health checks, and a scraper beside it."""
    client = client_of(services, CRMSYNC_PUBLIC_URL=OUTSIDE + PREFIX)

    assert client.get("/healthz").status_code == client.get(f"{PREFIX}/healthz").status_code == 200


@pytest.mark.parametrize("told", ["//evil.test", "/a b", "/a\r\nX: y", "https://evil.test", "/<script>", "/a//b", "a"])
def test_O20__a_prefix_that_is_no_path_is_not_believed(services: Services, told: str) -> None:
    environ = {"HTTP_X_FORWARDED_PREFIX": told}

    page = client_of(services).get("/", headers=OPERATOR, environ_overrides=environ)

    assert page.status_code == 200
    assert 'href="/runs' in page.text
    assert "evil" not in page.text


def test_O20__only_a_trusted_proxy_is_believed(services: Services) -> None:
    def first_link(trusted: str, address: str) -> bool:
        client = client_of(services, **({"CRMSYNC_TRUSTED_PROXIES": trusted} if trusted else {}))
        headers = {**OPERATOR, "X-Forwarded-Prefix": "/told"}
        page = client.get("/", headers=headers, environ_overrides={"REMOTE_ADDR": address})
        return 'href="/told/runs' in page.text

    assert first_link("", "127.0.0.1")
    assert not first_link("", "203.0.113.9")
    assert first_link("172.16.0.0/12, 203.0.113.9", "203.0.113.9")
    assert first_link("172.16.0.0/12", "172.20.0.3")
    assert not first_link("172.16.0.0/12", "127.0.0.1")
    assert not first_link("172.16.0.0/12", "no address")
    assert first_link("172.16.0.0/12", "::ffff:172.20.0.3"), "a peer of IPv4 at a socket of IPv6"
    assert not first_link("172.16.0.0/12", "::ffff:203.0.113.9")


@pytest.mark.parametrize("path", ["/webhook//salesforce/deal-closed", "/webhook/salesforce//deal-closed", "//runs", ""])
def test_O20__a_slash_too_many_leads_to_no_other_address(services: Services, path: str) -> None:
    """A redirect would carry the token of the address to the host that the caller names, and by http."""
    client = client_of(services, CRMSYNC_PUBLIC_URL=OUTSIDE + PREFIX)
    for place in (path, PREFIX + path):
        answer = client.get(f"{DOOR}?token=secret", environ_overrides={"PATH_INFO": place}, headers=OPERATOR)
        assert answer.status_code == (405 if "webhook" in path else 200)
        assert "Location" not in answer.headers


# -- public and private pages apart

PUBLIC, PRIVATE = "http://localhost:8000", "http://localhost:8001"


@pytest.fixture
def apart(services: Services) -> FlaskClient:
    return client_of(services, CRMSYNC_ADMIN_PORT="8001")


@pytest.mark.parametrize("path", ["/", "/runs", "/dead-letters", "/alerts", "/stock", "/metrics", "/static/tower.css"])
def test_D2__private_pages_are_on_their_own_port_only(apart: FlaskClient, path: str) -> None:
    with apart.get(path, base_url=PUBLIC, headers=OPERATOR) as public:
        assert public.status_code == 404
    with apart.get(path, base_url=PRIVATE, headers=OPERATOR) as private:
        assert private.status_code == 200
    if not path.startswith("/static"):
        assert apart.get(path, base_url=PRIVATE).status_code == 401, "and ask who it is"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "PROPFIND"])
def test_D2__a_stranger_can_not_tell_a_private_page_from_none(apart: FlaskClient, method: str) -> None:
    def seen(path: str) -> tuple[str, object, str]:
        answer = apart.open(path, method=method, base_url=PUBLIC, headers=OPERATOR)
        return answer.status, dict(answer.headers), answer.text

    pages = ("/", "/runs", "/runs/1", "/dead-letters/1/replay", "/metrics", "/static/tower.css")
    assert {repr(seen(path)) for path in pages} == {repr(seen("/nothing-is-here"))}


def test_D2__doors_are_on_the_public_port_only(services: Services, apart: FlaskClient) -> None:
    assert apart.post(DOOR, base_url=PRIVATE, data=BODY, headers=signed(BODY)).status_code == 404
    assert apart.post(DOOR, base_url=PUBLIC, data=BODY, headers=signed(BODY)).status_code == 200


def test_D2__strangers_are_told_that_it_is_ready_and_not_what_it_is_made_of(apart: FlaskClient) -> None:
    told = {base: apart.get("/readyz", base_url=base).get_json() for base in (PUBLIC, PRIVATE)}

    assert list(told[PUBLIC]) == ["status"]
    assert set(told[PRIVATE]["checks"]) >= {"store", "broker"}
    assert all(apart.get("/healthz", base_url=base).status_code == 200 for base in (PUBLIC, PRIVATE))


def test_D2__a_port_can_not_be_both(services: Services) -> None:
    from crmsync.errors import ConfigurationError

    with pytest.raises(ConfigurationError) as caught:
        client_of(services, CRMSYNC_ADMIN_PORT="8000")

    assert list(caught.value.field_errors) == ["CRMSYNC_ADMIN_PORT"]


def test_D2__the_receiver_listens_on_both_ports_and_the_host_header_says_nothing(tmp_path: Path) -> None:
    """Whole, as it is served."""
    with Receiver(tmp_path, apart=True) as receiver:
        forged = {**OPERATOR, "Host": f"localhost:{receiver.admin_port}"}

        assert receiver.ask("GET", "/", headers=forged) == 404
        assert receiver.ask("GET", "/", headers=OPERATOR, port=receiver.admin_port) == 200
        assert receiver.ask("GET", "/metrics", headers=OPERATOR, port=receiver.admin_port) == 200
        assert receiver.ask("POST", DOOR, BODY, signed(BODY), port=receiver.admin_port) == 404
        assert receiver.announce(BODY) == 200


# -- what compose puts in front


def test_D1__compose_brings_a_buffering_proxy_that_publishes_the_doors_only() -> None:
    proxy, web = (COMPOSE["services"][name] for name in ("proxy", "web"))
    config = re.sub(r"#.*", "", (ROOT / "deploy" / "Caddyfile").read_text())

    assert "./deploy/Caddyfile:/etc/caddy/Caddyfile:ro" in proxy["volumes"]
    assert re.search(r"@public path /webhook/\* /healthz\n", config)
    assert re.search(r"handle {\s+respond 404\s+}", config), "what is not public is not there"
    assert "request_buffers" in config
    assert all(f"{limit} " in config for limit in ("read_header", "read_body", "write", "idle", "max_size"))
    assert not re.search(r"^\s*log\b", config, re.MULTILINE), "an address may hold a token"
    assert web["environment"]["CRMSYNC_ADMIN_PORT"] == "8001"
    assert all(":-127.0.0.1:" in port for port in web["ports"]), "the receiver itself is published to this machine only"
