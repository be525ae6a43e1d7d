"""Which process needs which secret; the others are withheld from it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from crmsync.systems import installed

WITHHELD = "withheld-from-this-process"
"""Stands in for a secret: the process knows that it is configured, and can't use it."""

_STORE = frozenset({"DATABASE_URL", "PGPASSWORD"})
_BROKER = frozenset({"REDIS_URL", "CELERY_BROKER_URL"})
_KEY = frozenset({"CRMSYNC_SECRET_KEY", "CRMSYNC_SECRET_KEY_PREVIOUS"})
_SLACK = frozenset({"SLACK_WEBHOOK_URL", "SLACK_BOT_TOKEN"})
_TOWER = frozenset({"CRMSYNC_TOWER_PASSWORD"})
_SIGN_ON = frozenset({"CRMSYNC_OIDC_CLIENT_SECRET"})
_FIGURES = frozenset({"CRMSYNC_METRICS_TOKEN"})
_FLOWER = frozenset({"FLOWER_BASIC_AUTH"})

NOBODY_NEEDS = frozenset({"POSTGRES_PASSWORD"})  # docker-compose.yml makes others of it


@cache
def needs() -> Mapping[str, frozenset[str]]:
    """The secrets that each process needs, by its name. Those of the systems are what the systems say."""
    doors, systems = (frozenset().union(*each) for each in _of_systems())
    return {
        "release": _STORE,
        "web": _STORE | _BROKER | _KEY | doors | _TOWER | _FIGURES | _SIGN_ON,
        "worker": _STORE | _BROKER | _KEY | systems | _SLACK,
        "beat": _STORE | _BROKER,
        "flower": _BROKER | _TOWER | _FLOWER,
    }


def _of_systems() -> tuple[list[frozenset[str]], list[frozenset[str]]]:
    found = installed().values()
    return [each.door_secrets for each in found], [each.sign_in_secrets for each in found]


@cache
def secrets() -> frozenset[str]:
    """Every variable that holds one."""
    return frozenset().union(*needs().values()) | NOBODY_NEEDS


# A program that is not ours, such as the Redis server, gets these and nothing else.
_PLAIN = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "PYTHONPATH", "LD_LIBRARY_PATH"})


def for_process(name: str, env: Mapping[str, str]) -> dict[str, str]:
    """What the process *name* gets of *env*.

    >>> for_process("beat", {"REDIS_URL": "redis://r", "SAP_PASSWORD": "geheim", "ZOHO_REFRESH_TOKEN_FILE": "/run/z"})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'REDIS_URL': 'redis://r', 'SAP_PASSWORD': 'withheld-from-this-process',
     'ZOHO_REFRESH_TOKEN': 'withheld-from-this-process'}
    """
    given: dict[str, str] = {}
    for variable, value in env.items():
        secret = variable.removesuffix("_FILE")
        is_withheld = secret in secrets() - needs()[name] and bool(value.strip())
        given.update({secret: WITHHELD} if is_withheld else {variable: value})
    return given


def plain(env: Mapping[str, str]) -> dict[str, str]:
    """What any program needs of *env*, and no secret."""
    return {name: value for name, value in env.items() if name in _PLAIN}
