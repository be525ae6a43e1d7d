"""Checks how a system is declared, when it is loaded: whatever its package has made of a System."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from crmsync.connectors.consent import Consent
from crmsync.connectors.doors import Door
from crmsync.declared import declared_of
from crmsync.environment import Reader, read_into
from crmsync.systems import ROLES

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_PATH = re.compile(r"/webhook/[a-z0-9/_-]{1,80}")
_TEXTS = ("title", "guide", "variable")
_ANNOUNCED = ("deals", "payments")
"""The roles whose records a webhook may tell of."""


def problems_of(system: Any) -> list[str]:
    """What is wrong with the declaration; where its settings can't be read, nothing that needs them is checked."""
    found = [*_of_words(system), *_of_settings(system.settings)]
    return found or [*_of_names(system), *_of_sign_in(system), *_of_doors(system)]


def _of_words(system: Any) -> Iterator[str]:
    if not isinstance(system.name, str) or not _NAME.fullmatch(system.name):
        yield f"name is {system.name!r}: expected small letters, digits and _"
    for name in _TEXTS:
        if not isinstance(getattr(system, name), str) or not getattr(system, name):
            yield f"{name} is {getattr(system, name)!r}: expected a text"
    for name in ("roles", "auth_kinds", "mentioned_by", "prefixes"):
        if not _is_texts(getattr(system, name)):
            yield f"{name} is {getattr(system, name)!r}: expected a tuple of texts, with at least one"
        elif name == "roles" and (unknown := [each for each in system.roles if each not in ROLES]):
            yield f"roles has {', '.join(unknown)}: expected some of {', '.join(ROLES)}"
    for name in ("connect", "quota", "claim"):
        if not callable(getattr(system, name)):
            yield f"{name} is {getattr(system, name)!r}: expected a function"


def _is_texts(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(isinstance(each, str) and each for each in value)


def _of_settings(kind: Any) -> Iterator[str]:
    if not (isinstance(kind, type) and is_dataclass(kind)):
        yield f"settings is {kind!r}: expected a dataclass"
        return
    for each in fields(kind):
        if "doc" not in each.metadata or each.default_factory is MISSING:
            yield f"the setting {each.name} is not declared with crmsync.declared.setting()"
            return
    try:
        declared_of(kind)
        read_into(kind, Reader({}))
    except Exception as error:
        yield f"its settings can't be read: {type(error).__name__}: {error}"


def _of_names(system: Any) -> Iterator[str]:
    variables = {each.variable for each in system.declared}
    for name in {system.variable, *system.mentioned_by} - variables:
        yield f"{name} is mentioned and is the variable of no setting"
    for name in sorted(variables):
        if not name.startswith(system.prefixes):
            yield f"the variable {name} begins with none of {', '.join(system.prefixes)}"


def _of_sign_in(system: Any) -> Iterator[str]:
    names = {each.name for each in system.declared}
    if system.auth_setting and system.auth_setting not in names:
        yield f"auth_setting is {system.auth_setting}, which is no setting"
    if not system.auth_setting and len(system.auth_kinds) > 1:
        yield "auth_kinds has several, and no auth_setting says which"
    consent = system.consent
    if consent is None:
        return
    if not isinstance(consent, Consent):
        yield f"consent is {consent!r}: expected a Consent"
        return
    if consent.auth_kind not in system.auth_kinds:
        yield f"consent is for {consent.auth_kind}, which is none of auth_kinds"
    for name in (consent.server, consent.secret):
        if name not in names:
            yield f"consent names {name}, which is no setting"


def _of_doors(system: Any) -> Iterator[str]:
    secrets = {each.variable for each in system.declared if each.is_of_a_door}
    for each in system.doors:
        if not isinstance(each, Door):
            yield f"doors has {each!r}: expected a Door"
            continue
        yield from (f"the door {each.name} {problem}" for problem in _of_door(each, system.roles, secrets))
    for name in ("name", "path"):
        values = [getattr(each, name, None) for each in system.doors]
        if len(set(values)) < len(values):
            yield f"two doors have one {name}"


def _of_door(door: Door, roles: tuple[str, ...], secrets: set[str]) -> Iterator[str]:
    if not _NAME.fullmatch(door.name.replace("-", "_")):
        yield "has a name that is no part of an address"
    if not _PATH.fullmatch(door.path):
        yield f"has the path {door.path}: expected /webhook/ and its own"
    if door.announces not in _ANNOUNCED or door.announces not in roles:
        able = " or ".join(each for each in _ANNOUNCED if each in roles) or "nothing, for its roles"
        yield f"announces {door.announces}: expected {able}"
    if not door.secrets or not set(door.secrets) <= secrets:
        yield "has secrets that are no setting of env.door_secret()"
    if not door.forms or not callable(door.code):
        yield "has no forms or no code"
