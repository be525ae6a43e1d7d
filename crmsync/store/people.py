"""Users, the tokens of programs, and browser sessions."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Row, delete, or_, select, update

from crmsync.domain.access import ApiToken, NewToken, Role, User, fingerprint
from crmsync.store.rows import Rows
from crmsync.store.tables import api_tokens, sessions, users

USED_SECONDS = 60.0  # how exactly is kept when something was last used
IDLE = timedelta(hours=2)
LONGEST = timedelta(hours=12)
LINK = timedelta(minutes=30)  # in which a link that signs in must be used

_USER = [column for column in users.c if column.name != "password_hash"]
_TOKEN = [column for column in api_tokens.c if column.name != "secret_hash"]


class Users(Rows):
    def get(self, name: str) -> User | None:
        row = self._connection.execute(select(*_USER).where(users.c.name == name)).first()
        return _user(row) if row is not None else None

    def of_identity(self, identity: str) -> User | None:
        """Whom the identity provider knows as that."""
        row = self._connection.execute(select(*_USER).where(users.c.identity == identity)).first()
        return _user(row) if row is not None else None

    def all(self, tenant: str | None) -> list[User]:
        """The people who are restricted to a tenant, None: everybody, by name."""
        query = select(*_USER).order_by(users.c.name)
        query = query if tenant is None else query.where(users.c.tenant == tenant)
        return [_user(row) for row in self._connection.execute(query)]

    def has_any(self) -> bool:
        return self._connection.execute(select(users.c.name).limit(1)).first() is not None

    def password_hash(self, name: str) -> str | None:
        """The hash of a person's password; None for one who is not known, or may not sign in, or not by a password."""
        may_sign_in = (~users.c.is_disabled, users.c.identity.is_(None))
        return self._connection.execute(
            select(users.c.password_hash).where(users.c.name == name, *may_sign_in)
        ).scalar()

    def add(
        self, name: str, password_hash: str, role: Role, tenant: str | None, *, identity: str | None = None
    ) -> bool:
        """Add a person. False if there is somebody of that name, or of that identity."""
        return self._insert_once(
            users,
            {
                "name": name,
                "password_hash": password_hash,
                "role": role.value,
                "tenant": tenant,
                "created_at": self._now,
                "is_disabled": False,
                "version": 1,
                "identity": identity,
            },
        )

    def change(self, name: str, **values: Any) -> None:
        """Set *values* of a person, and end their sessions: what they may do, or how they prove it, is another now."""
        self._connection.execute(
            update(users).where(users.c.name == name).values(**values, version=users.c.version + 1)
        )
        self._connection.execute(delete(sessions).where(sessions.c.name == name))


class ApiTokens(Rows):
    def add(
        self,
        made: NewToken,
        *,
        name: str,
        role: Role,
        tenant: str | None,
        expires_at: datetime | None,
        by: str,
        person: str,
    ) -> None:
        self._connection.execute(
            api_tokens.insert(),
            {
                "id": made.id,
                "secret_hash": fingerprint(made.secret),
                "name": name,
                "role": role.value,
                "tenant": tenant,
                "created_at": self._now,
                "created_by": by[:100],
                "expires_at": expires_at,
                "version": 1,
                "person": person[:100],
            },
        )

    def get(self, token_id: str) -> ApiToken | None:
        row = self._connection.execute(select(*_TOKEN).where(api_tokens.c.id == token_id)).first()
        return _token(row) if row is not None else None

    def secret_hash(self, token_id: str) -> str | None:
        return self._connection.execute(select(api_tokens.c.secret_hash).where(api_tokens.c.id == token_id)).scalar()

    def newest(
        self, tenant: str | None, *, after: tuple[datetime, str] | None = None, limit: int | None = None
    ) -> list[ApiToken]:
        """The newest first; of one tenant, None: of all; and after that place, where one is said."""
        order = api_tokens.c.created_at.desc(), api_tokens.c.id.desc()
        query = select(*_TOKEN).order_by(*order).limit(limit)
        if tenant is not None:
            query = query.where(api_tokens.c.tenant == tenant)
        if after is not None:
            at, token_id = after
            is_later = or_(api_tokens.c.created_at < at, (api_tokens.c.created_at == at) & (api_tokens.c.id < token_id))
            query = query.where(is_later)
        return [_token(row) for row in self._connection.execute(query)]

    def of_person(self, person: str) -> list[ApiToken]:
        """What this person answers for, oldest first."""
        query = select(*_TOKEN).where(api_tokens.c.person == person).order_by(api_tokens.c.created_at)
        return [_token(row) for row in self._connection.execute(query)]

    def revoke(self, token_id: str) -> bool:
        """Revoke a token. False if it was revoked before."""
        statement = (
            update(api_tokens)
            .where(api_tokens.c.id == token_id, api_tokens.c.revoked_at.is_(None))
            .values(revoked_at=self._now, version=api_tokens.c.version + 1)
        )
        return self._connection.execute(statement).rowcount == 1

    def used(self, token_id: str) -> None:
        self._connection.execute(update(api_tokens).where(api_tokens.c.id == token_id).values(last_used_at=self._now))


