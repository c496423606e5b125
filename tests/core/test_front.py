"""The asyncio face of the core."""

from __future__ import annotations

import asyncio

import pytest

from maas_server import _core
from maas_server.engine import Engine
from maas_server.front import Front, Protocol
from tests.core.conftest import make_version, raw_request
from tests.turns import turn


async def test_a_caller_who_goes_takes_the_request_out_of_the_queue() -> None:
    engine, version = Engine(cpus=64), make_version()
    engine.core.set_route("m", versions={1: version}, labels={}, default=1, known=set())
    front = Front(engine)
    front.attach(asyncio.get_running_loop())
    call = asyncio.create_task(front.infer(Protocol.PREDICT, raw_request(1, 1), None))
    await turn()
    assert version.counters()["pending"] == 1
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    counters = version.counters()
    assert (counters["cancelled"], counters["pending"]) == (1, 0)
    await turn()
    front.detach()


async def test_a_caller_who_waits_no_longer_than_no_time_is_refused() -> None:
    engine, version = Engine(cpus=64), make_version()
    engine.core.set_route("m", versions={1: version}, labels={}, default=1, known=set())
    front = Front(engine)
    front.attach(asyncio.get_running_loop())
    with pytest.raises(_core.CoreError) as caught:
        await front.infer(Protocol.PREDICT, raw_request(1, 1), 0.0)
    assert caught.value.args[1] == "EXPIRED_ON_ARRIVAL"
    assert version.counters()["accepted"] == 0
    front.detach()
