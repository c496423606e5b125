"""grpc.health.v1, told what serves.

Names: "" (ready to take requests), "liveness", "startup", each of our services, `<model>` and `<model>/<version>`.
One bad model among many does not make "" NOT_SERVING, and a model that is called like one of the fixed names has none
of its own: a broken model `liveness` must not get the process killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from grpc_health.v1 import health, health_pb2

from maas_server.rpc.errors import ServicerContext

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

READY = ""
LIVENESS = "liveness"
STARTUP = "startup"


class _Servicer(health.aio.HealthServicer):
    """Ends its Watch streams when the server goes, which would otherwise hold it up for the whole grace."""

    def __init__(self, stopping: asyncio.Event) -> None:
        super().__init__()
        self._stopping = stopping

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: ServicerContext) -> None:
        watch = asyncio.ensure_future(super().Watch(request, context))
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({watch, stop}, return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                watch.result()
        finally:
            watch.cancel()
            stop.cancel()


class Health:
    """Keeps the health servicer true to what the registry and the lifecycle say. For the loop's thread."""

    def __init__(self, services: tuple[str, ...], stopping: asyncio.Event) -> None:
        """`services`: full names of gRPC services that are as ready as the server is; `stopping` ends Watch streams."""
        self.servicer = _Servicer(stopping)
        self._services = services
        self._models: dict[str, bool] = {}
        self._draining = False
        self._started = False
        self._ready = False

    @property
    def ready(self) -> bool:
        """Whether "" is SERVING."""
        return self._ready

    def serving(self) -> dict[str, bool]:
        """Return whether each name is SERVING, as `Check` tells; others are not known."""
        return {
            LIVENESS: True,
            STARTUP: self._started,
            **dict.fromkeys((READY, *self._services), self._ready),
            **{name: serves and not self._draining for name, serves in self._models.items()},
        }

    async def start(self) -> None:
        """Alive, not started, not ready."""
        await self.servicer.set(LIVENESS, _SERVING)
        await self.servicer.set(STARTUP, _NOT_SERVING)
        await self._set_ready(False)

    async def set_ready(self, ready: bool) -> None:
        """Say whether "" and the services take requests; the first True ends the start-up."""
        if ready and not self._draining:
            self._started = True
            await self.servicer.set(STARTUP, _SERVING)
        await self._set_ready(ready and not self._draining)

    async def set_models(self, serving: Mapping[str, bool]) -> None:
        """Replace what is said of `<model>` and `<model>/<version>`: whether each serves."""
        fixed = {READY, LIVENESS, STARTUP, *self._services}
        serving = {name: serves for name, serves in serving.items() if name not in fixed}
        for name in self._models.keys() - serving.keys():
            await self.servicer.set(name, _UNKNOWN)
        for name, serves in serving.items():
            if self._models.get(name) != serves:
                await self.servicer.set(name, _SERVING if serves and not self._draining else _NOT_SERVING)
        self._models = serving

    async def drain(self) -> None:
        """Everything but liveness is NOT_SERVING from now on."""
        self._draining = True
        await self._set_ready(False)
        for name in self._models:
            await self.servicer.set(name, _NOT_SERVING)

    async def _set_ready(self, ready: bool) -> None:
        self._ready = ready
        for name in (READY, *self._services):
            await self.servicer.set(name, _SERVING if ready else _NOT_SERVING)
