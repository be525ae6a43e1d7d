"""Which process needs which secret. What a process does not need is withheld from it."""

from __future__ import annotations

from collections.abc import Mapping

WITHHELD = "withheld-from-this-process"
"""Stands in for a secret: the process knows that it is configured, and can't use it."""

_STORE = frozenset({"DATABASE_URL", "PGPASSWORD"})
_BROKER = frozenset({"REDIS_URL", "CELERY_BROKER_URL"})
_KEY = frozenset({"CRMSYNC_SECRET_KEY"})
_DOORS = frozenset(
    f"{name}{which}"
    for name in ("SF_WEBHOOK_SECRET", "SF_WEBHOOK_BEARER", "SF_WEBHOOK_TOKEN", "ZOHO_WEBHOOK_SECRET")
    for which in ("", "_PREVIOUS")
)
_SYSTEMS = frozenset(
    {"SF_PRIVATE_KEY", "SAP_CLIENT_SECRET", "SAP_PASSWORD", "ZOHO_CLIENT_SECRET", "ZOHO_REFRESH_TOKEN"}
)
_SLACK = frozenset({"SLACK_WEBHOOK_URL", "SLACK_BOT_TOKEN"})
_TOWER = frozenset({"CRMSYNC_TOWER_PASSWORD"})
_FIGURES = frozenset({"CRMSYNC_METRICS_TOKEN"})
_FLOWER = frozenset({"FLOWER_BASIC_AUTH"})

NEEDS: Mapping[str, frozenset[str]] = {
    "release": _STORE,
    "web": _STORE | _BROKER | _KEY | _DOORS | _TOWER | _FIGURES,
    "worker": _STORE | _BROKER | _KEY | _SYSTEMS | _SLACK,
    "beat": _STORE | _BROKER,
    "flower": _BROKER | _TOWER | _FLOWER,
}
NOBODY_NEEDS = frozenset({"POSTGRES_PASSWORD"})  # docker-compose.yml makes others of it
SECRETS = frozenset().union(*NEEDS.values()) | NOBODY_NEEDS

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
        is_withheld = secret in SECRETS - NEEDS[name] and bool(value.strip())
        given.update({secret: WITHHELD} if is_withheld else {variable: value})
    return given


def plain(env: Mapping[str, str]) -> dict[str, str]:
    """What any program needs of *env*, and no secret."""
    return {name: value for name, value in env.items() if name in _PLAIN}
