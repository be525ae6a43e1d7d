"""Bulk jobs: what is handed over, what each state means, and which rows were refused."""

from __future__ import annotations

import csv
import io
import tracemalloc
from decimal import Decimal
from typing import Any

import pytest
import responses
from hypothesis import given
from hypothesis import strategies as st

from crmsync.connectors.salesforce import bulk, bulk_csv
from crmsync.domain.stock import Rejection, StockLevel
from crmsync.errors import UnexpectedAnswerError, VendorUnavailableError

from ..conftest import LoadFixture
from .conftest import DATA, FIXTURES, Build
from .test_catalogue import KEYS, Calls, level, nothing

JOBS = f"{DATA}/jobs/ingest"
JOB_ID = "750xx0000000001AAA"
JOB = f"{JOBS}/{JOB_ID}"
KEY = f"{JOB_ID}:2"
OTHER_ID = "750xx0000000002AAA"


def _csv(name: str) -> str:
    return (FIXTURES / f"bulk__{name}.csv").read_text()


@pytest.fixture
def state(fixture: LoadFixture) -> Any:
    """The answer about a job, with changes."""
    return lambda **changes: {**fixture("bulk__job"), **changes}


class TestStart:
    def test_a_job_is_opened_filled_and_closed(
        self, crm: Build, salesforce: responses.RequestsMock, state: Any
    ) -> None:
        salesforce.post(JOBS, json=state(state="Open"))
        salesforce.put(f"{JOB}/batches", status=201)
        salesforce.patch(JOB, json=state(state="UploadComplete"))
        keep_alive = Calls()

        key = crm(stock_field="Stock__c").start_bulk(
            [level(KEYS[1], "1E+2"), level(KEYS[0], "0.125", is_low=True)], keep_alive
        )

        opened, filled, closed = (call.request for call in salesforce.calls)
        assert opened.body == (
            b'{"object": "Product2", "operation": "update", "contentType": "CSV", "lineEnding": "LF",'
            b' "columnDelimiter": "COMMA"}'
        )
        assert filled.headers["Content-Type"] == "text/csv; charset=UTF-8"
        assert filled.body == (f"Id,Stock__c,Low_Stock_Alert__c\n{KEYS[0]},0.125,true\n{KEYS[1]},100,false\n".encode())
        assert closed.body == b'{"state": "UploadComplete"}'
        assert (key, keep_alive.count) == (KEY, 3)

    def test_many_rows_are_shared_out_among_jobs(
        self, crm: Build, salesforce: responses.RequestsMock, state: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bulk, "ROWS_PER_JOB", 3)
        for job_id in (JOB_ID, OTHER_ID):
            salesforce.post(JOBS, json=state(id=job_id))
            salesforce.put(f"{JOBS}/{job_id}/batches", status=201)
            salesforce.patch(f"{JOBS}/{job_id}", json=state(id=job_id, state="UploadComplete"))

        key = crm().start_bulk([level(key) for key in reversed(KEYS)], nothing)

        assert key == f"{JOB_ID}:3 {OTHER_ID}:1"
        rows = [str(call.request.body).count("01t") for call in salesforce.calls if call.request.method == "PUT"]
        assert rows == [3, 1]

    @pytest.mark.parametrize("answer", [{}, []])
    def test_what_opens_a_job_and_is_none(self, crm: Build, salesforce: responses.RequestsMock, answer: Any) -> None:
        salesforce.post(JOBS, json=answer)

        with pytest.raises(VendorUnavailableError):
            crm().start_bulk([level(KEYS[0])], nothing)

    @pytest.mark.parametrize("answer", [{"id": "../750"}, {"id": KEYS[0]}])
    def test_a_job_that_has_no_id(self, crm: Build, salesforce: responses.RequestsMock, answer: Any) -> None:
        salesforce.post(JOBS, json=answer)

        with pytest.raises(UnexpectedAnswerError):
            crm().start_bulk([level(KEYS[0])], nothing)

    def test_a_page_of_html_is_no_upload(self, crm: Build, salesforce: responses.RequestsMock, state: Any) -> None:
        salesforce.post(JOBS, json=state())
        salesforce.put(f"{JOB}/batches", status=200, body="<html>maintenance</html>")

        with pytest.raises(VendorUnavailableError):
            crm().start_bulk([level(KEYS[0])], nothing)


