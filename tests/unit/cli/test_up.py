"""`crmsync up` starts nothing before the environment is right."""

from __future__ import annotations

import socket

import pytest

from crmsync.cli import up
from crmsync.errors import ConfigurationError
from crmsync.settings import Settings
from tests.builders import private_pem

CONFIGURED = {
    "SF_CLIENT_ID": "id",
    "SF_USERNAME": "crmsync@example.com",
    "SF_PRIVATE_KEY": private_pem(),
    "SAP_BASE_URL": "https://sap.example.com",
    "SAP_CLIENT_ID": "id",
    "SAP_CLIENT_SECRET": "secret",
    "SAP_SALES_ORGANIZATION": "1010",
    "ZOHO_CLIENT_ID": "id",
    "ZOHO_CLIENT_SECRET": "secret",
    "ZOHO_REFRESH_TOKEN": "token",
    "ZOHO_ORGANIZATION_ID": "1",
}


def without(*prefixes, **changes):
    return {name: value for name, value in CONFIGURED.items() if not name.startswith(prefixes)} | changes


def test_a_full_environment_is_accepted():
    assert up.checked(CONFIGURED).systems.get("s4hana") is not None


@pytest.mark.parametrize(
    ("env", "variables"),
    [
        ({}, {"SF_CLIENT_ID", "SAP_BASE_URL", "ZOHO_CLIENT_ID"}),
        (without("SAP_"), {"SAP_BASE_URL"}),
        (without("SAP_", PORT="eighty"), {"SAP_BASE_URL", "PORT"}),
        (without("SF_USERNAME", "ZOHO_"), {"SF_USERNAME", "ZOHO_CLIENT_ID"}),
    ],
    ids=["nothing is configured", "one system is missing", "and a port is wrong", "one is incomplete, one missing"],
)
def test_everything_that_is_wrong_is_told_at_once(env, variables):
    with pytest.raises(ConfigurationError) as caught:
        up.checked(env)

    assert set(caught.value.field_errors) == variables


def test_the_command_ends_with_2_and_no_traceback(run_cli):
    result = run_cli("up")

    assert result.exit_code == 2
    assert "SAP_BASE_URL" in result.stderr
    assert "Traceback" not in result.output


def test_a_port_that_is_taken_is_told_before_anything_starts():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        with pytest.raises(ConfigurationError) as caught:
            up.refuse_taken_port(Settings.from_env({"PORT": str(port)}))

    assert set(caught.value.field_errors) == {"PORT"}


def test_where_the_password_is_is_told_but_not_the_password(tmp_path):
    given = Settings.from_env({"CRMSYNC_TOWER_PASSWORD": "correct horse battery"})

    assert up.where_the_password_is(given) == "CRMSYNC_TOWER_PASSWORD"
    assert up.where_the_password_is(Settings.from_env({"CRMSYNC_HOME": "/state"})) == "in /state/tower.password"


def test_a_password_in_an_address_is_not_shown():
    settings = Settings.from_env({"REDIS_URL": "redis://:geheim@redis.example.com/0"})

    assert "geheim" not in up.redis_of(settings)
