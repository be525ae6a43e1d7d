"""Refusals in the shape of an SAP Gateway error."""

from datetime import UTC, datetime

from crmsync.lab.sandbox.http import Response, answer

GENERIC = "/IWBEP/CX_SD_GEN_DPC_BUSINS"


class ODataError(Exception):
    """A request that Gateway or the application behind it refuses."""

    def __init__(self, message: str, code: str = "/IWBEP/CM_MGW_RT/022", status: int = 400, target: str = "") -> None:
        super().__init__(message)
        self.message, self.code, self.status, self.target = message, code, status, target


def not_found(message: str = "Resource not found") -> ODataError:
    return ODataError(message, "/IWBEP/CM_MGW_RT/020", 404)


def error_response(error: ODataError, service: str, transaction: str) -> Response:
    """The JSON error body; like the vendor's, the last detail is a generic entry of no use."""
    first = {"code": error.code, "message": error.message, "propertyref": "", "severity": "error"}
    generic = {"code": GENERIC, "message": "An exception was raised", "severity": "error", "target": ""}
    inner = {
        "application": {
            "component_id": "",
            "service_namespace": "/SAP/",
            "service_id": service,
            "service_version": "0001",
        },
        "transactionid": transaction,
        "timestamp": datetime.now(UTC).strftime("%Y%m%d%H%M%S.%f0"),
        "errordetails": [{**first, "target": error.target}, generic],
    }
    message = {"lang": "en", "value": error.message}
    body = {"error": {"code": error.code, "message": message, "innererror": inner}}
    return answer(body, error.status, dataserviceversion="1.0")
