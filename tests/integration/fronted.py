"""A server whose port is looked at from outside: what it serves, and what raw peers ask of it."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import numpy.typing as npt
from google.rpc import status_pb2

from maas_server._stubs.maas.v1 import predict_pb2
from tests.integration import graphs
from tests.integration.http2_peer import Answer
from tests.integration.serving import ServeProcess
from tests.server.in_process import request, tensor

PREDICT = "/maas.v1.PredictService/Predict"
STREAM = "/maas.v1.PredictService/PredictStream"
INFER = "/inference.GRPCInferenceService/ModelInfer"
# Not served by a front itself, whichever it is.
STATUS = "/maas.v1.ModelService/ModelStatus"

LIMIT = 1 << 20
SLOW_WIDTH = 512
# Values in one answer of the model that answers much to little.
BROAD_WIDTH = 1 << 16

Array = npt.NDArray[np.float32]


def lay_out(repository: Path) -> Path:
    """Fill a repository: `quick`; `slow`, two rows a run; `broad`, much for little; `wide`, rows of half the limit."""
    graphs.place(repository, "quick", 1, graphs.multiply(3))
    graphs.place(repository, "slow", 1, graphs.slow(SLOW_WIDTH))
    (repository / "slow" / "maas.yaml").write_text("batching: {max_batch_size: 2}\n")
    graphs.place(repository, "broad", 1, graphs.dense((4, BROAD_WIDTH)))
    (repository / "broad" / "maas.yaml").write_text("batching: {max_batch_size: 4}\n")
    graphs.place(repository, "wide", 1, graphs.multiply(1, LIMIT // 8))
    return repository


def ask(model: str, rows: int = 1, *, width: int = 4, request_id: str = "") -> predict_pb2.PredictRequest:
    """A request of rows of ones."""
    return request(model, tensor("x", np.ones((rows, width), np.float32)), id=request_id)


def quick() -> bytes:
    return ask("quick").SerializeToString()


def slow(rows: int = 1) -> bytes:
    return ask("slow", rows, width=SLOW_WIDTH).SerializeToString()


def values(message: bytes) -> Array:
    """The only output of an answer."""
    (output,) = predict_pb2.PredictResponse.FromString(message).outputs
    return np.frombuffer(output.data, np.float32)


def assert_quick(answer: Answer) -> None:
    """It is the whole and right answer to `quick()`."""
    assert (answer.head.get(":status"), answer.status, answer.reset or 0) == ("200", 0, 0), answer
    (message,) = answer.messages
    assert values(message).tolist() == [3, 3, 3, 3]


def details(answer: Answer) -> status_pb2.Status:
    """What grpc-status-details-bin says."""
    text = (answer.trailers or answer.head)["grpc-status-details-bin"]
    return status_pb2.Status.FromString(unbase64(text))


def unbase64(text: str) -> bytes:
    """Read the value of a -bin header, which need not be padded."""
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def counters(server: ServeProcess, model: str) -> dict[str, int]:
    """What the first version of a model counted so far."""
    counted = server.version(model).counters
    return {field.name: getattr(counted, field.name) for field in counted.DESCRIPTOR.fields}
