"""Variables that are set and that nobody reads: each with the name that was probably meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from crmsync.settings import known_names

_OURS = re.compile(r"(CRMSYNC|SF|SAP|ZOHO|SLACK)_", re.IGNORECASE)
_KNOWN_ELSEWHERE = re.compile(r"FLOWER_", re.IGNORECASE)  # Flower has many options that are none of our business
_ADDRESSES = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL")
# What other programs read: Salesforce's own command line, the tests of crmsync, its supervisor.
_OF_OTHERS = re.compile(
    r"SF_(ORG_API_VERSION|ORG_INSTANCE_URL|AUDIENCE_URL|ACCESS_TOKEN|TARGET_\w+|LOG_\w+|DISABLE_\w+|USE_\w+)"
    r"|CRMSYNC_(TEST_\w+|WORKER_NAME)"
)
_LIKE_ENOUGH = 0.84
_SURELY_LIKE = 0.92  # for a name that has no prefix of ours


@dataclass(frozen=True, slots=True)
class Unread:
    """A variable that nobody reads; *meant* is "" where no name is like it."""

    name: str
    meant: str
    is_meant_set: bool

    @property
    def is_misspelt(self) -> bool:
        """Whether it surely stands in the place of another."""
        return bool(self.meant) and not self.is_meant_set

    @property
    def sentence(self) -> str:
        if not self.meant:
            return "is read by no part of crmsync: docs/configuration.md has every name"
        if self.name.upper() == f"{self.meant}_FILE":
            return f"is not read: only a secret may be in a file, so set {self.meant} itself"
        return f"is not read; {self.meant} is {'set as well' if self.is_meant_set else 'not set: is that meant?'}"


def unread(env: Mapping[str, str]) -> list[Unread]:
    """The variables of *env* that look like ours and that no part of crmsync reads, by name.

    >>> [(each.name, each.meant) for each in unread({"SF_CLIENTID": "x", "sap_base_url": "x", "ZOHO_TAX_ID": "1"})]
    [('SF_CLIENTID', 'SF_CLIENT_ID'), ('sap_base_url', 'SAP_BASE_URL')]
    >>> [(each.name, each.meant) for each in unread({"CRMSNC_HOME": "x", "HOME": "x", "SAP_NONE": "x"})]
    [('CRMSNC_HOME', 'CRMSYNC_HOME'), ('SAP_NONE', '')]
    """
    known = known_names()
    strangers = [name for name, value in env.items() if value.strip() and name not in known and not _is_of_others(name)]
    found = [_judged(name, known, env) for name in sorted(strangers)]
    return [each for each in found if each.meant or _OURS.match(each.name)]


def _is_of_others(name: str) -> bool:
    return bool(_OF_OTHERS.fullmatch(name))


def _judged(name: str, known: Iterable[str], env: Mapping[str, str]) -> Unread:
    meant = _meant(name, known)
    is_set = any(env.get(each, "").strip() for each in (meant, f"{meant}_FILE")) if meant else False
    return Unread(name, meant, is_set)


def _meant(name: str, known: Iterable[str]) -> str:
    upper = name.upper().replace("-", "_")
    if upper.endswith("_FILE") and upper.removesuffix("_FILE") in known:
        return upper.removesuffix("_FILE")
    ours = sorted(each for each in known if _is_ours(each) or each in _ADDRESSES)
    return _like(upper, ours) or _abbreviated(upper, ours)


def _is_ours(name: str) -> bool:
    return bool(_OURS.match(name) or _KNOWN_ELSEWHERE.match(name))


def _like(name: str, known: Iterable[str]) -> str:
    """By its letters alone: case and underscores are what people forget."""
    by_letters = {each.replace("_", ""): each for each in known}
    cutoff = _LIKE_ENOUGH if _is_ours(name) else _SURELY_LIKE
    found = get_close_matches(name.replace("_", ""), by_letters, n=1, cutoff=cutoff)
    return by_letters[found[0]] if found else ""


def _abbreviated(name: str, known: Iterable[str]) -> str:
    """By its words: some may be cut short or left out.

    >>> [_abbreviated(name, known_names()) for name in ("SAP_SALES_ORG", "ZOHO_ORG_ID", "SF_USER", "SAP_URL_BASE")]
    ['SAP_SALES_ORGANIZATION', 'ZOHO_ORGANIZATION_ID', 'SF_USERNAME', '']
    """
    words = name.split("_")
    if not _OURS.match(name) or len(words) < 2:
        return ""
    fitting = [each for each in known if _is_part(words, each.split("_"))]
    nearest = min((abs(each.count("_") - name.count("_")) for each in fitting), default=0)
    best = [each for each in fitting if abs(each.count("_") - name.count("_")) == nearest]
    return best[0] if len(best) == 1 else ""


def _is_part(some: list[str], others: list[str]) -> bool:
    """Whether the words of the shorter one come in the longer one, in that order."""
    short, long = sorted((some, others), key=len)
    rest = iter(long)
    return some[0] == others[0] and all(any(_is_short_for(word, each) for each in rest) for word in short)


def _is_short_for(word: str, other: str) -> bool:
    return word == other or (min(len(word), len(other)) > 2 and (word.startswith(other) or other.startswith(word)))
