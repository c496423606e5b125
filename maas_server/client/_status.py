"""gRPC statuses to our errors, with what google.rpc.Status details say."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from maas_server.errors import MaasError, Violation, error_class

_DETAILS_KEY = "grpc-status-details-bin"
_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def from_rpc_error(error: grpc.RpcError) -> MaasError:
    """Return the error that a failed call, of either API, stands for."""
    call: Any = error  # Both APIs raise errors that are calls as well; the base class does not say so.
    details = dict(call.trailing_metadata() or ()).get(_DETAILS_KEY, b"")
    return _build(call.code(), call.details() or "", _decode(details))


def from_status(status: status_pb2.Status) -> MaasError:
    """Return the error that an answer on a stream carries."""
    return _build(_CODES.get(status.code, grpc.StatusCode.UNKNOWN), status.message, status)


def _decode(details: bytes) -> status_pb2.Status:
    try:
        return status_pb2.Status.FromString(details)
    except DecodeError:
        # A proxy may have garbled the details; code and message still stand.
        return status_pb2.Status()


def _build(code: grpc.StatusCode, message: str, status: status_pb2.Status) -> MaasError:
    reason: str | None = None
    retry_after: float | None = None
    violations: list[Violation] = []
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo.FromString(detail.value)
            reason = info.reason
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
            retry_after = delay.seconds + delay.nanos / 1e9
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest.FromString(detail.value)
            violations += (Violation(each.field, each.description) for each in bad.field_violations)
    cls = error_class(code)
    if cls is MaasError and reason is None:
        reason = code.name
    return cls(message or code.name, reason=reason, violations=violations, retry_after=retry_after)
