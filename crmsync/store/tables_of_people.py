"""The tables of what people set up and do: connections and bindings, accounts of users, tokens, and the audit."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Index, Integer, String, Table, Text, UniqueConstraint, false

from crmsync.store.columns import Instant, metadata

# Which connection fills which role in a flow of a tenant. What the environment says of its own tenant has no row.
bindings = Table(
    "bindings",
    metadata,
    Column("tenant", String(40), primary_key=True),
    Column("flow", String(60), primary_key=True),
    Column("source", String(40), primary_key=True),  # the connection that the flow's subjects come from
    Column("roles", JSON, nullable=False),
    Column("options", JSON, nullable=False),
    Column("version", Integer, nullable=False, default=1, server_default="1"),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

# People who sign in to the control tower. *tenant* is None where they see all tenants.
users = Table(
    "users",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("password_hash", String(200), nullable=False),
    Column("role", String(20), nullable=False),
    Column("tenant", String(40)),
    Column("is_disabled", Boolean, nullable=False, default=False, server_default=false()),
    Column("created_at", Instant, nullable=False),
    Column("version", Integer, nullable=False, default=1, server_default="1"),
    Column("identity", String(64)),  # SHA-256 of who it is to the identity provider; None: signs in by a password
    Index("uq_users_identity", "identity", unique=True),
)

# Keys of programs. The secret is shown once, and kept as its SHA-256.
api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("secret_hash", String(64), nullable=False),
    Column("name", String(100), nullable=False),
    Column("role", String(20), nullable=False),
    Column("tenant", String(40)),
    Column("created_at", Instant, nullable=False),
    Column("created_by", String(100), nullable=False),
    Column("expires_at", Instant),
    Column("last_used_at", Instant),  # to the minute: a token in use costs no write for each call
    Column("revoked_at", Instant),
    Column("version", Integer, nullable=False, default=1, server_default="1"),
    Column("person", String(100), nullable=False, default="", server_default=""),  # who answers for it; "": not known
    Index("ix_api_tokens_created_at", "created_at", "id"),
)

# Who is signed in to a browser; what the browser holds is kept as its SHA-256.
sessions = Table(
    "sessions",
    metadata,
    Column("key_hash", String(64), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("is_link", Boolean, nullable=False, default=False, server_default=false()),  # signs in once, then is gone
    Column("proof", String(80), nullable=False, default="", server_default=""),  # of what was proved: see Sessions
    Index("ix_sessions_name", "name"),
    Index("ix_sessions_seen_at", "seen_at"),
)

# Who did what, for ever: triggers of the database refuse to change or delete a row, and each follows from the last.
audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("name", String(100), nullable=False),
    Column("origin", String(20), nullable=False),
    Column("verb", String(60), nullable=False),
    Column("object_type", String(40), nullable=False),
    Column("object_key", String(200), nullable=False),
    Column("tenant", String(40), nullable=False, default="", server_default=""),  # "": of the whole installation
    Column("before", Text, nullable=False),  # as JSON text: the hash is over what it says, so nothing may reformat it
    Column("after", Text, nullable=False),
    Column("reason", String(500), nullable=False, default="", server_default=""),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    UniqueConstraint("previous"),  # the chain has no forks
    UniqueConstraint("hash"),
    Index("ix_audit_object", "object_type", "object_key"),
    Index("ix_audit_tenant", "tenant", "id"),
)

# Accounts at systems that people have connected; those of the environment are not stored.
connections = Table(
    "connections",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(40), nullable=False),
    Column("system", String(40), nullable=False),
    Column("name", String(100), nullable=False),
    Column("auth_kind", String(40), nullable=False),
    Column("settings", JSON, nullable=False),  # by name, without secrets
    Column("secrets", Text, nullable=False),  # sealed together with the connection and its addresses
    Column("secret_names", JSON, nullable=False),
    Column("key_id", String(12), nullable=False),  # of the key that has sealed them
    Column("status", String(20), nullable=False),
    Column("sync_enabled", Boolean, nullable=False),
    Column("interval_seconds", Integer),
    Column("direction", String(20), nullable=False),
    Column("last_success_at", Instant),
    Column("last_error", String(500), nullable=False, default="", server_default=""),
    Column("last_error_at", Instant),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("version", Integer, nullable=False),  # grows with each change: every process connects anew
    UniqueConstraint("tenant", "name"),  # stops two that nobody could tell apart
)

# Addresses of their own for the webhooks of a connection, each with a secret of its own.
webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(40), nullable=False),
    Column("connection", String(40), nullable=False),
    Column("door", String(40), nullable=False),
    Column("events", JSON, nullable=False),
    Column("entity_types", JSON, nullable=False),
    Column("status", String(20), nullable=False),
    Column("secrets", Text, nullable=False),  # the present one and the one before, sealed together with the address
    Column("previous_until", Instant),  # until when the one before is good
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("version", Integer, nullable=False),
)

# Consents that people were asked for: what comes back from a system's page acts on one of these, once, or on nothing.
consents = Table(
    "consents",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("state_hash", String(64), nullable=False),
    Column("tenant", String(40), nullable=False),
    Column("connection", String(40), nullable=False),
    Column("name", String(100), nullable=False),  # who asked
    Column("origin", String(20), nullable=False),
    Column("redirect_uri", String(1000), nullable=False),
    Column("sealed", Text, nullable=False),  # the verifier, then with the code; "" once it is over
    Column("status", String(20), nullable=False),
    Column("message", String(500), nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    UniqueConstraint("state_hash"),
    Index("ix_consents_asked_at", "asked_at"),
)

# Writes by the API under a key of the caller's, each with its answer, sealed: the same request again does nothing.
api_requests = Table(
    "api_requests",
    metadata,
    Column("caller", String(20), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("status", Integer, nullable=False, default=0, server_default="0"),
    Column("answer", Text, nullable=False, default="", server_default=""),
    Column("created_at", Instant, nullable=False),
    Index("ix_api_requests_created_at", "created_at"),
)
