"""Every kind of bad request: the status, the field, what was expected and what came; and nobody else notices."""

from __future__ import annotations

import random
from typing import Any

import grpc
import numpy as np
import pytest

from maas_server._stubs.maas.v1 import predict_pb2, tensor_pb2
from tests.server.in_process import PREDICT, InProcessServer, Refused, request, tensor

X = np.arange(8, dtype=np.float32).reshape(2, 4)
GOOD = request("linear", tensor("x", X))
Q = np.arange(8, dtype=np.int8).reshape(2, 4)

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


async def refusal(server: InProcessServer, message: predict_pb2.PredictRequest | bytes) -> Refused:
    """The refusal of a request, after a good one beside it was answered as ever."""
    raw = message if isinstance(message, bytes) else message.SerializeToString()
    with pytest.raises(Refused) as refused:
        await server.call(PREDICT, raw)
    good = await server.predict(GOOD)
    assert list(good.outputs[0].shape) == [2, 4]
    return refused.value


def quantized(
    scales: Any, zero_points: Any = (), axis: int | None = None, array: Any = Q
) -> predict_pb2.PredictRequest:
    quantization = tensor_pb2.Quantization(scales=scales, zero_points=zero_points, axis=axis)
    return request("linear", tensor("x", array, quantization=quantization))


@pytest.mark.parametrize(
    ("message", "reason", "words"),
    [
        (request("nobody", tensor("x", X)), "MODEL_NOT_FOUND", ["nobody"]),
        (request("linear", tensor("x", X), version=7), "VERSION_NOT_FOUND", ["7", "linear"]),
        (request("linear", tensor("x", X), label="canary"), "LABEL_NOT_FOUND", ["canary", "linear"]),
    ],
)
async def test_unknown_names_are_not_found(
    server: InProcessServer, message: predict_pb2.PredictRequest, reason: str, words: list[str]
) -> None:
    refused = await refusal(server, message)
    assert refused.code == NOT_FOUND
    assert refused.reason == reason
    assert all(word in refused.message for word in words)


@pytest.mark.parametrize(
    ("message", "field", "words"),
    [
        pytest.param(request("linear", tensor("z", X)), "inputs[0].name", ["z", "x"], id="unknown input"),
        pytest.param(request("linear"), "inputs", ["x"], id="missing input"),
        pytest.param(
            request("linear", tensor("x", X), tensor("x", X)), "inputs[1].name", ["x"], id="the same input twice"
        ),
        pytest.param(
            request("linear", tensor("x", X.astype(np.float64))),
            "inputs[0].datatype",
            ["FP32", "FP64"],
            id="wrong datatype",
        ),
        pytest.param(request("linear", tensor("x", X[0])), "inputs[0].shape", ["2", "1"], id="wrong rank"),
        pytest.param(
            request("linear", tensor("x", X.reshape(4, 2))), "inputs[0].shape", ["4", "2"], id="wrong dimension"
        ),
        pytest.param(
            request("linear", tensor("x", X, shape=[-2, 4])), "inputs[0].shape", ["-2"], id="negative dimension"
        ),
        pytest.param(
            request("linear", tensor("x", X, shape=[1 << 62, 4])), "inputs[0].shape", [], id="absurd dimension"
        ),
        pytest.param(
            request("linear", tensor("x", X, data=X.tobytes()[:-1])), "inputs[0].data", ["32", "31"], id="too few bytes"
        ),
        pytest.param(
            request("linear", tensor("x", X, data=X.tobytes() + b"!")), "inputs[0].data", ["32", "33"], id="too many"
        ),
        pytest.param(
            request("linear", tensor("x", np.zeros((0, 4), np.float32))), "inputs[0].shape", ["0"], id="empty batch"
        ),
        pytest.param(
            request("linear", tensor("x", np.zeros((17, 4), np.float32))),
            "inputs[0].shape",
            ["16", "17"],
            id="more rows than the limit",
        ),
        pytest.param(
            request("linear", tensor("x", X), outputs=[{"name": "w"}]), "outputs[0].name", ["w"], id="unknown output"
        ),
        pytest.param(
            request("linear", tensor("x", X), outputs=[{"name": "y"}, {"name": "y"}]),
            "outputs[1].name",
            ["y"],
            id="the same output twice",
        ),
        pytest.param(quantized([]), "inputs[0].quantization.scales", [], id="missing scale"),
        pytest.param(quantized([float("nan")]), "inputs[0].quantization.scales[0]", ["nan"], id="NaN scale"),
        pytest.param(quantized([float("inf")]), "inputs[0].quantization.scales[0]", ["inf"], id="infinite scale"),
        pytest.param(quantized([0.0]), "inputs[0].quantization.scales[0]", ["0"], id="scale of zero"),
        pytest.param(quantized([1.0], [300]), "inputs[0].quantization.zero_points[0]", ["127", "300"], id="zero point"),
        pytest.param(quantized([1.0], [0, 0]), "inputs[0].quantization.zero_points", ["1", "2"], id="zero points"),
        pytest.param(quantized([1.0] * 4, axis=2), "inputs[0].quantization.axis", ["2"], id="axis out of range"),
        pytest.param(quantized([1.0] * 4, axis=-3), "inputs[0].quantization.axis", ["-3"], id="negative axis"),
        pytest.param(quantized([1.0] * 3, axis=1), "inputs[0].quantization.scales", ["4", "3"], id="scales per axis"),
        pytest.param(quantized([1.0], array=X), "inputs[0].datatype", ["INT8", "FP32"], id="quantized floats"),
        pytest.param(
            request("integers", tensor("x", Q, quantization=tensor_pb2.Quantization(scales=[1.0]))),
            "inputs[0].quantization",
            [],
            id="quantization for a model that takes int8 itself",
        ),
        pytest.param(
            request("strings", tensor("x", np.zeros(1, np.uint8), datatype=tensor_pb2.BYTES, data=b"\x05\0\0\0ab")),
            "inputs[0].data",
            [],
            id="strings cut short",
        ),
        pytest.param(
            request("padded", tensor("ids", np.zeros((1, 9), np.int64))), "inputs[0].shape", ["8", "9"], id="too long"
        ),
        pytest.param(request("linear", tensor("x", X), timeout_us=-1), "timeout_us", ["-1"], id="negative timeout"),
        pytest.param(request("x" * 300, tensor("x", X)), "model", ["256", "300"], id="name over the limit"),
    ],
)
async def test_a_request_that_does_not_fit_names_the_field(
    server: InProcessServer, message: predict_pb2.PredictRequest, field: str, words: list[str]
) -> None:
    refused = await refusal(server, message)
    assert refused.code == INVALID, refused
    assert any(name == field or name.startswith(f"{field}[") for name in refused.fields), refused.fields
    text = " ".join(refused.fields.values()).lower()
    assert all(word.lower() in text for word in words), text
    assert refused.status.code == INVALID.value[0]
    assert refused.status.message == refused.message


