"""Predictions over one stream, for threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, TypeAlias, Unpack

import grpc

from maas_server.client._calls import Calls, PredictOptions
from maas_server.client._codec import Prediction
from maas_server.client._status import from_rpc_error
from maas_server.client._stream_state import StreamState
from maas_server.client._tensors import TensorLike
from maas_server.errors import Cancelled, MaasError, Unavailable

_Settled: TypeAlias = Sequence[tuple[Future[Prediction], Prediction | MaasError]]
# How long the server may take to end a stream that we ended and that owes nothing.
_FAREWELL_SECONDS = 1.0


class PredictStream:
    """Predictions over one stream, which joins concurrent calls into shared messages.

    Any thread may call `predict` and `submit`. A message carries what was queued while the one before it was being
    written, so a lone call waits for nobody. A call that fails fails alone. When the stream breaks because the server
    went away, the calls under way are sent once more on a new one.

        with client.stream() as stream:
            futures = [stream.submit("digits", {"image": image}) for image in images]
    """

    def __init__(self, calls: Calls, open_stream: Callable[[Iterator[bytes]], Any]) -> None:
        self._calls = calls
        self._open = open_stream
        self._reader = threading.Thread(target=self._serve, name="maas-stream", daemon=True)
        self._timer = threading.Thread(target=self._keep_time, name="maas-stream-timer", daemon=True)

        # All below is guarded by the lock; the conditions share it.
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._time = threading.Condition(self._lock)
        self._idle = threading.Condition(self._lock)
        self._state: StreamState[Future[Prediction]] = StreamState()
        self._call: Any = None
        self._generation = 0
        self._open_for_calls = False
        self._finished = False
        self._wakes_at: float | None = None

    def predict(self, model: str, inputs: Mapping[str, TensorLike], **options: Unpack[PredictOptions]) -> Prediction:
        """Predict, as `Client.predict` does.

        Raises:
            MaasError: the class says what went wrong.
        """
        future = self.submit(model, inputs, **options)
        try:
            return future.result()
        finally:
            future.cancel()

    def submit(
        self, model: str, inputs: Mapping[str, TensorLike], **options: Unpack[PredictOptions]
    ) -> Future[Prediction]:
        """Queue a prediction and return its future, which ends at the deadline at the latest.

        Cancelling the future withdraws the request if it was not sent yet, and drops its answer otherwise.

        Raises:
            InvalidRequest: the request cannot be put into bytes.
            Cancelled: the stream is not open.
        """
        call = self._calls.stream_predict(model, inputs, options)
        future: Future[Prediction] = Future()
        with self._lock:
            if not self._open_for_calls:
                raise Cancelled("the stream is not open")
            number = self._state.add(call, future, time.monotonic())
            self._work.notify_all()
            self._wake_timer(call.timeout)
        future.add_done_callback(lambda done: self._drop(number) if done.cancelled() else None)
        return future

    def close(self) -> None:
        """Take no more calls and wait for the answers to those under way."""
        with self._lock:
            self._open_for_calls = False
            while self._state.pending:
                self._idle.wait()
        self._stop()

    def cancel(self) -> None:
        """Take no more calls and fail those under way with `Cancelled`."""
        with self._lock:
            self._open_for_calls = False
            settled = self._state.fail_all(Cancelled("the stream was cancelled"))
            if self._call is not None:
                self._call.cancel()
        _settle(settled)
        self._stop()

    def __enter__(self) -> PredictStream:
        self._open_for_calls = True
        self._reader.start()
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.cancel()

    def _stop(self) -> None:
        with self._lock:
            self._finished = True
            self._work.notify_all()
            self._time.notify_all()
        self._reader.join(_FAREWELL_SECONDS)
        with self._lock:
            call = self._call
        if call is not None:
            call.cancel()
        self._reader.join()
        self._timer.join()

    def _serve(self) -> None:
        """Open a stream when there is work and read it to its end, until finished."""
        while self._has_work():
            if not self._begin():
                continue
            error = self._read()
            with self._lock:
                self._call = None
                self._generation += 1
                failed = self._state.broke(error)
                self._note_settled()
                self._work.notify_all()
            _settle(failed)

    def _begin(self) -> bool:
        with self._lock:
            try:
                self._call = self._open(self._messages(self._generation))
            except ValueError as failure:  # How a closed channel refuses calls.
                settled = self._state.fail_all(Cancelled(str(failure)))
                self._note_settled()
            else:
                return True
        _settle(settled)
        return False

    def _read(self) -> MaasError:
        """Settle what comes, and return the error that the end of the stream means for those still waiting."""
        try:
            for data in self._call:
                with self._lock:
                    settled = self._state.answer(data, time.monotonic())
                    self._note_settled()
                    if self._state.paused:
                        self._time.notify_all()
                _settle(settled)
        except grpc.RpcError as failure:
            return from_rpc_error(failure)
        except MaasError as failure:
            self._call.cancel()
            return failure
        return Unavailable("the server ended the stream")

    def _has_work(self) -> bool:
        with self._lock:
            while not (self._state.queued or self._finished):
                self._work.wait()
            return self._state.queued

    def _messages(self, generation: int) -> Iterator[bytes]:
        """Yield what is queued; gRPC asks for the next message when it has written the one before."""
        while True:
            with self._lock:
                message = None
                while generation == self._generation and (message := self._state.take(time.monotonic())) is None:
                    if self._finished:
                        return
                    self._work.wait()
            if message is None:
                return
            yield message

    def _keep_time(self) -> None:
        while True:
            with self._lock:
                if self._finished:
                    return
                self._wakes_at = self._state.next_due()
                now = time.monotonic()
                if self._wakes_at is None or self._wakes_at > now:
                    self._time.wait(None if self._wakes_at is None else self._wakes_at - now)
                expired = self._state.advance(time.monotonic())
                self._note_settled()
                if self._state.queued:
                    self._work.notify_all()
            _settle(expired)

    def _wake_timer(self, timeout: float | None) -> None:
        if timeout is not None and (self._wakes_at is None or time.monotonic() + timeout < self._wakes_at):
            self._time.notify_all()

    def _drop(self, number: int) -> None:
        with self._lock:
            self._state.drop(number)
            self._note_settled()

    def _note_settled(self) -> None:
        if not self._state.pending:
            self._idle.notify_all()


def _settle(settled: _Settled) -> None:
    """Complete futures; without the lock, because their callbacks are the caller's code."""
    for future, outcome in settled:
        if not future.set_running_or_notify_cancel():
            continue
        if isinstance(outcome, MaasError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
