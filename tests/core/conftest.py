"""A version of the compiled core driven by hand: submit, run a batch, drain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from maas_server import _core
from maas_server._stubs.maas.v1 import predict_pb2, tensor_pb2
from maas_server.models.runner import Array


def tensor(name: str, array: Array) -> tensor_pb2.Tensor:
    """Return an FP32 tensor, or one of BYTES for an array of objects."""
    if array.dtype == np.object_:
        data = b"".join(len(each).to_bytes(4, "little") + each for each in array.ravel())
        return tensor_pb2.Tensor(name=name, datatype=tensor_pb2.BYTES, shape=array.shape, data=data)
    return tensor_pb2.Tensor(
        name=name, datatype=tensor_pb2.FP32, shape=array.shape, data=array.astype(np.float32).tobytes()
    )


def message(array: Array, model: str = "m", id: str = "") -> predict_pb2.PredictRequest:  # noqa: A002 - the field's name
    return predict_pb2.PredictRequest(id=id, model=model, inputs=[tensor("x", array)])


def raw_request(*shape: int, value: float = 1.0, model: str = "m", id: str = "") -> bytes:  # noqa: A002 - the field's name
    """Return a serialized request for `x` of `shape`, full of `value`."""
    return message(np.full(shape, value), model, id).SerializeToString()


def floats(answer: predict_pb2.PredictResponse, index: int = 0) -> list[float]:
    values: list[float] = np.frombuffer(answer.outputs[index].data, np.float32).tolist()
    return values


class Served:
    """One version of model "m", routed to, and an instance that this thread drives."""

    def __init__(self, version: _core.Version) -> None:
        self.engine = _core.Engine()
        self.core = _core.Front(self.engine)
        self.version = version
        self.instance = _core.Instance(version)
        self.engine.set_route("m", {1: version}, {}, 1, set())

    def submit(self, raw: bytes, future: object = None) -> int:
        return self.core.submit(_core.Protocol.PREDICT, raw, _core.NEVER, future)

    def run_all(self, run: Callable[[_core.Instance], Sequence[Array] | None]) -> int:
        """Close the version, run what was accepted, and return the number of batches."""
        self.version.close()
        batches = 0
        key = self.instance.next()
        while key is not None:
            batches += 1
            try:
                outputs = run(self.instance)
                key = self.instance.finish(outputs)
            except (RuntimeError, TypeError, ValueError) as error:
                key = self.instance.fail(13, "RUN_FAILED", str(error))
        return batches

    def drain(self) -> dict[Any, Any]:
        """Return what completed: future to result."""
        unary, streams, _ = self.core.drain()
        assert not streams
        return dict(zip(unary[::2], unary[1::2], strict=True))


def double(instance: _core.Instance) -> None:
    """Write y = 2x where the plan says."""
    (x, *_), (y, *_) = instance.arrays()
    assert y is not None
    np.multiply(x, 2, out=y)


def make_version(**changes: Any) -> _core.Version:
    """Return a version with `x` FP32 [-1, -1] and `y` of the same shape."""
    settings: dict[str, Any] = {
        "model": "m",
        "version": 1,
        "inputs": [_core.InputSpec(name="x", datatype="FP32", shape=[-1, -1], batch_axis=0)],
        "outputs": [
            _core.OutputSpec(name="y", datatype="FP32", shape=[-1, -1], sources=[(0, 0), (0, 1)], batch_axis=0)
        ],
        "pad_groups": [],
        "batching": True,
        "max_batch_size": 4,
        "max_request_rows": 64,
        "max_queue_rows": 1000,
        "max_queue_delay_us": 0,
        "device": _core.Device(64),
        "cpus": 64,
    }
    return _core.Version(**(settings | changes))


@pytest.fixture
def served() -> Served:
    return Served(make_version())
