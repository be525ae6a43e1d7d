"""A bare Flask view: one INSERT with commit, one apply_async; on crmsync's own database and broker settings."""

from __future__ import annotations

import uuid

from flask import Flask, Response, jsonify, request
from sqlalchemy import Column, MetaData, String, Table

from benchmarks.bare_celery import TASKS
from crmsync.settings import Settings
from crmsync.store import Store

metadata = MetaData()
inbox = Table("bare_inbox", metadata, Column("id", String(32), primary_key=True), Column("deal", String(18)))
_INSERT = inbox.insert()

_engine = Store(Settings.from_env().database_url).engine
app = Flask(__name__)


def prepare() -> None:
    """Make the table."""
    metadata.create_all(_engine)


@app.get("/healthz")
def healthz() -> Response:
    return jsonify(status="ok")


@app.post("/webhook/salesforce/deal-closed")
def deal_closed() -> Response:
    row = {"id": uuid.uuid4().hex, "deal": request.get_json()["opportunityId"]}
    with _engine.begin() as connection:
        connection.execute(_INSERT, row)
    TASKS[0].apply_async((row["id"],))
    return jsonify(status="accepted")
