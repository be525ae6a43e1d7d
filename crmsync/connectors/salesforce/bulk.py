"""Bulk jobs: any number of stock levels uploaded as CSV, which Salesforce processes asynchronously.

POST job, PUT its CSV, PATCH UploadComplete; then GET the job until it is complete, and its result files.
Source: developer.salesforce.com, api_asynch, Bulk API 2.0 ingest; facts, section 7.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crmsync.connectors.base import JOB_LOST, KeepAlive
from crmsync.connectors.salesforce import bulk_csv, schemas, soql
from crmsync.connectors.salesforce.api import SalesforceApi, unexpected
from crmsync.connectors.salesforce.errors import SYSTEM, bulk_refusal, speaks_with
from crmsync.connectors.salesforce.settings import SalesforceSettings
from crmsync.domain.stock import Rejection, StockLevel
from crmsync.errors import RecordNotFoundError, VendorUnavailableError

# Far below the 100 MB and the 150,000,000 rows a day that a job may have: what comes back, with a sentence of
# Salesforce in each row, must be read while a lease lasts.
ROWS_PER_JOB = 50_000
NOT_PROCESSED = "not processed"

_OPEN = "open bulk job"
_UPLOAD = "upload stock"
_CLOSE = "close bulk job"
_LOOK = "read bulk job"
_RESULTS = "read bulk results"
_SPEAKS_OPENED, _SPEAKS_JOB = speaks_with("id"), speaks_with("state")

_AT_WORK = ("Open", "UploadComplete", "InProgress")
_GIVEN_UP = ("Failed", "Aborted")
_COMPLETE = "JobComplete"
_KEY = re.compile(r"(750[A-Za-z0-9]{15}):(\d{1,9})")


@dataclass(frozen=True, slots=True)
class Job:
    """One job of Salesforce, and how many rows it was given."""

    id: str
    rows: int

    def __str__(self) -> str:
        return f"{self.id}:{self.rows}"

    @property
    def path(self) -> str:
        return f"/jobs/ingest/{self.id}"


class BulkJobs:
    """Writes levels through jobs; what the connector calls a job is as many of Salesforce's as its rows need."""

    def __init__(self, api: SalesforceApi, settings: SalesforceSettings) -> None:
        self._api = api
        self._fields = tuple(soql.stock_fields(settings).values())

    def start(self, levels: Sequence[StockLevel], keep_alive: KeepAlive) -> str:
        """Hand *levels* over; three calls for every 50,000. A job left open by a failure does nothing."""
        # In the order of ids, so that jobs at the same time touch different records.
        ordered = sorted(levels, key=lambda level: level.product_key)
        parts = (ordered[start : start + ROWS_PER_JOB] for start in range(0, len(ordered), ROWS_PER_JOB))
        return " ".join([str(self._start(part, keep_alive)) for part in parts])

    def rejections(self, key: str, keep_alive: KeepAlive) -> list[Rejection] | None:
        """The rows refused by all jobs of *key*; None while one of them is at work.

        Raises: VendorUnavailableError for a job that failed, was aborted or is gone: its rows must go into another.
        """
        try:
            return self._rejections(jobs_of(key), keep_alive)
        except RecordNotFoundError as error:
            raise _lost("Salesforce no longer has the bulk job.") from error

    def _start(self, levels: Sequence[StockLevel], keep_alive: KeepAlive) -> Job:
        keep_alive()
        opened = schemas.load(
            schemas.JOB_OPENED,
            self._api.call(_OPEN, "POST", "/jobs/ingest", speaks=_SPEAKS_OPENED, json=_JOB),
            operation=_OPEN,
        )
        job = Job(opened["id"], len(levels))
        keep_alive()
        self._api.upload_csv(_UPLOAD, f"{job.path}/batches", _csv(self._fields, levels))
        keep_alive()
        self._api.call(_CLOSE, "PATCH", job.path, speaks=_SPEAKS_JOB, json={"state": "UploadComplete"})
        return job

    def _rejections(self, jobs: Sequence[Job], keep_alive: KeepAlive) -> list[Rejection] | None:
        looks = []
        for job in jobs:
            keep_alive()
            found = self._api.call(_LOOK, "GET", job.path, speaks=_SPEAKS_JOB)
            answer = schemas.load(schemas.JOB, found, operation=_LOOK)
            if not is_complete(answer["state"]):
                return None
            looks.append((job, answer))
        return [each for job, answer in looks for each in self._refused(job, answer, keep_alive)]

    def _refused(self, job: Job, answer: Mapping[str, Any], keep_alive: KeepAlive) -> Iterator[Rejection]:
        """What an answer leaves open is asked for: a row that is thought to be written is not written again."""
        failed, processed = answer["failed"], answer["processed"]
        if failed != 0:
            yield from self._results(job, "failedResults", ("Id", "sf__Error"), self._failed, failed or 0, keep_alive)
        if processed != job.rows:
            # Whether the failed count as processed is unverified, so this is the least that there are.
            least = 0 if processed is None else job.rows - processed - (failed or 0)
            yield from self._results(job, "unprocessedrecords", ("Id",), _unprocessed, least, keep_alive)

    def _results(
        self,
        job: Job,
        name: str,
        columns: Sequence[str],
        rejection: Callable[[Mapping[str, str]], Rejection],
        least: int,
        keep_alive: KeepAlive,
    ) -> list[Rejection]:
        """A line at a time: each comes with a sentence of Salesforce, or with a trigger's whole text.

        Raises: VendorUnavailableError for fewer than *least*: an answer without a length ends wherever it is cut.
        """
        found: list[Rejection] = []

        def read(lines: Iterator[str]) -> None:
            try:
                found.extend(map(rejection, bulk_csv.rows(lines, columns)))
            except ValueError as error:
                if not found or len(found) >= least:
                    raise unexpected(_RESULTS, name, "is not a CSV file with the columns of the job") from error

        keep_alive()
        self._api.read_csv(_RESULTS, f"{job.path}/{name}", read)
        if len(found) < least:
            raise self._api.organization.own(_cut(name))
        return found

    def _failed(self, row: Mapping[str, str]) -> Rejection:
        return Rejection(row["Id"], bulk_refusal(row["sf__Error"], self._fields))


