"""Bulk API 2.0 ingest: a job, one CSV, and three result files.

Source: shared fact sheet, section 7. A job is worked off when its state is first polled after UploadComplete, one
state per poll (InProgress, then JobComplete), so that a client must poll.
"""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from crmsync.lab.sandbox.kernel.http import Request, Response, answer
from crmsync.lab.sandbox.kernel.ledger import Clock
from crmsync.lab.sandbox.salesforce.org import Org
from crmsync.lab.sandbox.salesforce.rows import upserted
from crmsync.lab.sandbox.salesforce.values import (
    Object,
    SalesforceError,
    make_id,
    needs_json,
    not_found,
    object_of,
    show,
)

OPERATIONS = ("insert", "update", "upsert", "delete", "hardDelete")
DELIMITERS = {"COMMA": ",", "SEMICOLON": ";", "TAB": "\t", "PIPE": "|", "CARET": "^", "BACKQUOTE": "`"}
MAXIMUM_BYTES = 100_000_000


@dataclass
class Job:
    """One ingest job."""

    id: str
    object: str
    operation: str
    external_id: str | None
    delimiter: str
    created: str
    state: str = "Open"
    data: str | None = None
    error: str = ""
    done: list[tuple[dict[str, str], str, bool]] = field(default_factory=list)
    failed: list[tuple[dict[str, str], str]] = field(default_factory=list)

    def show(self, version: str) -> dict[str, Any]:
        shown = {
            "id": self.id,
            "operation": self.operation,
            "object": self.object,
            "createdDate": self.created,
            "state": self.state,
            "contentType": "CSV",
            "apiVersion": float(version),
            "contentUrl": f"services/data/v{version}/jobs/ingest/{self.id}/batches",
            "lineEnding": "LF",
            "columnDelimiter": self.delimiter,
            "numberRecordsProcessed": len(self.done) + len(self.failed),
            "numberRecordsFailed": len(self.failed),
        }
        shown |= {"errorMessage": self.error} if self.error else {}
        return {**shown, "externalIdFieldName": self.external_id} if self.external_id else shown


class Bulk:
    """The jobs of one org."""

    def __init__(self, org: Org, clock: Clock) -> None:
        self._org = org
        self._clock = clock
        self._numbers = count(1)
        self._jobs: dict[str, Job] = {}

    def create(self, body: Any) -> Job:
        """Open a job. Raises SalesforceError for an unknown object, operation or external id."""
        operation = body.get("operation")
        if operation not in OPERATIONS:
            raise SalesforceError("INVALIDENTITY", f"Invalid operation {operation}")
        if body.get("contentType", "CSV") != "CSV" or str(body.get("columnDelimiter", "COMMA")) not in DELIMITERS:
            raise SalesforceError("INVALIDJOB", "Unsupported contentType or columnDelimiter")
        if body.get("lineEnding", "LF") not in ("LF", "CRLF"):
            raise SalesforceError("INVALIDJOB", "Unsupported lineEnding")
        kind = self._org.object(str(body.get("object")))
        key = kind.find(str(body.get("externalIdFieldName")))
        if operation == "upsert" and (key is None or not (key.external_id or key.name == "Id")):
            raise SalesforceError("INVALIDJOB", f"Field name not found : {body.get('externalIdFieldName')}")
        job = Job(make_id("750", next(self._numbers), self._org.pod), kind.name, operation, key.name if key else None,
                  body.get("columnDelimiter", "COMMA"), show(self._clock.now()))  # fmt: skip
        self._jobs[job.id] = job
        return job

    def get(self, job_id: str) -> Job:
        job = self._jobs.get(job_id)
        if job is None:
            raise not_found()
        return job

    def all(self) -> list[Job]:
        return list(self._jobs.values())

    def upload(self, job_id: str, data: bytes) -> None:
        """Take the CSV, once."""
        job = self.get(job_id)
        if job.state != "Open" or job.data is not None:
            raise SalesforceError("INVALIDJOBSTATE", "Found multiple contents for job: <" + job.id + ">")
        if len(data) > MAXIMUM_BYTES:
            raise SalesforceError("CLIENTINPUTERROR", "the data is too large", 413)
        try:
            job.data = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise SalesforceError("CLIENTINPUTERROR", "the data is not UTF-8") from None

    def close(self, job_id: str, state: Any) -> Job:
        job = self.get(job_id)
        if job.state != "Open" or state not in ("UploadComplete", "Aborted"):
            raise SalesforceError("INVALIDJOBSTATE", f"Job in state {job.state} cannot become {state}")
        job.state = state
        return job

    def delete(self, job_id: str) -> None:
        if self.get(job_id).state not in ("UploadComplete", "JobComplete", "Aborted", "Failed"):
            raise SalesforceError("INVALIDJOBSTATE", "Job must be closed before it is deleted")
        del self._jobs[job_id]

    def poll(self, job_id: str) -> Job:
        """The job, one state further if it is under way."""
        job = self.get(job_id)
        if job.state == "InProgress":
            job.error = self._problem(job)
            job.state = "Failed" if job.error else "JobComplete"
            if not job.error:
                self._work(job)
        elif job.state == "UploadComplete":
            job.state = "InProgress"
        return job

    def _problem(self, job: Job) -> str:
        """Why the job fails as a whole: a column that the object does not have."""
        kind = self._org.object(job.object)
        if not _is_table(job):
            return "InvalidBatch : Failed to parse CSV : the data does not match its columns"
        unknown = [name for name in _columns(job) if not _is_known(self._org, kind, name)]
        return f"InvalidBatch : Field name not found : {unknown[0]}" if unknown else ""

    def _work(self, job: Job) -> None:
        with self._org.attempt():
            for row in self._rows(job):
                self._work_row(job, row)

    def _work_row(self, job: Job, row: dict[str, str]) -> None:
        try:
            record_id, created = self._act(job, row)
        except SalesforceError as error:
            job.failed.append((row, f"{error.code}:{error.message}:{', '.join(error.fields)} --"))
        else:
            job.done.append((row, record_id, created))

    def _rows(self, job: Job) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(job.data or ""), delimiter=DELIMITERS[job.delimiter]))

    def _act(self, job: Job, row: dict[str, str]) -> tuple[str, bool]:
        values = {name: _cell(text) for name, text in row.items() if text != ""}
        if job.operation == "insert":
            return self._org.create(job.object, self._typed(job, values))["Id"], True
        if job.operation == "upsert" and job.external_id != "Id":
            return self._upsert(job, values)
        record_id = str(values.pop("Id", None))
        if job.operation in ("delete", "hardDelete"):
            self._org.delete(job.object, record_id)
            return record_id, False
        return self._org.update(job.object, record_id, self._typed(job, values))["Id"], False

    def _upsert(self, job: Job, values: dict[str, str | None]) -> tuple[str, bool]:
        kind = self._org.object(job.object)
        key = kind.fields[str(job.external_id)]
        value = values.pop(key.name, None)
        if value is None:
            raise SalesforceError("MISSING_ARGUMENT", f"{key.name} not specified", fields=(key.name,))
        response = upserted(self._org, kind, key, value, self._typed(job, values), "0", may_create=True)
        if response.status == 300:
            raise SalesforceError("DUPLICATE_EXTERNAL_ID", "Duplicate external id specified")
        shown = response.json()
        return shown["id"], shown["created"]

    def _typed(self, job: Job, values: dict[str, str | None]) -> dict[str, Any]:
        """CSV text in the types of the fields."""
        kind = self._org.object(job.object)
        types = {name: found.type for name in values if (found := kind.find(name))}
        truth = {"true": True, "false": False, "1": True, "0": False}
        return {
            name: truth.get((text or "").lower(), text) if types.get(name) == "boolean" else text
            for name, text in values.items()
        }

    def results(self, job_id: str, which: str) -> bytes:
        """One of the three result files. Raises SalesforceError for another name."""
        job = self.get(job_id)
        if which == "successfulResults":
            rows = [{"sf__Id": key, "sf__Created": str(new).lower(), **row} for row, key, new in job.done]
            return _csv(["sf__Id", "sf__Created"], job, rows)
        if which == "failedResults":
            rows = [{"sf__Id": row.get("Id", ""), "sf__Error": text, **row} for row, text in job.failed]
            return _csv(["sf__Id", "sf__Error"], job, rows)
        if which == "unprocessedrecords":
            waiting = self._rows(job) if job.state in ("Aborted", "Failed") and _is_table(job) else []
            return _csv([], job, waiting)
        raise not_found()


