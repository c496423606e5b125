"""ModelStreamInfer without a network and a core: order, what holds a caller back, and who is told of its going."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from maas_server._core import CoreError
from maas_server._stubs.inference import grpc_service_pb2 as pb
from maas_server.rpc.inference_stream import MAX_PENDING, MAX_PENDING_BYTES, MAX_UNSENT_BYTES, InferStream
from tests.turns import turn, until_still

REFUSAL = CoreError(8, "QUEUE_FULL", "the queue is full", (), 0, b"")


class HandFront:
    """Takes every request and leaves the answer to the test, unless it is told one, or to refuse."""

    def __init__(self) -> None:
        self.answers: list[asyncio.Future[bytes]] = []
        self.cancelled: list[int] = []
        self.error: Exception | None = None
        self.at_once: bytes | None = None
        self.tenants: set[str] = set()

    def submit(
        self, protocol: object, raw: bytes, seconds: float | None, tenant: str
    ) -> tuple[asyncio.Future[bytes], int]:
        self.tenants.add(tenant)
        if self.error is not None:
            raise self.error
        self.answers.append(asyncio.get_running_loop().create_future())
        if self.at_once is not None:
            self.answers[-1].set_result(self.at_once)
        return self.answers[-1], len(self.answers)

    def cancel(self, ticket: int) -> None:
        self.cancelled.append(ticket)


class Caller:
    """The context of a caller who sends `messages` and reads when `reads` is released."""

    def __init__(self, messages: int, size: int = 1, *, reads: int = 1 << 20, status: bool = False) -> None:
        self.left = messages
        self.size = size
        self.reads = asyncio.Semaphore(reads)
        self.written: list[bytes] = []
        self.aborted: tuple[Any, ...] = ()
        self.status = status

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("triton_grpc_error", "true"),) if self.status else ()

    def time_remaining(self) -> None:
        return None

    async def read(self) -> Any:
        await turn()
        self.left -= 1
        return bytes(self.size) if self.left >= 0 else grpc.aio.EOF

    async def write(self, message: bytes) -> None:
        await self.reads.acquire()
        self.written.append(message)

    async def abort(self, *error: Any) -> None:
        self.aborted = error
        raise grpc.aio.AbortError


def start(front: HandFront, caller: Caller, stopping: asyncio.Event | None = None) -> asyncio.Task[None]:
    engine: Any = front
    context: Any = caller
    return asyncio.create_task(InferStream(engine, context).serve(stopping or asyncio.Event()))


async def test_an_answer_waits_for_those_before_it() -> None:
    front, caller = HandFront(), Caller(3)
    serving = start(front, caller)
    assert await until_still(lambda: len(front.answers)) == 3
    front.answers[2].set_result(b"third")
    front.answers[1].set_result(b"second")
    assert await until_still(lambda: len(caller.written)) == 0
    front.answers[0].set_result(b"first")
    await asyncio.wait_for(serving, 30)
    assert caller.written == [b"first", b"second", b"third"]


@pytest.mark.parametrize(("size", "most"), [(1, MAX_PENDING), (1 << 20, MAX_PENDING_BYTES >> 20)])
async def test_a_caller_is_read_no_further_while_much_is_under_way(size: int, most: int) -> None:
    front, caller = HandFront(), Caller(2 * most, size)
    serving = start(front, caller)
    assert await until_still(lambda: len(front.answers)) == most
    front.answers[0].set_result(b"")
    assert await until_still(lambda: len(front.answers)) == most + 1
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving


async def test_a_caller_who_reads_no_answers_is_read_no_further_until_it_does() -> None:
    front, caller = HandFront(), Caller(1000, reads=0)
    front.at_once = bytes(1 << 20)
    serving = start(front, caller)
    # An answer is seen one turn of the loop after it is there; by then one more was asked for.
    most = (MAX_UNSENT_BYTES >> 20) + 1
    assert await until_still(lambda: len(front.answers)) == most
    caller.reads.release()
    caller.reads.release()
    assert await until_still(lambda: len(front.answers)) == most + 2
    for _ in range(1000):
        caller.reads.release()
    await asyncio.wait_for(serving, 30)
    assert len(caller.written) == 1000


async def test_refusals_count_as_answers_that_are_not_read() -> None:
    front, caller = HandFront(), Caller(2 * MAX_PENDING, reads=0)
    front.error = REFUSAL
    serving = start(front, caller)
    left = await until_still(lambda: caller.left)
    assert left == 2 * MAX_PENDING - MAX_PENDING
    for _ in range(2 * MAX_PENDING):
        caller.reads.release()
    await asyncio.wait_for(serving, 30)
    given = pb.ModelStreamInferResponse.FromString(caller.written[0])
    assert given.error_message == "the queue is full"
    assert len(caller.written) == 2 * MAX_PENDING


async def test_what_is_under_way_is_dropped_when_the_caller_goes() -> None:
    front, caller = HandFront(), Caller(5)
    serving = start(front, caller)
    assert await until_still(lambda: len(front.answers)) == 5
    front.answers[0].set_result(b"first")
    front.answers[1].set_exception(REFUSAL)
    await until_still(lambda: len(caller.written))
    caller.reads = asyncio.Semaphore(0)
    front.answers[3].set_exception(REFUSAL)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert front.cancelled == [3, 5]
    assert [each.cancelled() for each in front.answers] == [False, False, True, False, True]


async def test_a_stream_ends_when_a_request_cannot_be_submitted_at_all() -> None:
    front, caller = HandFront(), Caller(2)
    front.error = MemoryError()
    with pytest.raises(MemoryError):
        await asyncio.wait_for(start(front, caller), 30)


async def test_nothing_of_a_stream_is_left_behind() -> None:
    before = asyncio.all_tasks()
    front, caller = HandFront(), Caller(1)
    front.at_once = b"answer"
    await asyncio.wait_for(start(front, caller), 30)
    await until_still(lambda: len(asyncio.all_tasks()))
    assert asyncio.all_tasks() == before


async def test_a_caller_who_wants_a_status_gets_the_first_failure_in_its_turn() -> None:
    front, caller = HandFront(), Caller(3, status=True)
    serving = start(front, caller)
    assert await until_still(lambda: len(front.answers)) == 3
    front.answers[1].set_exception(REFUSAL)
    assert await until_still(lambda: len(caller.aborted)) == 0
    front.answers[0].set_result(b"first")
    with pytest.raises(grpc.aio.AbortError):
        await serving
    assert caller.written == [b"first"]
    code, message, _ = caller.aborted
    assert (code, message) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "the queue is full")
    assert front.cancelled == [3]


async def test_a_stopping_server_reads_no_further_and_answers_what_it_took() -> None:
    front, caller, stopping = HandFront(), Caller(1 << 30), asyncio.Event()
    serving = start(front, caller, stopping)
    assert await until_still(lambda: len(front.answers)) == MAX_PENDING
    stopping.set()
    await until_still(lambda: len(front.answers))
    for each in front.answers:
        each.set_result(b"answer")
    with pytest.raises(grpc.aio.AbortError):
        await serving
    assert len(front.answers) == MAX_PENDING
    assert caller.written == [b"answer"] * MAX_PENDING
    assert caller.aborted[0] == grpc.StatusCode.UNAVAILABLE


async def test_a_caller_who_is_gone_when_it_is_written_to_cancels_the_stream() -> None:
    class Gone(Caller):
        async def write(self, message: bytes) -> None:
            raise grpc.aio.InternalError("the call is over")

    front, caller = HandFront(), Gone(2)
    serving = start(front, caller)
    assert await until_still(lambda: len(front.answers)) == 2
    front.answers[0].set_result(b"first")
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert front.cancelled == [2]