def jobs_of(key: str) -> list[Job]:
    """The jobs of a key that start() returned.

    Raises: VendorUnavailableError for any other: whatever it stood for, its rows must go into another job.

    >>> jobs_of("750xx0000000001AAA:25000 750xx0000000002AAA:7")[1]
    Job(id='750xx0000000002AAA', rows=7)
    """
    found = [_KEY.fullmatch(part) for part in key.split()]
    jobs = [Job(match[1], int(match[2])) for match in found if match]
    if not jobs or len(jobs) < len(found):
        raise _lost("Not a Salesforce bulk job.")
    return jobs


def is_complete(state: str) -> bool:
    """Whether the job has come to its end, by its *state*.

    Raises: VendorUnavailableError where it has given up; UnexpectedAnswerError for a state that is not documented.
    """
    if state in _GIVEN_UP:
        raise _lost(f"Salesforce gave up on the bulk job ({state}); `crmsync doctor` shows whether a field is missing.")
    if state != _COMPLETE and state not in _AT_WORK:
        raise unexpected(_LOOK, "state", "is not documented")
    return state == _COMPLETE


_JOB = {
    "object": soql.PRODUCT,
    "operation": "update",
    "contentType": "CSV",
    "lineEnding": "LF",
    "columnDelimiter": "COMMA",
}


def _csv(fields: Sequence[str], levels: Sequence[StockLevel]) -> str:
    return bulk_csv.written(["Id", *fields], ([each.product_key, each.available, each.is_low] for each in levels))


def _unprocessed(row: Mapping[str, str]) -> Rejection:
    return Rejection(row["Id"], NOT_PROCESSED)


def _cut(name: str) -> VendorUnavailableError:
    return VendorUnavailableError(f"Salesforce broke off in the middle of {name}.", system=SYSTEM, operation=_RESULTS)


def _lost(message: str) -> VendorUnavailableError:
    return VendorUnavailableError(message, system=SYSTEM, operation=_LOOK, code=JOB_LOST)
