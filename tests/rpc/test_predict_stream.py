"""PredictStream without a network: what holds back a caller who sends and does not read."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import grpc

from maas_server.rpc.predict_service import MAX_STREAM_UNSENT_BYTES, SERVICE, predict_handler
from tests.turns import turn, until_still

CHUNK = bytes(1 << 20)


class RefusingEngine:
    """Answers every message with a chunk of errors."""

    def new_group(self) -> int:
        return 1

    def submit_stream(self, *_: Any) -> tuple[int, list[bytes]]:
        return 0, [CHUNK]


class SlowReader:
    """The context of a caller who sends without end and reads when `reads` is released."""

    def __init__(self) -> None:
        self.sent = 0
        self.written: list[bytes] = []
        self.reads = asyncio.Semaphore(0)

    def time_remaining(self) -> None:
        return None

    async def read(self) -> Any:
        await turn()
        self.sent += 1
        return b"" if self.sent <= 1000 else grpc.aio.EOF

    async def write(self, message: bytes) -> None:
        await self.reads.acquire()
        self.written.append(message)


async def test_a_caller_who_reads_no_answers_is_read_no_further_until_it_does() -> None:
    engine: Any = RefusingEngine()
    context = SlowReader()
    handlers = predict_handler(engine, asyncio.Event())
    details: Any = SimpleNamespace(method=f"/{SERVICE}/PredictStream", invocation_metadata=())
    handler: Any = handlers.service(details)
    serving = asyncio.ensure_future(handler.stream_stream(None, context))

    most = MAX_STREAM_UNSENT_BYTES // len(CHUNK)
    assert await until_still(lambda: context.sent) == most
    context.reads.release()
    assert await until_still(lambda: context.sent) == most + 1
    for _ in range(1000):
        context.reads.release()
    await asyncio.wait_for(serving, 30)
    assert len(context.written) == 1000