def _is_table(job: Job) -> bool:
    """Whether no row has more cells than the first line."""
    try:
        rows = list(csv.reader(io.StringIO(job.data or ""), delimiter=DELIMITERS[job.delimiter]))
    except csv.Error:
        return False
    return all(len(row) <= len(rows[0]) for row in rows)


def _columns(job: Job) -> list[str]:
    header = (job.data or "").splitlines()[:1]
    return next(csv.reader(header, delimiter=DELIMITERS[job.delimiter]), [])


def _is_known(org: Org, kind: Object, column: str) -> bool:
    """A field, or a field of the record that a relationship leads to (`Account.Ext__c`)."""
    relationship, dot, name = column.partition(".")
    if not dot:
        return kind.find(column) is not None
    parent = kind.parent(relationship)
    return bool(parent and parent.target and org.object(parent.target).find(name))


def _cell(text: str) -> str | None:
    return None if text == "#N/A" else text


def _csv(first: list[str], job: Job, rows: list[dict[str, str]]) -> bytes:
    names = _columns(job)
    out = io.StringIO()
    writer = csv.DictWriter(out, [*first, *names], lineterminator="\n", delimiter=DELIMITERS[job.delimiter])
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


# -- its addresses


def _jobs(bulk: Bulk, request: Request, version: str) -> Response:
    return answer({"done": True, "records": [one.show(version) for one in bulk.all()]})


def _create(bulk: Bulk, request: Request, version: str) -> Response:
    needs_json(request)
    return answer(bulk.create(object_of(request)).show(version))


def _upload(bulk: Bulk, request: Request, version: str, job: str) -> Response:
    if request.content_type != "text/csv":
        raise SalesforceError("UNSUPPORTED_MEDIA_TYPE", "Content-Type must be text/csv", 415)
    bulk.upload(job, request.body)
    return Response(201)


def _close(bulk: Bulk, request: Request, version: str, job: str) -> Response:
    needs_json(request)
    return answer(bulk.close(job, object_of(request).get("state")).show(version))


def _poll(bulk: Bulk, request: Request, version: str, job: str) -> Response:
    return answer(bulk.poll(job).show(version))


def _delete(bulk: Bulk, request: Request, version: str, job: str) -> Response:
    bulk.delete(job)
    return Response(204)


def _results(bulk: Bulk, request: Request, version: str, job: str, which: str) -> Response:
    return Response(200, bulk.results(job, which), {"Content-Type": "text/csv"})


ROUTES: list[tuple[str, str, Callable[..., Response]]] = [
    ("GET", "/jobs/ingest", _jobs),
    ("POST", "/jobs/ingest", _create),
    ("PUT", "/jobs/ingest/{job}/batches", _upload),
    ("PATCH", "/jobs/ingest/{job}", _close),
    ("GET", "/jobs/ingest/{job}", _poll),
    ("DELETE", "/jobs/ingest/{job}", _delete),
    ("GET", "/jobs/ingest/{job}/{which}", _results),
]
