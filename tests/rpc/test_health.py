"""What health says of models, and of everything else whatever models are called."""

from __future__ import annotations

import asyncio
from typing import Any

from grpc_health.v1 import health_pb2

from maas_server.rpc.health import Health

SERVICE = "maas.v1.PredictService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def status(health: Health, name: str) -> int:
    context: Any = None
    response = await health.servicer.Check(health_pb2.HealthCheckRequest(service=name), context)
    return int(response.status)


async def test_models_that_are_called_like_the_fixed_names_change_nothing_of_them() -> None:
    health = Health((SERVICE,), asyncio.Event())
    await health.start()
    await health.set_ready(True)
    await health.set_models({"liveness": False, "startup": False, SERVICE: False, "digits": False, "liveness/1": True})
    for name in ("", "liveness", "startup", SERVICE, "liveness/1"):
        assert await status(health, name) == SERVING, name
    assert await status(health, "digits") == NOT_SERVING

    await health.drain()
    await health.set_models({})
    assert await status(health, "liveness") == SERVING
    assert await status(health, "") == NOT_SERVING


async def test_a_draining_server_is_not_ready_again_and_alive_all_the_time() -> None:
    health = Health((SERVICE,), asyncio.Event())
    await health.start()
    await health.drain()
    await health.set_ready(True)
    await health.set_models({"digits": True})
    for name in ("", "startup", SERVICE, "digits"):
        assert await status(health, name) == NOT_SERVING, name
    assert await status(health, "liveness") == SERVING
