"""The routes of shared memory below /v2, as Triton has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from maas_server._stubs.inference import grpc_service_pb2 as pb
from maas_server.http.calls import Calls
from maas_server.http.messages import Request, Response, json_response, wrong
from maas_server.http.protobuf_json import to_json
from maas_server.http.routing import Operation, Route

_SERVICE = "/inference.GRPCInferenceService/"
_TAG = "Shared memory"


class SharedMemoryRoutes:
    """Handlers over the RPCs of one kind of shared memory."""

    def __init__(self, calls: Calls, kind: Literal["System", "Cuda"]) -> None:
        """Nothing is called yet."""
        self._calls = calls
        self._kind = kind

    def routes(self) -> list[Route]:
        """Return the routes."""
        every = f"/v2/{self._kind.lower()}sharedmemory"
        one = f"{every}/region/{{region}}"
        status = Operation(self._status, "The regions that are registered", response="SharedMemoryStatus")
        forget = Operation(self._unregister, "Forget a region, or all")
        register = Operation(self._register, "Register a region", "SharedMemoryRegion")
        return [
            Route(f"{every}/status", {"GET": status}, _TAG),
            Route(f"{every}/unregister", {"POST": forget}, _TAG),
            Route(f"{one}/status", {"GET": status}, _TAG),
            Route(f"{one}/unregister", {"POST": forget}, _TAG),
            Route(f"{one}/register", {"POST": register}, _TAG),
        ]

    def _message(self, verb: str, request: Request) -> Any:
        message: Any = getattr(pb, f"{self._kind}SharedMemory{verb}Request")
        return message(name=request.params.get("region", ""))

    async def _call(self, verb: str, message: Any) -> Any:
        method = f"{self._kind}SharedMemory{verb}"
        return await self._calls.unary(_SERVICE + method, message, getattr(pb, method + "Response"))

    async def _status(self, request: Request) -> Response:
        answer = await self._call("Status", self._message("Status", request))
        return json_response(list(to_json(answer)["regions"].values()))

    async def _unregister(self, request: Request) -> Response:
        await self._call("Unregister", self._message("Unregister", request))
        return Response()

    async def _register(self, request: Request) -> Response:
        given = await request.json()
        message = self._message("Register", request)
        message.byte_size = _size(given, "byte_size")
        if self._kind == "System":
            key = given.get("key")
            if not isinstance(key, str):
                raise wrong("key", "a string", key)
            message.key = key
            message.offset = _size(given, "offset", 0)
        await self._call("Register", message)
        return Response()


def _size(given: Mapping[str, Any], name: str, default: int | None = None) -> int:
    value = given.get(name, default)
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise wrong(name, "a number of bytes", value)
    return value
