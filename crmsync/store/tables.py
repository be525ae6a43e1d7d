"""The tables of what crmsync does. Every uniqueness that "nothing twice" rests on is a constraint of the database."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Date, Index, Integer, String, Table, Text, UniqueConstraint, false, text

from crmsync.store.columns import RUN_ID, Amount, Instant, index_of_some, metadata
from crmsync.store.tables_of_people import (
    api_requests,
    api_tokens,
    audit,
    bindings,
    connections,
    consents,
    sessions,
    users,
    webhooks,
)

# What other modules define, and is found here as well.
__all__ = ["Amount", "Instant", "api_requests", "api_tokens", "audit", "bindings"]
__all__ += ["connections", "consents", "metadata", "sessions", "users", "webhooks"]

# As an index and the queries that it serves have them: SQLite compares the words, and knows no parameter of a query.
IS_REDUCIBLE = "status IN ('done', 'discarded') AND NOT is_reduced"
IS_REDUCED = "is_reduced"
HAS_NEWS = "told < occurrences OR is_stale"

# The inbox: what each webhook announced, written before it is acknowledged, and what catch-up saw.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("source", String(100), nullable=False),  # the connection, or what catch-up saw there
    Column("event_key", String(100)),  # None: the vendor gives its messages no id
    Column("subject_key", String(100), nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("is_healed", Boolean, nullable=False, default=False, server_default=false()),
    Column("payload", Text),  # JSON: its shape, without what could be a person's; None: it was no JSON
    UniqueConstraint("source", "event_key"),  # stops a message that the vendor repeats
    Index("ix_deliveries_source_received_at", "source", "received_at"),
    Index("ix_deliveries_subject", "source", "subject_key"),
)

# One execution of a flow for one business object, with the state of its first undone step.
runs = Table(
    "runs",
    metadata,
    Column("id", RUN_ID, primary_key=True),
    Column("tenant", String(40), nullable=False, default="default", server_default="default"),
    Column("flow", String(60), nullable=False),
    Column("source", String(40), nullable=False),  # the connection that its subject comes from
    Column("subject_key", String(100), nullable=False),
    Column("status", String(20), nullable=False),
    Column("step", String(60), nullable=False),
    Column("correlation_id", String(64), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("queued_until", Instant),  # until then a message for it is believed to be on its way
    Column("leased_until", Instant),
    Column("fence", Integer, nullable=False, default=0),  # grows with every claim: an overtaken worker can't write
    Column("attempts", Integer, nullable=False, default=0),  # failures of the step
    Column("starts", Integer, nullable=False, default=0),  # claims of the step that nobody ended
    Column("title", String(200), nullable=False, default=""),
    Column("amount", Amount),
    Column("currency", String(3), nullable=False, default=""),
    Column("results", JSON, nullable=False, default=dict),
    Column("answers", JSON, nullable=False, default=dict),
    Column("progress", JSON, nullable=False, default=dict, server_default="{}"),  # of the step that is under way
    Column("again", Boolean, nullable=False, default=False, server_default=false()),  # the source changed meanwhile
    UniqueConstraint("flow", "subject_key", "source"),  # stops a second run for one deal
    Column("is_reduced", Boolean, nullable=False, default=False, server_default=false()),  # to what must stay of it
    Column("customer_key", String(40), nullable=False, default="", server_default=""),  # a deal's account in the CRM
    Index("ix_runs_customer_key", "customer_key"),
    Index("ix_runs_correlation_id", "correlation_id"),
    Index("ix_runs_created_at", "tenant", "flow", "status", "created_at"),
    index_of_some("ix_runs_not_done", "flow", "status", "step", "tenant", where="status <> 'done'"),
    index_of_some("ix_runs_due", "source", "due_at", "queued_until", "leased_until", where="status = 'active'"),
    # What was taken and given back, to wait; what only waits for its turn has a due time of its last change.
    index_of_some("ix_runs_given_back", "updated_at", where="status = 'active' AND due_at > updated_at"),
    index_of_some("ix_runs_over", "updated_at", where=IS_REDUCIBLE),
    index_of_some("ix_runs_reduced", "flow", "updated_at", where=IS_REDUCED),
)

# What happened to a run, in order: for people, never read by the flow.
history = Table(
    "history",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", RUN_ID, nullable=False),
    Column("step", String(60), nullable=False),
    Column("event", String(20), nullable=False),  # done, retry, waiting, stopped, replayed, …
    Column("at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("detail", String(500), nullable=False, default=""),
    Index("ix_history_run_id", "run_id"),
)

# What we set out to create in other systems, and what came of it.
ledger = Table(
    "ledger",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("connection", String(40), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("reference", String(100), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("run_id", RUN_ID, nullable=False),
    Column("state", String(20), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("sends", Integer, nullable=False),  # how often it was sent: an attempt speaks of its own send only
    Column("sent_at", Instant),
    Column("certain_at", Instant),
    Column("document", JSON),
    Column("document_key", String(100)),  # its id in the other system
    Column("document_number", String(100)),  # what people call it, in capitals and without zeros in front
    UniqueConstraint("connection", "kind", "reference", "generation"),  # stops two intents for one document
    Index("ix_ledger_run_id", "run_id"),
    Index("ix_ledger_document_number", "document_number"),
    Index("ix_ledger_document", "connection", "kind", "document_key"),
    index_of_some("ix_ledger_orders_sent_at", "sent_at", where="kind = 'order'"),
    index_of_some("ix_ledger_invoices_sent_at", "sent_at", where="kind = 'invoice'"),
    index_of_some("ix_ledger_made_again", "kind", "sent_at", where="generation > 1"),
    index_of_some("ix_ledger_not_confirmed", "connection", "kind", "state", where="state <> 'confirmed'"),
)

# Which record here is which there.
links = Table(
    "links",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("connection", String(40), nullable=False),
    Column("record_type", String(20), nullable=False),
    Column("source", String(40), nullable=False),  # the CRM's connection
    Column("crm_key", String(40), nullable=False),
    Column("key", String(100), nullable=False),
    Column("currency", String(3), nullable=False, default="", server_default=""),  # "": any, or not known yet
    Column("origin", String(40), nullable=False),  # created, reference, tax number, e-mail and name, imported, replay
    Column("created_at", Instant, nullable=False),
    Column("name", String(200), nullable=False, default="", server_default=""),  # there, as last seen; no person's
    Column("city", String(100), nullable=False, default="", server_default=""),
    Column("linked_by", String(100), nullable=False, default="", server_default=""),  # "": crmsync itself
    UniqueConstraint("connection", "record_type", "crm_key", "source", "currency"),  # stops two for one account
    Index("ix_links_key", "connection", "key"),
)

# Which invoices a payment is, or was, applied to: a payment that was deleted tells it no more.
applications = Table(
    "applications",
    metadata,
    Column("payment_key", String(40), primary_key=True),
    Column("invoice_key", String(40), primary_key=True),
    Column("connection", String(40), primary_key=True),
    Column("paid_on", Date),
    Index("ix_applications_invoice_key", "invoice_key", "connection"),
)

# The products of the catalogue: what they say of their stock (held), and what was read and they shall say (wanted).
products = Table(
    "products",
    metadata,
    Column("connection", String(40), primary_key=True),  # the catalogue's
    Column("key", String(40), primary_key=True),
    Column("code", String(255), nullable=False),
    Column("matching", String(255), nullable=False),  # the code as both systems' codes are compared
    Column("is_active", Boolean, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("is_known", Boolean),  # whether the ERP has the material; None: nobody has asked yet
    Column("held_available", Amount),
    Column("held_low", Boolean),
    Column("wanted_available", Amount),
    Column("wanted_low", Boolean),
    Column("told_low", Boolean),  # whether people know that it is low
    Column("problem", String(200), nullable=False, default=""),  # why it was not written
    Index("ix_products_is_active", "connection", "is_active"),
)

# Who works on what right now, across runs: one row per lock held.
locks = Table(
    "locks",
    metadata,
    Column("name", String(120), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("until", Instant, nullable=False),
)

# Runs that wait for a person. The queue `dead_letter` is a view of the waiting rows.
dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", RUN_ID, nullable=False),
    Column("step", String(60), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("status", String(20), nullable=False),
    Column("error", String(60), nullable=False),
    Column("system", String(40), nullable=False, default=""),
    Column("connection", String(40), nullable=False, default="", server_default=""),  # "": an older release's
    Column("cause", Text, nullable=False),
    Column("advice", Text, nullable=False, default=""),
    Column("field_errors", JSON, nullable=False, default=dict, server_default="{}"),  # what is wrong, by field
    Column("words", Text, nullable=False, default="", server_default=""),  # the vendor's own, sealed
    Column("alert_cause", String(200), nullable=False, default="", server_default=""),  # of the alert that tells of it
    Column("failures", Integer, nullable=False, default=1),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("run_id"),  # a run has one dead letter, which waits, is replayed, waits again …
    Index("ix_dead_letters_status", "status"),
    Index("ix_dead_letters_alert_cause", "alert_cause"),
)

# What one person wants done about a dead letter and another has to confirm. Few, and kept as the audit is.
approvals = Table(
    "approvals",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("tenant", String(40), nullable=False),
    Column("letter_id", Integer, nullable=False),
    Column("decision", String(20), nullable=False),  # replay or discard
    Column("answers", JSON, nullable=False),  # that go with the replay
    Column("asked", String(64), nullable=False),  # what the letter asked: another question needs another proposal
    Column("amount", Amount),  # of the deal as it was; None: it had not been read
    Column("currency", String(3), nullable=False),
    Column("status", String(20), nullable=False),
    Column("proposed_by", String(100), nullable=False),  # a person, also where a token asked
    Column("proposed_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("reason", String(500), nullable=False),
    Column("decided_by", String(100), nullable=False, default="", server_default=""),
    Column("decided_at", Instant),
    Index(  # stops two that wait for one letter
        "uq_approvals_waiting",
        "letter_id",
        unique=True,
        sqlite_where=text("status = 'waiting'"),
        postgresql_where=text("status = 'waiting'"),
    ),
)

# What the deals that were stuck say of it in the CRM, as far as crmsync wrote it there; of the others there is no row.
tellings = Table(
    "tellings",
    metadata,
    Column("connection", String(40), primary_key=True),  # the CRM's
    Column("deal", String(100), primary_key=True),
    Column("status", String(255), nullable=False, default=""),  # "": nothing was written yet
    Column("reason", String(255), nullable=False, default=""),
    Column("told_at", Instant),  # when the write was over
    Column("changed_at", Instant),  # the deal's stamp after it: a change of this stamp is our own
    Column("looked_at", Instant, nullable=False),  # when it was last decided what the deal should say
    Column("is_refused", Boolean, nullable=False, default=False),  # the CRM did not take it
)

# Alerts on their way to people, so that a Slack outage loses none.
alerts = Table(
    "alerts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("cause", String(200), nullable=False),
    Column("tenant", String(40), nullable=False, default="", server_default=""),  # "": of the whole installation
    Column("connection", String(40), nullable=False, default="", server_default=""),
    Column("opened_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("occurrences", Integer, nullable=False),
    Column("told", Integer, nullable=False, default=0),  # how many occurrences people know of
    Column("due_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("message_id", String(40), nullable=False, default=""),  # Slack's, to update instead of repeat
    Column("content", JSON, nullable=False),
    Column("closed_at", Instant),
    # What people were told is not so any more: it is solved, or of several dead letters some are.
    Column("is_stale", Boolean, nullable=False, default=False, server_default=false()),
    # One open alert for a cause, whoever raises it at the same moment.
    Index(
        "uq_alerts_open_cause",
        "cause",
        unique=True,
        sqlite_where=text("closed_at IS NULL"),
        postgresql_where=text("closed_at IS NULL"),
    ),
    index_of_some("ix_alerts_news", "due_at", where=HAS_NEWS),
    index_of_some("ix_alerts_closed_at", "closed_at", where="closed_at IS NOT NULL"),
)

# Access tokens shared by all processes, encrypted.
tokens = Table(
    "tokens",
    metadata,
    Column("connection", String(40), primary_key=True),
    Column("value", Text, nullable=False, default=""),
    Column("expires_at", Instant),
    Column("instance_url", String(300), nullable=False, default=""),
    Column("renewing_until", Instant),  # somebody is renewing it
    Column("renewals", JSON, nullable=False, default=list),  # instants of the latest ones, for vendors that count
    Column("credentials", String(64), nullable=False, default="", server_default=""),  # fingerprint: see accounts
)

# Whose account a connection was first seen to be: everything that is remembered of the connection belongs to it.
accounts = Table(
    "accounts",
    metadata,
    Column("connection", String(40), primary_key=True),
    Column("identity", String(300), nullable=False),
    Column("credentials", String(64), nullable=False),  # fingerprint of those that last proved to be of this account
    Column("met_at", Instant, nullable=False),
)

# Connections that failed, and until when nobody calls them.
breakers = Table(
    "breakers",
    metadata,
    Column("connection", String(40), primary_key=True),
    Column("failures", Integer, nullable=False, default=0),  # in a row
    Column("opened_at", Instant),
    Column("retry_at", Instant),
    Column("probes", Integer, nullable=False, default=0),
    Column("system", String(40), nullable=False, default="", server_default=""),
    Column("reason", String(300), nullable=False, default="", server_default=""),  # "": it did not answer
    Column("operations", String(300), nullable=False, default="", server_default=""),  # that it refuses; "": all
    Column("closed_at", Instant),  # when the system last answered again
)

# Single values that outlive processes: the go-live instant, the last sweep.
facts = Table(
    "facts",
    metadata,
    Column("name", String(120), primary_key=True),
    Column("value", Text, nullable=False),
)
