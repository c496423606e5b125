"""Large JSON is worked on in a process of its own, which may end at any time."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import psutil
import pytest
import pytest_asyncio

from maas_server.errors import InvalidRequest, Unavailable
from maas_server.http import large_json
from maas_server.http.infer_request import read_request
from maas_server.http.large_json import LargeJson
from maas_server.http.messages import Blob, RawJson
from tests.integration.serving import eventually
from tests.turns import turn

LARGE = 2 << 20

KILLED = """
import asyncio, os, signal
from maas_server.http.large_json import LargeJson

async def main():
    print(await LargeJson(0).read(2 << 20, os.getpid), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest_asyncio.fixture
async def large() -> AsyncIterator[LargeJson]:
    opened = LargeJson(1 << 20)
    yield opened
    await opened.close()


def ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def same(value: Blob) -> Blob:
    return value


async def test_small_work_is_done_here_and_large_work_in_one_process(large: LargeJson) -> None:
    assert await large.read(10, os.getpid) == os.getpid()
    assert await large.write(10, os.getpid) == os.getpid()
    other = await large.read(LARGE, os.getpid)
    assert other != os.getpid()
    assert await large.write(LARGE, os.getpid) == other


async def test_bytes_arrive_as_they_were(large: LargeJson) -> None:
    data = bytes(range(256)) * 40_000
    returned = await large.read(LARGE, same, RawJson(memoryview(data)))
    assert (type(returned), returned.data) == (RawJson, data)
    assert (await large.read(LARGE, same, Blob(b""))).data == b""


async def test_what_work_raises_arrives_with_its_violations(large: LargeJson) -> None:
    text = Blob(b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": "a"}]}')
    with pytest.raises(InvalidRequest) as caught:
        await large.read(LARGE, read_request, "m", "", text, Blob(b""))
    assert [each.field for each in caught.value.violations] == ["inputs[0].data"]


async def test_an_error_of_ours_arrives_with_where_it_came_from(large: LargeJson) -> None:
    with pytest.raises(TypeError) as caught:
        await large.read(LARGE, read_request)
    assert "json_process.py" in caught.value.__notes__[0]


async def test_a_process_that_dies_fails_its_request_and_is_followed_by_another(large: LargeJson) -> None:
    first = await large.read(LARGE, os.getpid)
    with pytest.raises(Unavailable) as caught:
        await large.read(LARGE, os._exit, 1)
    assert caught.value.retry_after
    second = await large.read(LARGE, os.getpid)
    assert second != first
    os.kill(second, signal.SIGKILL)
    eventually(lambda: ended(second), "the process ended")
    assert await large.read(LARGE, os.getpid) not in (first, second)


async def test_a_process_that_hangs_is_ended(large: LargeJson, monkeypatch: pytest.MonkeyPatch) -> None:
    await large.read(LARGE, os.getpid)
    monkeypatch.setattr(large_json, "_JOB_SECONDS", 0.1)
    with pytest.raises(Unavailable):
        await large.read(LARGE, signal.pause)


async def test_a_process_that_does_not_start_fails_the_request(
    large: LargeJson, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nonexistent")
        with pytest.raises(Unavailable, match="does not start"):
            await large.read(LARGE, os.getpid)
    assert await large.read(LARGE, os.getpid) != os.getpid()


async def test_only_so_many_bodies_wait(large: LargeJson) -> None:
    pid = await large.read(LARGE, os.getpid)
    stuck = asyncio.create_task(large.read(LARGE, signal.pause))
    waiting = [asyncio.create_task(large.read(LARGE, os.getpid)) for _ in range(large_json._READS_AT_ONCE - 1)]
    await turn()
    with pytest.raises(Unavailable, match="wait already") as caught:
        await large.read(LARGE, os.getpid)
    assert caught.value.retry_after
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(Unavailable):
        await stuck
    assert len(set(await asyncio.gather(*waiting))) == 1


async def test_a_caller_who_left_gives_its_turn_up(large: LargeJson) -> None:
    pid = await large.read(LARGE, os.getpid)
    stuck = asyncio.create_task(large.read(LARGE, signal.pause))
    left = asyncio.create_task(large.read(LARGE, signal.pause))
    await turn()
    left.cancel()
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(Unavailable):
        await stuck
    assert await large.read(LARGE, os.getpid) != pid


async def test_signals_for_the_server_do_not_end_it(large: LargeJson) -> None:
    pid = await large.read(LARGE, os.getpid)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    assert await large.read(LARGE, os.getpid) == pid


async def test_it_ends_when_there_is_nothing_to_do(large: LargeJson, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_json, "_IDLE_SECONDS", 0)
    pid = await large.read(LARGE, os.getpid)
    await asyncio.to_thread(eventually, lambda: ended(pid), "the process ended")
    assert await large.read(LARGE, os.getpid) != pid


async def test_it_is_renewed_after_many_bytes(large: LargeJson, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_json, "_BYTES_PER_PROCESS", LARGE)
    pids = [await large.read(LARGE, os.getpid) for _ in range(3)]
    assert pids[0] == pids[1] != pids[2]
    assert ended(pids[0])


async def test_it_ends_with_the_server() -> None:
    large = LargeJson(1 << 20)
    pid = await large.read(LARGE, os.getpid)
    await large.close()
    assert ended(pid)


async def test_it_ends_with_a_server_that_waits_no_longer() -> None:
    large = LargeJson(1 << 20)
    pid = await large.read(LARGE, os.getpid)
    stuck = [asyncio.create_task(large.read(LARGE, signal.pause)) for _ in range(3)]
    await turn()
    await large.close()
    outcomes = await asyncio.gather(*stuck, return_exceptions=True)
    assert {type(each) for each in outcomes} <= {Unavailable, asyncio.CancelledError}
    assert ended(pid)


def test_it_ends_with_a_server_that_is_killed() -> None:
    ran = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    eventually(lambda: ended(int(ran.stdout)), "the process ended")
