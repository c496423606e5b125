"""Who asks for a prediction over HTTP: how long the caller waits, and in whose name it asks; known to every route."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from maas_server.errors import DeadlineExceeded, InvalidRequest
from maas_server.http.messages import invalid, whole_number

T = TypeVar("T")

# gRPC's own, as gateways between HTTP and gRPC take it.
GRPC_TIMEOUT = "grpc-timeout"
# What Envoy, and so an Istio sidecar, tells of the time after which it gives up, in milliseconds.
ENVOY_TIMEOUT = "x-envoy-expected-rq-timeout-ms"

_SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_TIMEOUT = re.compile(r"(0*[1-9][0-9]*)([HMSmun])")
_MAX_DIGITS = 8
_MAX_INT64 = (1 << 63) - 1
# Whoever waits longer than a year waits for ever.
_LONGEST_SECONDS = 365 * 86400.0
# The core answers what expires in its queue, and says where; only what it is busy with is given up from here.
_CORE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Caller:
    """Who waits for an answer."""

    deadline: float | None = None
    """The instant of the monotonic clock until which it waits; None: for ever."""
    tenant: str = ""
    """In whose name it asks; empty: nobody's in particular."""

    def seconds(self) -> float | None:
        """Return how long it still waits; None: for ever."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())


class Callers:
    """Reads callers from headers."""

    def __init__(self, tenant_key: str = "") -> None:
        """`tenant_key`: the header that names the tenant; empty: callers are not told apart."""
        self._tenant_key = tenant_key

    def read(self, headers: Mapping[str, str], received: float) -> Caller:
        """Return who sent `headers`, which came at the instant `received` of the monotonic clock.

        Raises:
            InvalidRequest: a header says no time.
        """
        seconds = min(
            grpc_timeout(headers[GRPC_TIMEOUT]) if GRPC_TIMEOUT in headers else _LONGEST_SECONDS,
            envoy_timeout(headers[ENVOY_TIMEOUT]) if ENVOY_TIMEOUT in headers else _LONGEST_SECONDS,
        )
        tenant = headers.get(self._tenant_key, "") if self._tenant_key else ""
        if not tenant.isascii():
            tenant = tenant.encode("ascii", "backslashreplace").decode("ascii")
        return Caller(received + seconds if seconds < _LONGEST_SECONDS else None, tenant)


def grpc_timeout(text: str) -> float:
    """Return the seconds that a grpc-timeout says.

    Raises:
        InvalidRequest: it is none.
    """
    match = _TIMEOUT.fullmatch(text)
    if match is None or len(match[1]) > _MAX_DIGITS:
        expected = f"expected 1 to {_MAX_DIGITS} digits, more than 0, and one of H, M, S, m, u and n"
        raise _wrong(GRPC_TIMEOUT, expected, text)
    return int(match[1]) * _SECONDS[match[2]]


def envoy_timeout(text: str) -> float:
    """Return the seconds that an x-envoy-expected-rq-timeout-ms says.

    Raises:
        InvalidRequest: it is none.
    """
    milliseconds = whole_number(text, _MAX_INT64)
    if not milliseconds:
        raise _wrong(ENVOY_TIMEOUT, f"expected milliseconds from 1 to {_MAX_INT64}", text)
    return milliseconds / 1e3


def _wrong(header: str, expected: str, text: str) -> InvalidRequest:
    return invalid(header, f"{expected}, got {text[:64]!r}")


async def in_time(caller: Caller, work: Awaitable[T]) -> T:
    """Return what `work` does; it is cancelled when the caller waits no longer.

    Raises:
        DeadlineExceeded: the caller waits no longer.
        Exception: what `work` raises.
    """
    if caller.deadline is None:
        return await work
    try:
        async with asyncio.timeout(caller.deadline - time.monotonic() + _CORE_SECONDS):
            return await work
    except TimeoutError:
        raise DeadlineExceeded("the deadline passed before the answer was there") from None
