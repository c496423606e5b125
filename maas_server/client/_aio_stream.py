"""Predictions over one stream, for asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Unpack

import grpc

from maas_server.client._calls import Calls, PredictOptions
from maas_server.client._codec import Prediction
from maas_server.client._status import from_rpc_error
from maas_server.client._stream_state import StreamState
from maas_server.client._tensors import TensorLike
from maas_server.errors import Cancelled, MaasError, Unavailable

_FAREWELL_SECONDS = 1.0


class AsyncPredictStream:
    """Predictions over one stream, which joins concurrent calls into shared messages.

    Any task of the loop may call `predict`. A message carries what was queued while the one before it was being
    written, so a lone call waits for nobody. A call that fails fails alone. When the stream breaks because the server
    went away, the calls under way are sent once more on a new one.

        async with client.stream() as stream:
            answers = await asyncio.gather(*(stream.predict("digits", {"image": image}) for image in images))
    """

    def __init__(self, calls: Calls, open_stream: Callable[[], Any]) -> None:
        self._calls = calls
        self._open = open_stream
        self._state: StreamState[asyncio.Future[Prediction]] = StreamState()
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._call: Any = None
        self._open_for_calls = False
        self._finished = False
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at: float | None = None

    async def predict(
        self, model: str, inputs: Mapping[str, TensorLike], **options: Unpack[PredictOptions]
    ) -> Prediction:
        """Predict, as `AsyncClient.predict` does.

        Cancelling withdraws the request if it was not sent yet, and drops its answer otherwise.

        Raises:
            MaasError: the class says what went wrong.
        """
        call = self._calls.stream_predict(model, inputs, options)
        if not self._open_for_calls:
            raise Cancelled("the stream is not open")
        future: asyncio.Future[Prediction] = asyncio.get_running_loop().create_future()
        number = self._state.add(call, future, time.monotonic())
        self._idle.clear()
        self._work.set()
        if call.timeout is not None and (self._wakes_at is None or time.monotonic() + call.timeout < self._wakes_at):
            self._set_timer()
        try:
            return await future
        finally:
            self._state.drop(number)
            self._note_settled()

    async def close(self) -> None:
        """Take no more calls and wait for the answers to those under way."""
        self._open_for_calls = False
        if self._state.pending:
            await self._idle.wait()
        await self._stop()

    async def cancel(self) -> None:
        """Take no more calls and fail those under way with `Cancelled`."""
        self._open_for_calls = False
        _settle(self._state.fail_all(Cancelled("the stream was cancelled")))
        if self._call is not None:
            self._call.cancel()
        await self._stop()

    async def __aenter__(self) -> AsyncPredictStream:
        self._open_for_calls = True
        self._task = asyncio.create_task(self._serve(), name="maas-stream")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self.close()
        else:
            await self.cancel()

    async def _stop(self) -> None:
        self._finished = True
        self._work.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_FAREWELL_SECONDS)
            if self._call is not None:
                self._call.cancel()
            await self._task

    async def _serve(self) -> None:
        """Open a stream when there is work and read it to its end, until finished."""
        while await self._has_work():
            try:
                self._call = self._open()
            except (Cancelled, grpc.aio.UsageError) as failure:  # How a closed client and channel refuse calls.
                _settle(self._state.fail_all(Cancelled(str(failure))))
                self._note_settled()
                continue
            writer = asyncio.create_task(self._write(self._call), name="maas-stream-writer")
            error = await self._read(self._call)
            writer.cancel()
            await asyncio.wait([writer])
            self._call = None
            _settle(self._state.broke(error))
            self._note_settled()

    async def _read(self, call: Any) -> MaasError:
        """Settle what comes, and return the error that the end of the stream means for those still waiting."""
        try:
            while (data := await call.read()) is not grpc.aio.EOF:
                _settle(self._state.answer(data, time.monotonic()))
                self._note_settled()
                if self._state.paused:
                    self._set_timer()
        except grpc.RpcError as failure:
            return from_rpc_error(failure)
        except asyncio.CancelledError:
            # `cancel` cancelled the call; a cancelled task says so by `cancelling`.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                call.cancel()
                raise
            return Cancelled("the stream was cancelled")
        except MaasError as failure:
            call.cancel()
            return failure
        return Unavailable("the server ended the stream")

    async def _write(self, call: Any) -> None:
        try:
            while await self._has_work():
                if (message := self._state.take(time.monotonic())) is not None:
                    await call.write(message)
            await call.done_writing()
        except (grpc.RpcError, asyncio.InvalidStateError):
            # The call ended; the reader says why.
            return

    async def _has_work(self) -> bool:
        while not (self._state.queued or self._finished):
            self._work.clear()
            await self._work.wait()
        return self._state.queued

    def _set_timer(self) -> None:
        due = self._state.next_due()
        if due == self._wakes_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._wakes_at = due
        self._timer = None
        if due is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, due - time.monotonic()), self._advance)

    def _advance(self) -> None:
        _settle(self._state.advance(time.monotonic()))
        self._note_settled()
        if self._state.queued:
            self._work.set()
        self._wakes_at = None
        self._set_timer()

    def _note_settled(self) -> None:
        if not self._state.pending:
            self._idle.set()


def _settle(settled: Sequence[tuple[asyncio.Future[Prediction], Prediction | MaasError]]) -> None:
    for future, outcome in settled:
        if future.done():
            continue
        if isinstance(outcome, MaasError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
