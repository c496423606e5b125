"""One tree of errors; each class carries the gRPC status and the reason that it goes out with.

MaasError
├── InvalidRequest        INVALID_ARGUMENT     the request does not decode or does not fit the model
├── NotFound              NOT_FOUND            no such model, version or label
├── AlreadyExists         ALREADY_EXISTS       the name is taken
├── PermissionDenied      PERMISSION_DENIED    the caller may not do that, whatever else is right
├── NotAvailable          FAILED_PRECONDITION  the thing exists, and is not in the state that the call needs
├── Overloaded            RESOURCE_EXHAUSTED   a queue or limit is full; a retry later may succeed
├── DeadlineExceeded      DEADLINE_EXCEEDED    the deadline passed first
├── Cancelled             CANCELLED            the caller went away
├── Unavailable           UNAVAILABLE          the server or the version cannot take requests now
├── Unimplemented         UNIMPLEMENTED        this server does not do that
└── InternalError         INTERNAL             our fault, or the model's

ConfigError and LoadError are InvalidRequest and NotAvailable for files instead of requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import grpc

# Status and details go out as headers, where gRPC has room for 8 KiB.
_MAX_MESSAGE = 2000


@dataclass(frozen=True, slots=True)
class Violation:
    """One field at fault: its path in the request or file, and what was expected and what came."""

    field: str
    description: str


class MaasError(Exception):
    """Base of everything that this package raises on purpose."""

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN
    default_reason: ClassVar[str] = "UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        violations: Sequence[Violation] = (),
        retry_after: float | None = None,
    ) -> None:
        """`reason` is google.rpc.ErrorInfo's (UPPER_SNAKE_CASE); `retry_after` is in seconds.

        What the wire could not carry of `message` is escaped, and what headers have no room for cut.
        """
        message = _sendable(message)
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.violations = tuple(violations)
        self.retry_after = retry_after


class InvalidRequest(MaasError):
    """The request does not decode, or does not fit the model's signature or limits."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    default_reason = "INVALID_REQUEST"


class ConfigError(InvalidRequest):
    """A configuration file or a setting is wrong."""

    default_reason = "INVALID_CONFIGURATION"


class NotFound(MaasError):
    """No such model, version or label."""

    code = grpc.StatusCode.NOT_FOUND
    default_reason = "NOT_FOUND"


class AlreadyExists(MaasError):
    """The name is taken."""

    code = grpc.StatusCode.ALREADY_EXISTS
    default_reason = "ALREADY_EXISTS"


class PermissionDenied(MaasError):
    """The caller may not do that, whatever else is right."""

    code = grpc.StatusCode.PERMISSION_DENIED
    default_reason = "PERMISSION_DENIED"


class NotAvailable(MaasError):
    """The thing exists, and is not in the state that the call needs."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    default_reason = "NOT_AVAILABLE"


class LoadError(NotAvailable):
    """A model version could not be loaded; the message says why."""

    default_reason = "LOAD_FAILED"


class Overloaded(MaasError):
    """A queue or a limit is full; nothing was kept, and a retry later may succeed."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    default_reason = "OVERLOADED"


class DeadlineExceeded(MaasError):
    """The deadline passed before the answer was there."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    default_reason = "DEADLINE_EXCEEDED"


class Cancelled(MaasError):
    """The caller went away."""

    code = grpc.StatusCode.CANCELLED
    default_reason = "CANCELLED"


class Unavailable(MaasError):
    """The server or the version cannot take requests now; a retry elsewhere or later may succeed."""

    code = grpc.StatusCode.UNAVAILABLE
    default_reason = "UNAVAILABLE"


class Unimplemented(MaasError):
    """This server does not do that."""

    code = grpc.StatusCode.UNIMPLEMENTED
    default_reason = "UNIMPLEMENTED"


class InternalError(MaasError):
    """Our fault, or the model's: the run failed for no reason that the request shows."""

    code = grpc.StatusCode.INTERNAL
    default_reason = "INTERNAL"


_BY_CODE: dict[grpc.StatusCode, type[MaasError]] = {
    cls.code: cls
    for cls in (
        InvalidRequest,
        NotFound,
        AlreadyExists,
        PermissionDenied,
        NotAvailable,
        Overloaded,
        DeadlineExceeded,
        Cancelled,
        Unavailable,
        Unimplemented,
        InternalError,
    )
}


def error_class(code: grpc.StatusCode) -> type[MaasError]:
    """Return the class that stands for `code`; MaasError for a code that nothing here stands for."""
    return _BY_CODE.get(code, MaasError)


def error_text(error: BaseException) -> str:
    """Return the text of an error, whoever raised it; one that has no text is named by its class."""
    try:
        return _sendable(str(error)) or type(error).__name__
    # Errors of other packages come here, and theirs is the code that makes the text.
    except Exception:
        return type(error).__name__


def _sendable(text: str) -> str:
    text = text.encode(errors="backslashreplace").decode()
    return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 3] + "..."
