"""Operations on users and tokens, shared by the command line, the control tower and the API, each with its audit entry.

Every function works in the caller's transaction, so that an effect and its audit stand or fall together.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from crmsync.domain import access, passwords
from crmsync.domain.access import ApiToken, NewToken, Role, User
from crmsync.domain.audit import Act, Origin
from crmsync.domain.sign_on import number_of
from crmsync.errors import CrmsyncError
from crmsync.passwords import TOWER_USER
from crmsync.store import UnitOfWork

_AUDITED_OF_TOKEN = ("name", "role", "tenant", "expires_at")
_AUDITED_OF_USER = ("role", "tenant", "is_disabled")


class PeopleError(CrmsyncError):
    """That can't be done with this person or token."""


class UnknownError(PeopleError):
    """There is nobody, and nothing, of that name."""


@dataclass(frozen=True, slots=True)
class Made:
    """A token, and its text: that is shown once."""

    token: ApiToken
    text: str


def create_token(
    uow: UnitOfWork, act: Act, *, name: str, role: Role, tenant: str | None = None, expires_at: datetime | None = None
) -> Made:
    """Make a token. Raises: PeopleError for one that would never be valid."""
    if expires_at is not None and expires_at <= uow.now:
        raise PeopleError("The token would have expired already.", field_errors={"expires_at": "is in the past"})
    made = NewToken.made()
    who = {"by": act.name, "person": act.person}
    uow.api_tokens.add(made, name=name, role=role, tenant=tenant, expires_at=expires_at, **who)
    token = _token(uow, made.id)
    uow.audit.add(act, "token.create", "token", made.id, tenant=tenant or "", after=_audited(token, _AUDITED_OF_TOKEN))
    return Made(token, made.text)


def revoke_token(uow: UnitOfWork, act: Act, token_id: str) -> ApiToken:
    """Make a token worthless at once; one that is already stays so. Raises: UnknownError."""
    token = _token(uow, token_id)
    if uow.api_tokens.revoke(token_id):
        uow.audit.add(
            act,
            "token.revoke",
            "token",
            token_id,
            tenant=token.tenant or "",
            before={"state": token.state(uow.now)},
            after={"state": "revoked"},
        )
    return _token(uow, token_id)


def add_user(uow: UnitOfWork, act: Act, name: str, password: str, *, role: Role, tenant: str | None = None) -> User:
    """Add a person. Raises: PeopleError for a name that is taken or none, and a password that is too short."""
    name = _checked(access.user_name, name, "name")
    if name == TOWER_USER:
        raise PeopleError(f"{name} is the built-in operator.", field_errors={"name": "is taken"})
    if not uow.users.add(name, _hashed(password), role, tenant):
        raise PeopleError(f"There is a user {name} already.", field_errors={"name": "is taken"})
    user = _user(uow, name)
    uow.audit.add(act, "user.add", "user", name, tenant=tenant or "", after=_audited(user, _AUDITED_OF_USER))
    return user


def signed_on(uow: UnitOfWork, identity: str, name: str, *, role: Role, tenant: str | None) -> User:
    """The person whom the identity provider has signed in, with the role that it gives them now.

    *name* is theirs from the first time on, if nobody has it. Raises: PeopleError for who is disabled here.
    """
    user = uow.users.of_identity(identity)
    if user is None:
        return _met(uow, identity, name, role=role, tenant=tenant)
    if user.is_disabled:
        raise PeopleError(f"{user.name} is disabled.")
    if (user.role, user.tenant) == (role, tenant):
        return user
    uow.users.change(user.name, role=role.value, tenant=tenant)
    changed = _user(uow, user.name)
    before, after = _audited(user, _AUDITED_OF_USER), _audited(changed, _AUDITED_OF_USER)
    by = _of_provider(user.name)
    uow.audit.add(by, "user.set-role", "user", user.name, before=before, after=after)
    return _end_tokens(uow, by, changed)


def _met(uow: UnitOfWork, identity: str, name: str, *, role: Role, tenant: str | None) -> User:
    for each in (name, number_of(identity)):
        if each != TOWER_USER and uow.users.add(each, "", role, tenant, identity=identity):
            user = _user(uow, each)
            after = _audited(user, _AUDITED_OF_USER)
            uow.audit.add(_of_provider(each), "user.add", "user", each, tenant=tenant or "", after=after)
            return user
    raise PeopleError("Somebody has this name already, and signs in otherwise.")