class Owner(NamedTuple):
    """Whose session it is, when it was last seen, and the proof that it was opened with."""

    name: str
    seen_at: datetime
    proof: str


class Sessions(Rows):
    """*proof* stands for what a person has proved: the version of their row, or a mark of the built-in password.

    A session that was opened while the password was changed has the proof of before, and is worth nothing.
    """

    def open(self, key: str, name: str, *, proof: str = "", is_link: bool = False) -> None:
        """Let the browser that holds *key* act as *name*; a link does so once, to be exchanged for a session."""
        self._connection.execute(delete(sessions).where(_is_over(self._now)))
        self._connection.execute(
            sessions.insert(),
            {
                "key_hash": fingerprint(key),
                "name": name,
                "created_at": self._now,
                "seen_at": self._now,
                "is_link": is_link,
                "proof": proof,
            },
        )

    def owner(self, key: str) -> Owner | None:
        """The owner of a session; None if it is over."""
        query = select(sessions.c.name, sessions.c.seen_at, sessions.c.proof).where(
            sessions.c.key_hash == fingerprint(key), ~sessions.c.is_link, ~_is_over(self._now)
        )
        row = self._connection.execute(query).first()
        return Owner(row.name, row.seen_at, row.proof) if row is not None else None

    def seen(self, key: str) -> None:
        self._connection.execute(
            update(sessions).where(sessions.c.key_hash == fingerprint(key)).values(seen_at=self._now)
        )

    def take_link(self, key: str) -> str | None:
        """Whom the link signs in, once; None if it was used or is too old."""
        statement = (
            delete(sessions)
            .where(sessions.c.key_hash == fingerprint(key), sessions.c.is_link)
            .returning(sessions.c.name, sessions.c.created_at)
        )
        row = self._connection.execute(statement).first()
        return row.name if row is not None and row.created_at > self._now - LINK else None

    def use_once(self, state: str) -> bool:
        """False where a sign-in has brought this *state* before. It opens nothing, and goes with old sessions."""
        self._connection.execute(delete(sessions).where(_is_over(self._now)))
        row = {"key_hash": fingerprint(state), "name": "", "created_at": self._now, "seen_at": self._now}
        return self._insert_once(sessions, {**row, "is_link": False, "proof": ""})

    def close(self, key: str) -> None:
        self._connection.execute(delete(sessions).where(sessions.c.key_hash == fingerprint(key)))


def _is_over(now: datetime) -> Any:
    return or_(sessions.c.seen_at <= now - IDLE, sessions.c.created_at <= now - LONGEST)


def _user(row: Row[Any]) -> User:
    return User(**{**row._mapping, "role": Role(row.role)})


def _token(row: Row[Any]) -> ApiToken:
    return ApiToken(**{**row._mapping, "role": Role(row.role)})