class TestRejections:
    @pytest.mark.parametrize("word", ["Open", "UploadComplete", "InProgress"])
    def test_none_while_the_job_is_at_work(
        self, crm: Build, salesforce: responses.RequestsMock, state: Any, word: str
    ) -> None:
        salesforce.get(JOB, json=state(state=word, numberRecordsProcessed=0))

        assert crm().bulk_rejections(KEY, nothing) is None

    def test_where_nothing_failed_one_call_is_enough(
        self, crm: Build, salesforce: responses.RequestsMock, state: Any
    ) -> None:
        salesforce.get(JOB, json=state())
        keep_alive = Calls()

        assert crm().bulk_rejections(KEY, keep_alive) == []
        assert (len(salesforce.calls), keep_alive.count) == (1, 1)

    def test_rows_that_failed(self, crm: Build, salesforce: responses.RequestsMock, state: Any) -> None:
        salesforce.get(JOB, json=state(numberRecordsFailed=2))
        salesforce.get(f"{JOB}/failedResults", body=_csv("failed_results"), content_type="text/csv")

        assert crm().bulk_rejections(KEY, nothing) == [
            Rejection(
                KEYS[0],
                "FIELD_CUSTOM_VALIDATION_EXCEPTION: Available_Stock__c is refused by a validation rule of the "
                "organization",
            ),
            Rejection(
                KEYS[2], "ENTITY_IS_DELETED: The record does not exist in Salesforce, or crmsync may not see it."
            ),
        ]
        assert salesforce.calls[1].request.headers["Accept"] == "text/csv"

    @pytest.mark.parametrize("counts", [{"numberRecordsProcessed": 1}, {"numberRecordsProcessed": None}])
    def test_rows_that_were_not_processed(
        self, crm: Build, salesforce: responses.RequestsMock, state: Any, counts: dict[str, Any]
    ) -> None:
        salesforce.get(JOB, json=state(**counts))
        salesforce.get(f"{JOB}/unprocessedrecords", body=_csv("unprocessed"))

        assert crm().bulk_rejections(KEY, nothing) == [Rejection(KEYS[2], "not processed")]

    def test_a_job_that_does_not_count_is_asked_for_its_failures(
        self, crm: Build, salesforce: responses.RequestsMock, state: Any
    ) -> None:
        salesforce.get(JOB, json=state(numberRecordsFailed=None))
        salesforce.get(f"{JOB}/failedResults", body="sf__Id,sf__Error,Id\n")

        assert crm().bulk_rejections(KEY, nothing) == []

    def test_all_jobs_must_have_ended_before_any_result_is_read(
        self, crm: Build, salesforce: responses.RequestsMock, state: Any
    ) -> None:
        salesforce.get(JOB, json=state(numberRecordsFailed=1))
        salesforce.get(f"{JOBS}/{OTHER_ID}", json=state(state="InProgress"))

        assert crm().bulk_rejections(f"{KEY} {OTHER_ID}:2", nothing) is None

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param({"json": {"state": "Failed", "errorMessage": "Ann"}}, id="failed"),
            pytest.param({"json": {"state": "Aborted"}}, id="aborted"),
            pytest.param({"status": 404, "json": [{"errorCode": "NOT_FOUND", "message": "Ann"}]}, id="vanished"),
        ],
    )
    def test_a_job_that_failed_as_a_whole_is_to_be_done_again(
        self, crm: Build, salesforce: responses.RequestsMock, answer: dict[str, Any]
    ) -> None:
        salesforce.get(JOB, **answer)

        with pytest.raises(VendorUnavailableError) as caught:
            crm().bulk_rejections(KEY, nothing)

        assert "Ann" not in str(caught.value)

    @pytest.mark.parametrize("key", ["", "7", JOB_ID, f"{KEY} x", "../750:1", f"{KEYS[0]}:1"])
    def test_so_is_one_that_was_never_ours(self, crm: Build, salesforce: responses.RequestsMock, key: str) -> None:
        with pytest.raises(VendorUnavailableError):
            crm().bulk_rejections(key, nothing)

        assert not salesforce.calls

    def test_what_is_no_job(self, crm: Build, salesforce: responses.RequestsMock) -> None:
        salesforce.get(JOB, json={})

        with pytest.raises(VendorUnavailableError):
            crm().bulk_rejections(KEY, nothing)

    @pytest.mark.parametrize("answer", [{"state": "Resting"}, {"state": "JobComplete", "numberRecordsFailed": "x"}])
    def test_a_state_that_is_not_documented(
        self, crm: Build, salesforce: responses.RequestsMock, answer: dict[str, Any]
    ) -> None:
        salesforce.get(JOB, json=answer)

        with pytest.raises(UnexpectedAnswerError):
            crm().bulk_rejections(KEY, nothing)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "sf__Id,Id\nx,y\n",
            "sf__Id,sf__Error,Id\nonly one\n",
            "sf__Id,sf__Error,Id\na,b,c,d\n",
            'sf__Id,sf__Error,Id\na,"b\n',
            "sf__Id,sf__Error,Id\na," + "b" * 200_000 + ",c\n",
        ],
        ids=lambda text: text[:30],
    )
    def test_results_that_cannot_be_read_are_not_taken_for_none(
        self, crm: Build, salesforce: responses.RequestsMock, state: Any, text: str
    ) -> None:
        salesforce.get(JOB, json=state(numberRecordsFailed=1))
        salesforce.get(f"{JOB}/failedResults", body=text)

        with pytest.raises(UnexpectedAnswerError, match="failedResults"):
            crm().bulk_rejections(KEY, nothing)


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.decimals("-1e15", "1e15", places=3), st.booleans())))
def test_what_is_written_is_read_back(rows: list[tuple[str, Decimal, bool]]) -> None:
    text = bulk_csv.written(["Id", "Stock__c", "Low__c"], rows)

    assert "\r" not in text
    assert "E" not in "".join(row["Stock__c"] for row in csv.DictReader(io.StringIO(text)))
    found = [
        (row["Id"], Decimal(row["Stock__c"]), row["Low__c"] == "true")
        for row in bulk_csv.read(text, ["Id", "Stock__c"])
    ]
    assert found == rows


@given(st.text('Id,"\n\r\0 é\u2028'))  # what CSV gives a meaning to, and what it does not
def test_any_text_is_csv_with_the_columns_or_refused(text: str) -> None:
    try:
        rows = list(bulk_csv.read(text, ["Id"]))
    except ValueError:
        return
    assert all(isinstance(value, str) for row in rows for value in row.values())


def test_the_rows_of_one_job_need_little_memory() -> None:
    """A tenth of a job: each row takes as much as any other, and to trace what is allocated is slow."""
    rows = range(bulk.ROWS_PER_JOB // 10)
    levels = [StockLevel(f"01txx{number:010}AAA", "CODE", Decimal(number), False) for number in rows]
    tracemalloc.start()
    text = bulk._csv(("Available_Stock__c", "Low_Stock_Alert__c"), levels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert len(text) < 200_000
    assert peak < 1_200_000