async def test_truncated_requests_are_refused(server: InProcessServer) -> None:
    whole = GOOD.SerializeToString()
    for end in range(len(whole)):
        with pytest.raises(Refused) as refused:
            await server.call(PREDICT, whole[:end])
        assert refused.value.code in (INVALID, NOT_FOUND), (end, refused.value)
    assert (await server.predict(GOOD)).version == 1


async def test_random_bytes_are_refused(server: InProcessServer) -> None:
    source = random.Random(3)
    for _ in range(200):
        with pytest.raises(Refused) as refused:
            await server.call(PREDICT, source.randbytes(source.randrange(1, 200)))
        assert refused.value.code in (INVALID, NOT_FOUND), refused.value
    assert (await server.predict(GOOD)).version == 1


async def test_a_message_over_the_limit_is_refused(server: InProcessServer) -> None:
    refused = await refusal(server, b"\0" * ((1 << 20) + 1))
    assert refused.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(1 << 20) in refused.message


async def test_a_deadline_already_past_is_answered_without_a_run(server: InProcessServer) -> None:
    with pytest.raises(Refused) as refused:
        await server.predict(GOOD, timeout=-1)
    assert refused.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert (await server.predict(GOOD)).version == 1


async def test_values_that_only_the_model_can_judge_fail_alone(server: InProcessServer) -> None:
    bad = request("padded", tensor("ids", np.array([[10**9]], np.int64)))
    good = request("padded", tensor("ids", np.array([[1, 2]], np.int64)))
    messages = [predict_pb2.PredictStreamRequest(requests=[good, bad, good]).SerializeToString()]
    answers = await server.stream(*messages)
    kinds = sorted(answer.WhichOneof("result") or "" for answer in answers)
    assert kinds == ["error", "response", "response"]
    (error,) = (answer.error for answer in answers if answer.WhichOneof("result") == "error")
    assert error.code == INVALID.value[0], error


async def test_a_bad_request_on_a_stream_fails_alone(server: InProcessServer) -> None:
    bad = request("linear", tensor("z", X), id="bad")
    good = request("linear", tensor("x", X), id="good")
    answers = await server.stream(predict_pb2.PredictStreamRequest(requests=[bad, good]).SerializeToString())
    by_id = {answer.id: answer for answer in answers}
    assert by_id["bad"].error.code == INVALID.value[0]
    assert by_id["good"].response.outputs[0].shape == [2, 4]


async def test_a_stream_message_that_does_not_decode_ends_the_stream(server: InProcessServer) -> None:
    good = predict_pb2.PredictStreamRequest(requests=[request("linear", tensor("x", X))]).SerializeToString()
    with pytest.raises(Refused) as refused:
        await server.stream(good, b"\xff\xff\xff")
    assert refused.value.code == INVALID
    assert (await server.predict(GOOD)).version == 1
