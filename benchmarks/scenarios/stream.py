"""Tiny model over PredictStream, 64 requests per message, against the same requests one per RPC."""

from __future__ import annotations

from pathlib import Path

import grpc
import numpy as np

from benchmarks import models
from benchmarks.bench import Bench, alternate, compared
from benchmarks.load import Call, burst
from benchmarks.methods import PREDICT_STREAM
from benchmarks.processes import serve
from benchmarks.report import Goal, Result
from maas_server._stubs.maas.v1 import predict_pb2

PER_MESSAGE, MESSAGES, STREAMS = 64, 32, 2
# What an answer adds around its response, and a message around its answers, at most: tags and lengths.
_ANSWER_SLACK = 16


def run(bench: Bench) -> Result:
    """Compare the cost per request of the two ways to send it."""
    repository = bench.repository()
    model = models.tiny(repository)
    unary = Call.predict(bench.folder, model)
    streamed = whole_stream(bench.folder, model)
    count = bench.count(20_000)

    with serve(repository) as server:
        model.check(server.target)
        check(server.target, model)
        rounds = alternate(
            bench.rounds,
            stream=lambda: (
                burst(server, streamed, bench.count(100), model=model.name, connections=STREAMS, streams=1).cpu_us
            ),
            unary=lambda: burst(server, unary, count, model=model.name).cpu_us,
        )
    return compared(
        rounds,
        "stream",
        "unary",
        name="stream",
        unit="CPU-µs/request",
        reference_name="unary Predict",
        goal=Goal("<=", 0.15),
        details={"requests_per_message": PER_MESSAGE},
    )


def _messages(model: models.Model) -> list[predict_pb2.PredictStreamRequest]:
    ids = (f"{index:04d}" for index in range(PER_MESSAGE * MESSAGES))
    requests = [model.request(request_id) for request_id in ids]
    return [
        predict_pb2.PredictStreamRequest(requests=requests[start : start + PER_MESSAGE])
        for start in range(0, len(requests), PER_MESSAGE)
    ]


def whole_stream(folder: Path, model: models.Model) -> Call:
    """All messages of one stream. Answers may be joined into any number of messages: only their sum is bounded."""
    requests = PER_MESSAGE * MESSAGES
    fewest, most = model.reply_bytes(model.request("0000"))
    return Call.write(
        folder,
        PREDICT_STREAM,
        [message.SerializeToString() for message in _messages(model)],
        requests=requests,
        reply=(fewest * requests, (most + _ANSWER_SLACK) * requests),
    )


def check(target: str, model: models.Model) -> None:
    """Send the very messages by grpcio and compare every answer.

    Raises:
        AssertionError: an answer is missing or wrong.
    """
    messages = _messages(model)
    with grpc.insecure_channel(target) as channel:
        predict = channel.stream_stream(
            PREDICT_STREAM,
            request_serializer=predict_pb2.PredictStreamRequest.SerializeToString,
            response_deserializer=predict_pb2.PredictStreamResponse.FromString,
        )
        answers = [answer for reply in predict(iter(messages), timeout=60) for answer in reply.answers]
    expected = {request.id for message in messages for request in message.requests}
    assert {answer.id for answer in answers} == expected, "some requests on the stream were not answered"
    for answer in answers:
        row = np.frombuffer(answer.response.outputs[0].data, np.float32)
        np.testing.assert_allclose(row, model.answer[0], rtol=1e-4, atol=1e-4)
