"""How errors leave over HTTP: the status of their code, and a JSON object with the same text and details as gRPC's."""

from __future__ import annotations

import math
from typing import Any

import grpc

from maas_server.errors import MaasError
from maas_server.http.messages import Headers, Response, json_response

_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 412,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


class HttpError(Exception):
    """A request that HTTP itself has an answer for; the rest of the tree are MaasErrors."""

    def __init__(self, status: int, message: str, *, headers: Headers = (), close: bool = False) -> None:
        """`close`: what follows on the connection cannot be told from this request's body."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers
        self.close = close

    def response(self) -> Response:
        """Return what goes out."""
        return json_response({"error": self.message}, self.status, self.headers)


def http_status(code: grpc.StatusCode) -> int:
    """Return the HTTP status for a gRPC code."""
    return _STATUS.get(code, 500)


def error_body(error: MaasError) -> dict[str, Any]:
    """Return the error as a JSON object."""
    body: dict[str, Any] = {"error": error.message, "code": error.code.name, "reason": error.reason}
    if error.violations:
        body["violations"] = [{"field": each.field, "description": each.description} for each in error.violations]
    if error.retry_after is not None:
        body["retry_after_seconds"] = error.retry_after
    return body


def error_response(error: MaasError) -> Response:
    """Return what goes out for the error."""
    headers: Headers = ()
    if error.retry_after is not None:
        headers = (("retry-after", str(max(1, math.ceil(error.retry_after)))),)
    return json_response(error_body(error), http_status(error.code), headers)
