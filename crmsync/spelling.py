"""Finds variables that are set but not read, each with the name that was probably meant."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from functools import cache

from crmsync.settings import known_names
from crmsync.systems import installed

_KNOWN_ELSEWHERE = re.compile(r"FLOWER_", re.IGNORECASE)  # Flower has many options that are none of our business
_ADDRESSES = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL")
# What other programs read: Salesforce's own command line, the tests of crmsync, its supervisor.
_OF_OTHERS = re.compile(
    r"SF_(ORG_API_VERSION|ORG_INSTANCE_URL|AUDIENCE_URL|ACCESS_TOKEN|TARGET_\w+|LOG_\w+|DISABLE_\w+|USE_\w+)"
    r"|CRMSYNC_(TEST_\w+|WORKER_NAME)"
)
_LIKE_ENOUGH = 0.84
_SURELY_LIKE = 0.92  # for a name that has no prefix of ours
_AS_LIKE = 0.03  # two names that are so near to each other are both meant
_NAMED_MAX = 4  # of more than these, none is any likelier than another


@dataclass(frozen=True, slots=True)
class Unread:
    """A variable that nobody reads; *meant* are the names that are like it, of which those of *missing* are not set."""

    name: str
    meant: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def is_misspelt(self) -> bool:
        """Whether it surely stands in the place of another."""
        return bool(self.meant) and self.meant == self.missing

    @property
    def sentence(self) -> str:
        if not self.meant:
            return "is not a variable of crmsync: docs/configuration.md has every name"
        if self.meant == (self.name.upper().removesuffix("_FILE"),) and self.name.upper().endswith("_FILE"):
            return f"is not read: only a secret may be in a file, so set {self.meant[0]} itself"
        if len(self.meant) > 1:
            return f"is not read: did you mean {_either(self.meant)}?"
        return f"is not read; {self.meant[0]} is {'not set: did you mean that?' if self.missing else 'set as well'}"


def unread(env: Mapping[str, str]) -> list[Unread]:
    """The variables of *env* that look like ours and that no part of crmsync reads, by name.

    >>> [(each.name, each.meant) for each in unread({"SF_CLIENTID": "x", "sap_base_url": "x", "ZOHO_TAX_ID": "1"})]
    [('SF_CLIENTID', ('SF_CLIENT_ID',)), ('sap_base_url', ('SAP_BASE_URL',))]
    >>> [(each.name, each.meant) for each in unread({"CRMSNC_HOME": "x", "HOME": "x", "SAP_NONE": "x"})]
    [('CRMSNC_HOME', ('CRMSYNC_HOME',)), ('SAP_NONE', ())]
    """
    known = known_names()
    strangers = [name for name, value in env.items() if value.strip() and name not in known and not _is_of_others(name)]
    found = [_judged(name, known, env) for name in sorted(strangers)]
    return [each for each in found if each.meant or _ours().match(each.name)]


def _is_of_others(name: str) -> bool:
    return bool(_OF_OTHERS.fullmatch(name))


def _judged(name: str, known: Collection[str], env: Mapping[str, str]) -> Unread:
    meant = _meant(name, known)
    missing = tuple(each for each in meant if not _is_set(each.removesuffix("_FILE"), env))
    return Unread(name, meant, missing)


def _is_set(name: str, env: Mapping[str, str]) -> bool:
    return any(env.get(each, "").strip() for each in (name, f"{name}_FILE"))


def _meant(name: str, known: Collection[str]) -> tuple[str, ...]:
    """
    >>> [_meant(name, known_names()) for name in ("CRMSYNC_PORT", "SALESFORCE_CLIENT_ID", "SAP_USERNAME", "port")]
    [('PORT',), ('SF_CLIENT_ID',), ('SAP_USER',), ()]
    >>> _meant("SF_PASSWORD", known_names()), _meant("ZOHO_URL", known_names())
    ((), ('ZOHO_ACCOUNTS_URL', 'ZOHO_API_URL'))
    """
    upper = name.strip().upper().replace("-", "_")
    for exact in (upper, upper.removesuffix("_FILE"), upper.removeprefix("CRMSYNC_"), _renamed(upper)):
        if exact in known and (_is_ours(name) or _is_ours(exact) or exact in _ADDRESSES):
            return (exact,)
    near = sorted(each for each in known if _may_be(upper, each))
    for same in near:
        if same.replace("_", "") == upper.replace("_", ""):
            return (same,)
    like, abbreviated = _like(upper, near), _abbreviated(upper, near)
    is_one_of_them = len(like) == 1 and like[0] in abbreviated
    found = abbreviated if not like or is_one_of_them else like
    return found if len(found) <= _NAMED_MAX else ()


@cache
def _ours() -> re.Pattern[str]:
    """With which our variables begin."""
    prefixes = ["CRMSYNC_", "SLACK_", *(prefix for system in installed().values() for prefix in system.prefixes)]
    return re.compile("|".join(map(re.escape, prefixes)), re.IGNORECASE)


@cache
def _other_prefixes() -> Mapping[str, str]:
    """How else people call the systems, each with the prefix of its variables."""
    return {theirs: system.prefixes[0] for system in installed().values() for theirs in system.other_prefixes}


def _renamed(name: str) -> str:
    """*name* with the prefix that variables have here.

    >>> _renamed("ZOHO_BOOKS_API_URL")
    'ZOHO_API_URL'
    """
    for theirs, ours in _other_prefixes().items():
        if name.startswith(theirs):
            return f"{ours}{name.removeprefix(theirs)}"
    return name


def _may_be(name: str, known: str) -> bool:
    """A name with a prefix of ours is meant for that system: a password for Salesforce is none for SAP."""
    prefix = _ours().match(name)
    return known.startswith(prefix[0]) if prefix else _is_ours(known) or known in _ADDRESSES


def _is_ours(name: str) -> bool:
    return bool(_ours().match(name) or _KNOWN_ELSEWHERE.match(name))


def _like(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """By its letters alone: case and underscores are what people forget."""
    by_letters = {each.replace("_", ""): each for each in known}
    cutoff = _LIKE_ENOUGH if _is_ours(name) else _SURELY_LIKE
    letters = name.replace("_", "")
    found = get_close_matches(letters, by_letters, n=_NAMED_MAX, cutoff=cutoff)
    ratios = {each: SequenceMatcher(None, each, letters).ratio() for each in found}
    best = max(ratios.values(), default=0)
    return tuple(sorted(by_letters[each] for each in found if ratios[each] >= (1 if best == 1 else best - _AS_LIKE)))


def _abbreviated(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """By its words: some may be cut short or left out.

    >>> [_abbreviated(name, known_names()) for name in ("SAP_SALES_ORG", "ZOHO_ORG_ID", "SF_USER", "SAP_URL_BASE")]
    [('SAP_SALES_ORGANIZATION',), ('ZOHO_ORGANIZATION_ID',), ('SF_USERNAME',), ()]
    """
    words = name.split("_")
    if not _ours().match(name) or len(words) < 2:
        return ()
    fitting = [each for each in known if _is_part(words, each.split("_"))]
    nearest = min((abs(each.count("_") - name.count("_")) for each in fitting), default=0)
    return tuple(sorted(each for each in fitting if abs(each.count("_") - name.count("_")) == nearest))


def _either(names: Sequence[str]) -> str:
    """
    >>> _either(["A", "B", "C"])
    'A, B or C'
    """
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _is_part(some: list[str], others: list[str]) -> bool:
    """Whether the words of the shorter one come in the longer one, in that order."""
    short, long = sorted((some, others), key=len)
    rest = iter(long)
    return some[0] == others[0] and all(any(_is_short_for(word, each) for each in rest) for word in short)


def _is_short_for(word: str, other: str) -> bool:
    return word == other or (min(len(word), len(other)) > 2 and (word.startswith(other) or other.startswith(word)))
