"""The addresses of Bulk API 2.0 ingest."""

from collections.abc import Callable

from crmsync.sandbox.http import Handler, Request, Response, answer
from crmsync.sandbox.salesforce.bulk import Bulk
from crmsync.sandbox.salesforce.errors import SalesforceError, needs_json, object_of


def bulk_routes(bulk: Callable[[], Bulk]) -> list[tuple[str, str, Handler]]:
    """Method, path and handler of each call."""
    job = "/jobs/ingest/{job}"

    def jobs(request: Request, version: str) -> Response:
        return answer({"done": True, "records": [one.show(version) for one in bulk().all()]})

    def create(request: Request, version: str) -> Response:
        needs_json(request)
        return answer(bulk().create(object_of(request)).show(version))

    def upload(request: Request, version: str, job: str) -> Response:
        if request.content_type != "text/csv":
            raise SalesforceError("UNSUPPORTED_MEDIA_TYPE", "Content-Type must be text/csv", 415)
        bulk().upload(job, request.body)
        return Response(201)

    def close(request: Request, version: str, job: str) -> Response:
        needs_json(request)
        return answer(bulk().close(job, object_of(request).get("state")).show(version))

    def poll(request: Request, version: str, job: str) -> Response:
        return answer(bulk().poll(job).show(version))

    def delete(request: Request, version: str, job: str) -> Response:
        bulk().delete(job)
        return Response(204)

    def results(request: Request, version: str, job: str, which: str) -> Response:
        return Response(200, bulk().results(job, which), {"Content-Type": "text/csv"})

    return [
        ("GET", "/jobs/ingest", jobs),
        ("POST", "/jobs/ingest", create),
        ("PUT", f"{job}/batches", upload),
        ("PATCH", job, close),
        ("GET", job, poll),
        ("DELETE", job, delete),
        ("GET", f"{job}/{{which}}", results),
    ]
