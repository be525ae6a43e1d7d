"""Cases from the field: O6 (keys), O9 (`*_FILE`), O22 and P13 (values that must not be accepted in silence)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from kombu import Connection
from redis import Redis

from crmsync import needs
from crmsync.broker_address import address_of
from crmsync.cli.main import cli
from crmsync.environment import Reader
from crmsync.errors import ConfigurationError
from crmsync.log import redact, without_password
from crmsync.needs import WITHHELD
from crmsync.settings import Settings, _read
from tests.builders import private_pem

SALESFORCE = {"SF_CLIENT_ID": "id", "SF_USERNAME": "crmsync@example.com"}
EVERYTHING = {"SF_CLIENT_ID": "x", "SAP_BASE_URL": "https://sap.example", "ZOHO_CLIENT_ID": "x"}


def problems(env: Mapping[str, str]) -> Mapping[str, str]:
    try:
        Settings.from_env(env)
    except ConfigurationError as error:
        return error.field_errors
    return {}


def key_of(**env: str) -> str:
    salesforce = Settings.from_env({**SALESFORCE, **env}).systems.get("salesforce")
    assert salesforce is not None
    return salesforce.private_key.reveal()


# -- O6: the private key


def pem(key: object, form: PrivateFormat = PrivateFormat.PKCS8, password: bytes = b"") -> str:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, encryption).decode()  # type: ignore[attr-defined]


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    key = load_pem_private_key(private_pem().encode(), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


UNUSABLE: Mapping[str, tuple[Callable[[], str], str]] = {
    "encrypted": (lambda: pem(rsa_key(), password=b"geheim"), "remove the password"),
    "encrypted in the old form": (
        lambda: pem(rsa_key(), PrivateFormat.TraditionalOpenSSL, b"geheim"),
        "remove the password",
    ),
    "elliptic curve": (lambda: pem(ec.generate_private_key(ec.SECP256R1())), "openssl genrsa 2048"),
    "elliptic curve in the old form": (
        lambda: pem(ec.generate_private_key(ec.SECP256R1()), PrivateFormat.TraditionalOpenSSL),
        "openssl genrsa 2048",
    ),
    "too short": (lambda: pem(rsa.generate_private_key(65537, 1024)), "at least 2048"),
    "OpenSSH's form": (lambda: pem(rsa_key(), PrivateFormat.OpenSSH), "ssh-keygen -p -m PEM"),
    "a certificate": (
        lambda: "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "the private key that was made with it",
    ),
    "a public key": (
        lambda: rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        "is a public key",
    ),
    "cut off at its end": (lambda: private_pem()[:900], "cut off"),
    "cut off in the middle": (lambda: private_pem()[:300] + private_pem()[700:], "damaged"),
    "base64 without a frame": (lambda: "".join(private_pem().splitlines()[1:-1]), "expected a PEM private key"),
    "base64 of it": (lambda: b64encode(private_pem().encode()).decode(), "base64 -d"),
    "a path": (lambda: "/etc/crmsync/salesforce.key", "SF_PRIVATE_KEY_FILE"),
    "in quotes": (lambda: f'"{private_pem().strip()}"', "quotes"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_O6__a_key_that_can_not_sign_is_refused_by_variable_with_the_cure(name: str) -> None:
    make, cure = UNUSABLE[name]
    text = make()

    found = problems({**SALESFORCE, "SF_PRIVATE_KEY": text})

    assert set(found) == {"SF_PRIVATE_KEY"}
    assert cure in found["SF_PRIVATE_KEY"]
    assert not text[40:60] or text[40:60] not in found["SF_PRIVATE_KEY"]


BINARY: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "DER": (lambda: rsa_key().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), "-inform DER"),
    "UTF-16": (lambda: private_pem().encode("utf-16"), "UTF-16"),
    "UTF-16 without a mark": (lambda: private_pem().encode("utf-16-le"), "UTF-16"),
    "empty": (lambda: b"\n", "empty"),
    "a disk image": (lambda: b"x" * 100_000, "too large"),
}


@pytest.mark.parametrize("name", BINARY)
def test_O6__a_key_file_that_holds_no_key_is_refused_with_the_cure(name: str, tmp_path: Path) -> None:
    make, cure = BINARY[name]
    file = tmp_path / "key"
    file.write_bytes(make())

    found = problems({**SALESFORCE, "SF_PRIVATE_KEY_FILE": str(file)})

    assert set(found) == {"SF_PRIVATE_KEY_FILE"}
    assert cure in found["SF_PRIVATE_KEY_FILE"]


HARMLESS: Mapping[str, Callable[[], str]] = {
    "as it is": private_pem,
    "line ends written as \\n": lambda: private_pem().replace("\n", "\\n"),
    "doubly escaped": lambda: private_pem().replace("\n", "\\\\n"),
    "line ends of Windows": lambda: private_pem().replace("\n", "\r\n"),
    "on one line": lambda: private_pem().replace("\n", " "),
    "with a certificate before it": lambda: (
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n" + private_pem()
    ),
    "with a byte order mark": lambda: "\ufeff" + private_pem(),
    "PKCS #1": lambda: pem(rsa_key(), PrivateFormat.TraditionalOpenSSL),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_O6__a_key_that_was_only_pasted_badly_is_read(name: str, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text(HARMLESS[name]())

    for read in (key_of(SF_PRIVATE_KEY=HARMLESS[name]()), key_of(SF_PRIVATE_KEY_FILE=str(file))):
        key = load_pem_private_key(read.encode(), password=None)
        assert isinstance(key, rsa.RSAPrivateKey)
        assert key.private_numbers() == rsa_key().private_numbers()


def test_O6__a_missing_key_is_missing() -> None:
    assert problems(SALESFORCE) == {"SF_PRIVATE_KEY": "is missing"}


@pytest.mark.parametrize(
    ("name", "field", "words"),
    [
        ("SF_PURCHASE_ORDER_FIELD", "SAP_Order_Number__c", "which SF_ORDER_NUMBER_FIELD names as well"),
        ("SF_STATUS_REASON_FIELD", "sync_status__C", "which SF_STATUS_FIELD names as well"),
        ("SF_PAYMENT_AMOUNT_FIELD", "Amount", "which crmsync reads itself"),
        ("SF_PAYMENT_DATE_FIELD", "CloseDate", "which crmsync reads itself"),
        ("SF_STATUS_FIELD", "StageName", "which crmsync reads itself"),
        ("SF_PURCHASE_ORDER_FIELD", "Name", "which crmsync reads itself"),
        ("SF_TAX_NUMBER_FIELD", "Name", "which crmsync reads itself"),
        ("SF_STOCK_FIELD", "IsActive", "which crmsync reads itself"),
        ("SF_LOW_STOCK_FIELD", "Available_Stock__c", "which SF_STOCK_FIELD names as well"),
    ],
)
def test_P5__a_field_that_is_taken_is_refused_by_variable_before_anything_starts(
    name: str, field: str, words: str
) -> None:
    found = problems({**SALESFORCE, "SF_PRIVATE_KEY": WITHHELD, name: field})

    assert found == {name: f"names {field}, {words}: name another field"}


def test_P5__one_name_may_stand_for_a_field_of_each_object() -> None:
    named = {"SF_PRIVATE_KEY": WITHHELD, "SF_TAX_NUMBER_FIELD": "Sync_Status__c"}

    assert problems({**SALESFORCE, **named}) == {}


# -- O9: every secret may be in a file


def secrets_read() -> set[str]:
    reader = Reader(EVERYTHING)
    _read(reader)
    return set(reader.secrets)


@pytest.mark.parametrize("name", sorted(secrets_read() - {"SF_PRIVATE_KEY"}))
def test_O9__every_secret_may_be_in_a_file(name: str, tmp_path: Path) -> None:
    value = {
        "DATABASE_URL": "postgresql+psycopg://u:p@db/x",
        "REDIS_URL": "redis://:p@cache/0",
        "CELERY_BROKER_URL": "amqp://u:p@rabbit/crmsync",
        "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/x",
        "FLOWER_BASIC_AUTH": "operator:a long password",
    }.get(name, "a secret of more than thirty-two characters")
    file = tmp_path / "secret"
    file.write_text(f"\ufeff{value}\n")

    by_file = Reader({f"{name}_FILE": str(file)})
    assert by_file.secret_text(name) == value
    assert by_file.problems == {}
    newest = name.removesuffix("_PREVIOUS")
    assert name not in problems({**EVERYTHING, newest: value, f"{name}_FILE": str(file)})


FILES: Mapping[str, tuple[Callable[[Path], object], str]] = {
    "there is none": (lambda path: None, "can't be read: No such file"),
    "a folder": (lambda path: path.mkdir(), "can't be read: Is a directory"),
    "a pipe that nobody writes to": (os.mkfifo, "is a pipe or a device"),
    "empty": (lambda path: path.write_text(" \n"), "empty"),
    "two lines": (lambda path: path.write_text("one\ntwo\n"), "one line"),
    "UTF-16": (lambda path: path.write_bytes("geheim".encode("utf-16")), "UTF-8"),
    "UTF-16 without a mark": (lambda path: path.write_bytes("geheim".encode("utf-16-le")), "UTF-8"),
    "too large": (lambda path: path.write_text("x" * 70_000), "too large"),
    "in quotes": (lambda path: path.write_text('"correct horse battery"\n'), "quotes"),
    "a line separator": (lambda path: path.write_text("correct horse\u2028battery"), "one line"),
}


@pytest.mark.parametrize("name", FILES)
def test_O9__a_file_that_holds_no_secret_is_refused_by_variable(name: str, tmp_path: Path) -> None:
    make, problem = FILES[name]
    make(tmp_path / "secret")

    found = problems({"CRMSYNC_TOWER_PASSWORD_FILE": str(tmp_path / "secret")})

    assert set(found) == {"CRMSYNC_TOWER_PASSWORD_FILE"}
    assert problem in found["CRMSYNC_TOWER_PASSWORD_FILE"]


def test_O9__a_secret_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("another password")
    twice = {"CRMSYNC_TOWER_PASSWORD": "one password", "CRMSYNC_TOWER_PASSWORD_FILE": str(tmp_path / "secret")}

    assert problems(twice) == {
        "CRMSYNC_TOWER_PASSWORD_FILE": "and CRMSYNC_TOWER_PASSWORD are both set: keep one of them"
    }


def test_O9__a_vendor_counts_as_configured_by_a_file() -> None:
    assert "ZOHO_CLIENT_ID" in problems({"ZOHO_REFRESH_TOKEN_FILE": "/nowhere"})


def test_O9__every_secret_says_which_processes_need_it() -> None:
    assert secrets_read() | {"PGPASSWORD"} == needs.secrets() - needs.NOBODY_NEEDS


# -- O22: nothing is accepted in silence


def numbers() -> list[str]:
    """Every variable that is a number: those that refuse a word with the span that they allow."""
    reader = Reader({})
    _read(reader)
    names = set(reader.names) | {"SF_CALLS_AT_ONCE", "SAP_CALLS_AT_ONCE", "ZOHO_CALLS_PER_DAY", "ZOHO_CALLS_AT_ONCE"}
    asked = {**EVERYTHING, **dict.fromkeys(names - set(EVERYTHING), "word")}
    return sorted(name for name, problem in problems(asked).items() if "number from" in problem)


def test_O22__every_number_is_known_here() -> None:
    assert {"PORT", "FLOWER_PORT", "CRMSYNC_LEASE_SECONDS", "CRMSYNC_WORKERS", "ZOHO_CALLS_PER_DAY"} <= set(numbers())


@pytest.mark.parametrize(
    "text", ["1e12", "NaN", "-0", "0x10", "1_000", "9" * 12, "9" * 400, "08000", "+5", "٣", "1,5", "inf", "5 s", "1e-3"]
)
def test_O22__a_number_that_nobody_means_is_refused_with_the_span(text: str) -> None:
    for name in numbers():
        assert "number from" in problems({**EVERYTHING, name: text}).get(name, ""), name


def test_O22__plain_numbers_are_read() -> None:
    settings = Settings.from_env({"CRMSYNC_LEASE_SECONDS": "90.5", "PORT": "8080"})

    assert (settings.behaviour.lease_seconds, settings.port) == (90.5, 8080)


@pytest.mark.parametrize("quoted", ['"{}"', "'{}'", "“{}”"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CRMSYNC_TOWER_PASSWORD", "correct horse battery"),
        ("DATABASE_URL", "postgresql://db/crmsync"),
        ("PORT", "8000"),
        ("CRMSYNC_HOME", "/var/lib/crmsync"),
        ("CRMSYNC_ALLOW_HTTP", "true"),
    ],
)
def test_O22__a_value_in_quotes_is_refused_by_variable(name: str, value: str, quoted: str) -> None:
    found = problems({name: quoted.format(value)})

    assert set(found) == {name}
    assert "quotes" in found[name]


@pytest.mark.parametrize("character", ["\u200b", "\u202e", "\x1b", "\n", "\u00ad", "\ufeff", "\u2028", "\udcff"])
def test_O22__an_invisible_character_inside_a_value_is_refused(character: str) -> None:
    found = problems({"CRMSYNC_TOWER_PASSWORD": f"correct horse{character}battery"})

    assert "invisible" in found["CRMSYNC_TOWER_PASSWORD"]


@pytest.mark.parametrize("home", ["/var/lib/a?b", "%h/state", "/var/lib/c%41d"])
def test_O22__a_state_directory_whose_database_would_lie_elsewhere_is_refused(home: str) -> None:
    assert "its database would be created elsewhere" in problems({"CRMSYNC_HOME": home})["CRMSYNC_HOME"]
    assert problems({"CRMSYNC_HOME": "/var/lib/e f#g/ü/@h:1"}) == {}


def addresses() -> list[str]:
    """Every variable that is an address of the web."""
    reader = Reader(EVERYTHING)
    _read(reader)
    asked = {**EVERYTHING, **dict.fromkeys(set(reader.names) - set(EVERYTHING), "ftp://word")}
    return sorted(name for name, problem in problems(asked).items() if "starting with https" in problem)


@pytest.mark.parametrize(
    "text",
    [
        "https://user:geheim@host.example",
        "https://geheim@host.example",
        "https://host.example/?q=1",
        "https://host.example/#part",
        "https://host.example\\@other.example",
        "https://a b.example",
        "https://host.example/a b",
        "https://münchen.example",
        "https://host.example/ä",
    ],
)
def test_O22__an_address_that_is_more_than_host_and_path_is_refused(text: str) -> None:
    names = addresses()
    assert {"CRMSYNC_PUBLIC_URL", "SF_LOGIN_URL", "SLACK_WEBHOOK_URL", "ZOHO_API_URL"} <= set(names)

    for name in names:
        told = problems({**EVERYTHING, name: text}).get(name, "")
        assert "host and path only" in told or "no user and no password" in told, name
        assert "geheim" not in told


@pytest.mark.parametrize("name", ["CRMSYNC_HOST", "CRMSYNC_ADMIN_HOST", "FLOWER_ADDRESS"])
def test_O22__what_is_no_host_to_listen_at_is_refused(name: str) -> None:
    for text in ("https://h", "[::1]", "a b", "*", "٣"):
        assert "expected a host" in problems({name: text})[name]
    for text in ("0.0.0.0", "::1", "localhost"):
        assert problems({name: text}) == {}


ADDRESSES = [
    "unix://:geheim@/run/redis.sock?db=1",
    "redis://:geheim@cache/0",
    "redis://geheim@cache/0",
    "rediss://user:ge@geheim/heim#geheim@cache:6380/0",
    "redis+socket://:geheim@/run/redis.sock?virtual_host=0",
    "amqp://crm:geheim@rabbit:5672/v",
    "postgresql://crm:p@geheim@db/crmsync",
    "postgresql://db/crmsync?user=crm&password=geheim",
    "postgresql://db/crmsync?sslpassword=geheim&sslmode=verify-full",
    "postgresql://db/crmsync?password=a&geheim",
    "redis://cache/0?password=geheim&db=1",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_O22__no_form_of_an_address_shows_its_password(address: str) -> None:
    assert "geheim" not in without_password(address)
    assert "geheim" not in redact(f"can't connect to {address} now")


@pytest.mark.parametrize("words", [("doctor",), ("config",), ("config", "--json"), ("doctor", "--json")])
def test_O22__doctor_and_config_show_no_password_of_a_socket(words: tuple[str, ...], tmp_path: Path) -> None:
    env = {"REDIS_URL": f"unix://:geheim@{tmp_path}/none.sock", "CRMSYNC_HOME": str(tmp_path)}

    result = CliRunner(env=env).invoke(cli, words)

    assert "geheim" not in result.output
    assert "Traceback" not in result.output


# -- O18: addresses that are written wrongly


@pytest.mark.parametrize(
    "address",
    [
        "redis://:p#w@cache/0",
        "redis://:p/w@cache/0",
        "redis://:p?w@cache/0",
        "redis://:p@w@cache/0",
        "redis://cache:port/0",
        "rediss://:p/w#x@y@cache:6380/0",
        "unix://:p/w@/run/redis.sock",
    ],
)
def test_O18__a_password_that_is_not_encoded_is_refused_with_the_way_to_write_it(address: str) -> None:
    found = problems({"REDIS_URL": address})

    assert set(found) == {"REDIS_URL"}
    assert "%40" in found["REDIS_URL"]
    assert "p#w" not in found["REDIS_URL"]


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("redis://cache/crmsync", "must be a number"),
        ("cache:6379", "expected an address starting with one of redis://"),
        ("redis:cache", "expected an address"),
        ("unix://", "has no path of a socket"),
        ("redis://", "has no host"),
        ("http://cache", "expected an address"),
    ],
)
def test_O18__an_address_that_leads_nowhere_is_refused(address: str, problem: str) -> None:
    assert problem in problems({"REDIS_URL": address})["REDIS_URL"]


@pytest.mark.parametrize(
    "address",
    [
        "redis://:p%40w%2F%23@cache:6379/0",
        "redis://user:pw@cache",
        "redis://[::1]:6379/3",
        "unix:///run/redis.sock?db=2",
        "unix://:pw@/run/redis.sock?db=2",
        "rediss://cache:6380/0?ssl_cert_reqs=CERT_REQUIRED",
    ],
)
def test_O18__addresses_that_are_right_are_accepted(address: str) -> None:
    assert problems({"REDIS_URL": address}) == {}


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("postgresql://crm:p@ss@db/crmsync", "%40"),
        ("postgresql://crm:p@ss/w#rd@db/crmsync", "%40"),
        ("postgresql://crm:geheim@db:port/crmsync", "a port from 1 to 65535"),
        ("postgresql://crm:geheim@db:70000/crmsync", "a port from 1 to 65535"),
        ("postgresql://crm:geheim@one:5432,two:5432/crmsync", "?host=a:5432&host=b:5432"),
        ("postgresql://crm@db/crmsync?ssl=true", "not an option of PostgreSQL"),
        ("postgresql://crm@db/crmsync?prepare_threshold=often", "must be a number"),
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
        ("sqlite://crmsync.db", "third slash"),
        ("sqlite:///crmsync.db?pool=5", "is not supported"),
        ("mysql://db/crmsync", "expected sqlite:///… or postgresql://…"),
    ],
)
def test_O18__an_address_of_a_database_that_leads_nowhere_is_refused(address: str, problem: str) -> None:
    found = problems({"DATABASE_URL": address})

    assert set(found) == {"DATABASE_URL"}
    assert problem in found["DATABASE_URL"]
    assert "geheim" not in found["DATABASE_URL"]


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://crm:p%40w%2F%23@db:5432/crmsync?sslmode=verify-full&sslrootcert=system&prepare_threshold=5",
        "postgresql://crm:p#w/x:y@db/crmsync",
        "postgres://",
        "postgresql:///crmsync?host=/run/postgresql",
        "postgresql:///crmsync?host=one:5432&host=two:5432&target_session_attrs=read-write",
        "postgresql://crm@server:geheim@[::1]:5432/crmsync?options=-csearch_path%3Dcrm",
        "sqlite:////var/lib/crmsync/crmsync.db",
        "sqlite:///crmsync.db?timeout=5",
    ],
)
def test_O18__addresses_of_databases_that_are_right_are_accepted(address: str) -> None:
    assert problems({"DATABASE_URL": address}) == {}


@pytest.mark.parametrize(
    ("name", "address", "problem"),
    [
        ("REDIS_URL", "redis://cache/0?nonsense=1", "nonsense is not supported"),
        ("REDIS_URL", "redis://cache?db=one", "db must be a number"),
        ("REDIS_URL", "redis://cache?socket_timeout=long", "must be a number of seconds"),
        ("CELERY_BROKER_URL", "redis+socket:///run/redis.sock?db=1", "virtual_host are"),
        ("CELERY_BROKER_URL", "amqp://rabbit//?db=1", "heartbeat"),
        ("CELERY_BROKER_URL", "amqps://rabbit//?heartbeat=often", "must be a number of seconds"),
    ],
)
def test_O18__an_option_that_a_client_of_the_broker_would_choke_on_is_refused(
    name: str, address: str, problem: str
) -> None:
    assert problem in problems({name: address})[name]


@pytest.mark.parametrize(
    ("address", "database"),
    [
        ("redis://cache/0?db=3&health_check_interval=5", 3),
        ("redis://:p%40w@cache:6380/2?socket_timeout=5", 2),
        ("redis://cache", 0),
        ("unix:///run/redis.sock?db=4", 4),
        ("unix:///run/redis.sock?socket_timeout=1&db=4", 4),
        ("rediss://cache/0?ssl_certfile=/dev/null&db=5", 5),
    ],
)
def test_O1__every_client_uses_the_same_database_of_an_address(address: str, database: int) -> None:
    ours, options = address_of(address).redis_py()
    url, _ = address_of(address).kombu()

    assert Redis.from_url(ours, **options).connection_pool.connection_kwargs.get("db", 0) == database
    with Connection(url) as connection:  # raises for an option that it does not know
        in_words = url.partition("virtual_host=")[2] or connection.virtual_host.strip("/")  # the former of a socket
        assert int(in_words or 0) == database
        assert connection.password in (None, "p@w")


def test_settings_are_read_without_the_library_of_keys() -> None:
    """Beat and Flower have no key, and pay nothing for reading one."""
    code = (
        "import sys; from crmsync.settings import Settings; Settings.from_env({}); print('cryptography' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_config_as_json_is_json() -> None:
    assert json.loads(CliRunner().invoke(cli, ["config", "--json"]).output)["flower.port"] == "5555"
