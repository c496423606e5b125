"""Whose turn it is to load, and what happens when a load hangs."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from maas_server.models.loads import Loads
from tests.models.fakes import FakeRunner
from tests.models.stage import AVAILABLE, LOADING, START, Stage


async def test_one_at_a_time_and_the_others_hear_of_their_turn() -> None:
    turns: list[str] = []
    loads = Loads(lambda: turns.append("turn"))
    first = loads.begin("a")
    assert first is not None
    assert loads.begin("b") is None
    loads.end(first)
    assert turns == ["turn"]
    second = loads.begin("b")
    assert second is not None
    # The first is over; that it says so again takes nothing from the second.
    loads.end(first)
    assert loads.begin("c") is None
    loads.end(second)
    assert turns == ["turn", "turn"]


async def test_a_load_that_hangs_keeps_nobody_for_ever() -> None:
    turn = asyncio.Event()
    loads = Loads(turn.set, patience=0.01)
    with capture_logs() as logs:
        hung = loads.begin("m:1")
        assert hung is not None
        async with asyncio.timeout(10):
            await turn.wait()
    assert [(entry["event"], entry["load"]) for entry in logs] == [("load_slow", "m:1")]
    turn.clear()
    following = loads.begin("n:1")
    assert following is not None
    loads.end(hung)
    assert not turn.is_set()
    assert loads.begin("o:1") is None
    loads.end(following)
    assert turn.is_set()


@pytest.mark.parametrize("quiet", [False, True])
async def test_what_a_load_returns_or_raises_comes_back(quiet: bool) -> None:
    loads = Loads(lambda: None)
    assert await loads.run(lambda: threading.current_thread().name, quiet=quiet) == "maas-load"

    def fail() -> None:
        raise SystemError("no such luck")

    with pytest.raises(SystemError, match="no such luck"):
        await loads.run(fail, quiet=quiet)


@pytest.mark.skipif(sys.platform != "linux", reason="affinity is Linux's")
async def test_on_one_processor_something_wakes_beside_a_quiet_load() -> None:
    def wakers() -> int:
        count = 0
        for task in Path("/proc/self/task").iterdir():
            with suppress(OSError):  # It has ended meanwhile.
                count += (task / "comm").read_text().strip() == "maas-waker"
        return count

    def become(wanted: int) -> bool:
        """Wait until there are so many: a thread has its name, and is gone from the list, a little late."""
        deadline = time.monotonic() + 10
        while (there := wakers()) != wanted and time.monotonic() < deadline:
            threading.Event().wait(0.001)
        return there == wanted

    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        loads = Loads(lambda: None)
        assert await loads.run(wakers, quiet=False) == 0
        assert await loads.run(lambda: become(1), quiet=True)
        assert become(0)
    finally:
        os.sched_setaffinity(0, before)


async def test_models_wait_at_start_and_load_in_order(stage: Stage) -> None:
    stage.write("a/1", "held")
    await stage.registry.start()
    for name in ("c/1", "b/1"):
        stage.write(name, "held")
        await stage.registry.scan()
    states = [stage.states(model)[1] for model in ("a", "b", "c")]
    assert states == [LOADING, START, START]
    FakeRunner.release.set()
    await stage.until(lambda: not stage.coming())
    assert [stage.states(model)[1] for model in ("a", "b", "c")] == [AVAILABLE] * 3
    assert list(stage.host.deployments) == [("a", 1), ("c", 1), ("b", 1)]
