"""The ASGI application: finds the route, runs it, and turns whatever goes wrong into an answer."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import structlog

from maas_server._core import CoreError
from maas_server.errors import InternalError, InvalidRequest, MaasError
from maas_server.front import core_error
from maas_server.http.body import Body, BodyLimits, Receive
from maas_server.http.caller import Callers
from maas_server.http.failures import HttpError, error_response
from maas_server.http.large_json import LargeJson
from maas_server.http.messages import Request, Response
from maas_server.http.routing import Operation, Route, Router

log = structlog.get_logger(__name__)

Send = Callable[[dict[str, Any]], Awaitable[None]]

_MAX_QUERY_FIELDS = 32
_AUTHORITY = re.compile("^https?://[^/]*", re.IGNORECASE)


class Application:
    """Serves the routes of a router. Belongs to one event loop."""

    def __init__(self, router: Router, limits: BodyLimits, callers: Callers) -> None:
        """`limits` are shared by all requests."""
        self._callers = callers
        self._large = LargeJson(limits.max_bytes)
        self._router = router
        self._limits = limits
        self.responses: Counter[tuple[str, str, int]] = Counter()
        """How many went out, by method, template of the route ("" for none) and status."""
        self.draining = False
        """Connections end with their next answer."""

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        received = time.monotonic()
        method: str = scope["method"]
        headers = _joined(scope["headers"])
        template = ""
        with Body(receive, headers, self._limits) as body:
            try:
                route, params = self._find(scope["raw_path"].decode("ascii"))
                template = route.template
                operation = _operation(route, method)
                query = _query(scope["query_string"])
                caller = partial(self._callers.read, headers, received)
                request = Request(method, params, query, headers, body.read, body.gone, self._large, caller)
                response = await operation.handler(request)
                close = False
            except asyncio.CancelledError:
                raise
            except Exception as error:
                response = _failure(error)
                close = isinstance(error, HttpError) and error.close
            self.responses[method if method in _METHODS else "other", template, response.status] += 1
            await self._send(response, body, send, close=close)

    async def close(self) -> None:
        """End what requests have started; there are none any more."""
        await self._large.close()

    def _find(self, raw_path: str) -> tuple[Route, dict[str, str]]:
        # A request may name the whole URI; the host in it is as little our business as the header.
        found = self._router.find(_AUTHORITY.sub("", raw_path))
        if found is None:
            raise HttpError(404, f"there is nothing at {raw_path[:256]}")
        return found

    async def _send(self, response: Response, body: Body, send: Send, *, close: bool) -> None:
        headers = [(b"content-type", response.content_type.encode())] if response.body else []
        headers.append((b"content-length", str(len(response.body)).encode()))
        headers += [(name.encode(), value.encode()) for name, value in response.headers]
        if close or self.draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        if close:
            await send({"type": "http.response.body", "body": response.body, "more_body": True})
            await _drop_rest(body)
            await send({"type": "http.response.body", "body": b""})
        else:
            await send({"type": "http.response.body", "body": response.body})


_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def _operation(route: Route, method: str) -> Operation:
    # Whoever may GET may also ask for the head alone; the body is left out by the server below us.
    operation = route.operations.get("GET" if method == "HEAD" else method)
    if operation is None:
        allowed = {*route.operations, *({"HEAD"} if "GET" in route.operations else ())}
        headers = (("allow", ", ".join(sorted(allowed))),)
        raise HttpError(405, f"{method[:32]} is not possible here", headers=headers)
    return operation


def _query(query: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_QUERY_FIELDS
        )
    except ValueError as error:
        raise InvalidRequest(f"the query cannot be read: {error}") from None
    return dict(pairs)


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        joined[key] = f"{joined[key]}, {text}" if key in joined else text
    return joined


def _failure(error: Exception) -> Response:
    if isinstance(error, HttpError):
        return error.response()
    if isinstance(error, CoreError):
        return error_response(core_error(error))
    if isinstance(error, MaasError):
        return error_response(error)
    if isinstance(error, UnicodeEncodeError):
        # JSON can spell half a surrogate pair; no other encoding of text can.
        return error_response(InvalidRequest("a string in the request is no Unicode text"))
    log.error("handler_failed", exc_info=error)
    return error_response(InternalError("the server failed; its log says why"))


async def _drop_rest(body: Body) -> None:
    # The caller may go away meanwhile, which is as good.
    with contextlib.suppress(HttpError):
        await body.drop()
