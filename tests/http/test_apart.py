"""Large bodies are worked on elsewhere, one after the other."""

from __future__ import annotations

import asyncio
import threading

import pytest

from maas_server.http.apart import apart

LARGE = 1 << 20


async def test_small_work_is_done_here() -> None:
    assert await apart(10, threading.get_ident) == threading.get_ident()


async def test_large_work_is_done_elsewhere_and_the_loop_goes_on() -> None:
    loop = asyncio.get_running_loop()
    released = threading.Event()

    def work() -> int:
        # Only the loop, which must be free for that, ends the wait.
        loop.call_soon_threadsafe(released.set)
        assert released.wait(20)
        return threading.get_ident()

    assert await apart(LARGE, work) != threading.get_ident()


async def test_large_work_is_done_one_at_a_time() -> None:
    threads = await asyncio.gather(*(apart(LARGE, threading.get_ident) for _ in range(10)))
    assert len(set(threads)) == 1


async def test_what_work_raises_arrives() -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await apart(LARGE, fail)
