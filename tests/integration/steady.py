"""Load that goes on while something happens to the server, and remembers every answer and every failure."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import grpc
import numpy as np

from maas_server._stubs.maas.v1 import predict_pb2, tensor_pb2

THREADS = 4
TIMEOUT = 30.0


class SteadyLoad:
    """Threads that ask `model` for the factor that it multiplies by, until the block ends.

    `resend`: gRPC sends a call that never left it over another connection, as it does unless told otherwise. Without
    it, a call that was about to leave when the server sent GOAWAY fails, whatever the server does.
    """

    def __init__(self, target: str, model: str, width: int = 4, *, resend: bool = False) -> None:
        row = np.ones((1, width), np.float32)
        tensor = tensor_pb2.Tensor(name="x", datatype=tensor_pb2.FP32, shape=row.shape, data=row.tobytes())
        self._request = predict_pb2.PredictRequest(model=model, inputs=[tensor]).SerializeToString()
        self._target = target
        # A pool of its own per thread: otherwise equal channels share one connection.
        self._options = [("grpc.enable_retries", int(resend)), ("grpc.use_local_subchannel_pool", 1)]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(THREADS)]
        self._lock = threading.Lock()
        self._versions: list[int] = []
        self._factors: set[tuple[int, float]] = set()
        self._failures: list[str] = []

    @property
    def versions(self) -> list[int]:
        """The versions that answered so far, in order."""
        with self._lock:
            return list(self._versions)

    @property
    def factors(self) -> set[tuple[int, float]]:
        """What each version answered."""
        with self._lock:
            return set(self._factors)

    @property
    def failures(self) -> list[str]:
        with self._lock:
            return list(self._failures)

    def answered_by(self, version: int) -> bool:
        """Whether the latest answers all come from this version."""
        return self.versions[-THREADS:] == [version] * THREADS

    def stop(self) -> None:
        """Send no more, and wait for what was sent."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _ask(self) -> None:
        with grpc.insecure_channel(self._target, self._options) as channel:
            predict: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/maas.v1.PredictService/Predict")
            while not self._stop.is_set():
                try:
                    answer = predict_pb2.PredictResponse.FromString(predict(self._request, timeout=TIMEOUT))
                except grpc.RpcError as error:
                    with self._lock:
                        self._failures.append(str(error))
                else:
                    factor = float(np.frombuffer(answer.outputs[0].data, np.float32)[0])
                    with self._lock:
                        self._versions.append(answer.version)
                        self._factors.add((answer.version, factor))