def _of_provider(name: str) -> Act:
    return Act(name, Origin.TOWER, "the identity provider says so")


def set_role(uow: UnitOfWork, act: Act, name: str, role: Role) -> User:
    """Give a person another role; their tokens that may do more than that are revoked.

    Raises: UnknownError; PeopleError where nobody would be left who may do this.
    """
    _require_password(uow, name)
    return _end_tokens(uow, act, _change(uow, act, "user.set-role", name, role=role.value))


def set_disabled(uow: UnitOfWork, act: Act, name: str, is_disabled: bool) -> User:
    """Disable or enable a person; when disabled, their tokens are revoked for good. Raises: as set_role."""
    verb = "user.disable" if is_disabled else "user.enable"
    return _end_tokens(uow, act, _change(uow, act, verb, name, is_disabled=is_disabled))


def set_password(uow: UnitOfWork, act: Act, name: str, password: str) -> User:
    """Give a person another password. Raises: UnknownError; PeopleError for a password that is too short."""
    _require_password(uow, name)
    return _change(uow, act, "user.set-password", name, password_hash=_hashed(password))


def _require_password(uow: UnitOfWork, name: str) -> None:
    """Raises: PeopleError for who has none: the identity provider signs them in, and says their role."""
    if _user(uow, name).identity is not None:
        raise PeopleError(
            f"The identity provider signs {name} in, and says which role they have.",
            advice="Change it there, and CRMSYNC_OIDC_ROLES; or disable them here: `crmsync users disable`.",
        )


def _change(uow: UnitOfWork, act: Act, verb: str, name: str, **values: Any) -> User:
    before = _user(uow, name)
    uow.users.change(before.name, **values)
    after = _user(uow, before.name)
    if _is_chief(before) and not any(_is_chief(user) for user in uow.users.all(None)):
        raise PeopleError(
            f"{after.name} is the only admin of the whole installation.",
            advice="Make another user an admin first: `crmsync users set-role NAME admin`.",
        )
    audited_before, audited_after = _audited(before, _AUDITED_OF_USER), _audited(after, _AUDITED_OF_USER)
    changed = {field for field in _AUDITED_OF_USER if audited_before[field] != audited_after[field]}
    uow.audit.add(
        act,
        verb,
        "user",
        after.name,
        tenant=after.tenant or "",
        before={field: audited_before[field] for field in changed},
        after={field: audited_after[field] for field in changed},
    )
    return after


def _end_tokens(uow: UnitOfWork, act: Act, user: User) -> User:
    """Nobody goes on by a token with what they may not do any more under their own name."""
    caller = user.caller
    for token in uow.api_tokens.of_person(user.name):
        if token.is_valid(uow.now) and (user.is_disabled or not caller.may_grant(token.role, token.tenant)):
            revoke_token(uow, act, token.id)
    return user


def _is_chief(user: User) -> bool:
    """An admin whom no identity provider can lock out."""
    is_admin = user.role is Role.ADMIN and user.tenant is None
    return is_admin and not user.is_disabled and user.identity is None


def _hashed(password: str) -> str:
    _checked(_check_password, password, "password")
    return passwords.hashed(password)


def _check_password(password: str) -> str:
    passwords.check_new(password)
    return password


def _checked(check: Any, text: str, field: str) -> str:
    try:
        return str(check(text))
    except ValueError as error:
        raise PeopleError(f"This {field} is not valid.", field_errors={field: str(error)}) from error


def _user(uow: UnitOfWork, name: str) -> User:
    user = uow.users.get(name.strip().lower())
    if user is None:
        raise UnknownError(f"There is no user {name}.")
    return user


def _token(uow: UnitOfWork, token_id: str) -> ApiToken:
    token = uow.api_tokens.get(token_id)
    if token is None:
        raise UnknownError(f"There is no token {token_id}.")
    return token


def _audited(of: ApiToken | User, fields: tuple[str, ...]) -> dict[str, Any]:
    values = asdict(of)
    return {field: values[field] for field in fields}
