"""What our server is measured against, each a process of its own.

    python -m benchmarks.references POLICY echo [REPLY]     every request answered by its own bytes, or REPLY's
    python -m benchmarks.references POLICY plain MODEL      grpc.aio handler that parses, runs the session, answers
    python -m benchmarks.references POLICY loop MODEL ROWS  ONNX Runtime in a loop; prints CPU-µs per row
    python -m benchmarks.references POLICY receive BYTES    takes messages of that size and lays them into a batch
    python -m benchmarks.references POLICY load MODEL       imports ONNX Runtime, loads the model, ends

POLICY is the name of a scheduling policy in the module `os`, so that servers compete under equal terms.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import uvloop

from benchmarks.methods import ECHO, PREDICT

LOOP_SECONDS = 1.0
_BATCH_ROWS = 8

Answer = Callable[[bytes, Any], Awaitable[bytes]]


class _Handler(grpc.GenericRpcHandler):
    """Answers one method, bytes in and bytes out."""

    def __init__(self, method: str, answer: Answer) -> None:
        self._method = method
        self._handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(answer)

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        return self._handler if call.method == self._method else None


async def _serve(method: str, answer: Answer) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Handler(method, answer),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(json.dumps({"event": "ready", "grpc_port": port}), flush=True)
    await server.wait_for_termination()


def _session(model: str) -> Any:
    # Not imported by those that need no runtime: it adds threads and memory.
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def echo(reply: str | None = None) -> None:
    """The least that an RPC can cost in this stack."""
    content = Path(reply).read_bytes() if reply else None

    async def answer(request: bytes, _: Any) -> bytes:
        return request if content is None else content

    uvloop.run(_serve(ECHO, answer))


def plain(model: str) -> None:
    """What an hour's work gives: no queue, no batch, the session called on the loop."""
    import numpy as np

    from maas_server._stubs.maas.v1 import predict_pb2, tensor_pb2

    session = _session(model)

    async def answer(raw: bytes, _: Any) -> bytes:
        request = predict_pb2.PredictRequest.FromString(raw)
        tensor = request.inputs[0]
        row = np.frombuffer(tensor.data, np.float32).reshape(tuple(tensor.shape))
        (result,) = session.run(None, {tensor.name: row})
        output = tensor_pb2.Tensor(name="y", datatype=tensor_pb2.FP32, shape=result.shape, data=result.tobytes())
        return predict_pb2.PredictResponse(model=request.model, version=1, outputs=[output]).SerializeToString()

    uvloop.run(_serve(PREDICT, answer))


def loop(model: str, rows: str) -> None:
    """The arithmetic alone."""
    import numpy as np

    session = _session(model)
    (tensor,) = session.get_inputs()
    batch = {tensor.name: np.random.default_rng(7).random((int(rows), *tensor.shape[1:])).astype(np.float32)}
    session.run(None, batch)
    runs, started = 0, time.process_time()
    while (taken := time.process_time() - started) < LOOP_SECONDS:
        session.run(None, batch)
        runs += 1
    print(taken / runs / int(rows) * 1e6)


def receive(size: str) -> None:
    """The least that large requests can cost: each byte is received once, and written once to where a batch is.

    A message is received whole into memory of its connection, because which batch it joins is known only then, and
    copied to its row. All memory is touched before the first message and used over and over, the rows in turn. A
    message is answered by one byte. Nothing is parsed.
    """
    length = int(size)
    rows = memoryview(bytearray(length * _BATCH_ROWS))
    messages: dict[int, memoryview] = {}
    received: dict[int, int] = {}
    sockets: dict[int, socket.socket] = {}
    listener = socket.create_server(("127.0.0.1", 0))
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    print(json.dumps({"event": "ready", "grpc_port": listener.getsockname()[1]}), flush=True)
    row = 0
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == listener.fileno():
                accepted, _ = listener.accept()
                poll.register(accepted, select.EPOLLIN)
                sockets[accepted.fileno()], received[accepted.fileno()] = accepted, 0
                messages.setdefault(accepted.fileno(), memoryview(bytearray(length)))
                continue
            count = sockets[descriptor].recv_into(messages[descriptor][received[descriptor] :])
            received[descriptor] += count
            if count == 0:
                poll.unregister(descriptor)
                sockets.pop(descriptor).close()
            elif received[descriptor] == length:
                received[descriptor] = 0
                rows[row * length : (row + 1) * length] = messages[descriptor]
                row = (row + 1) % _BATCH_ROWS
                sockets[descriptor].send(b"\1")


def load(model: str) -> None:
    """What any server of the model has to wait for."""
    _session(model)


if __name__ == "__main__":
    os.sched_setscheduler(0, getattr(os, sys.argv[1]), os.sched_param(0))
    roles: dict[str, Callable[..., None]] = {
        "echo": echo,
        "plain": plain,
        "loop": loop,
        "receive": receive,
        "load": load,
    }
    roles[sys.argv[2]](*sys.argv[3:])
