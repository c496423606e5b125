"""PredictService end to end: what goes in comes out right, by unary and by stream."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import numpy as np
import pytest

from maas_server._stubs.maas.v1 import predict_pb2, tensor_pb2
from maas_server.models.runner import Array
from tests.models.onnx_models import SEED
from tests.server.in_process import PREDICT, InProcessServer, Refused, request, tensor

RANDOM = np.random.default_rng(5)


def weights(*shape: int) -> Array:
    """The weights of onnx_models.weights."""
    return np.asarray(np.random.default_rng(SEED).standard_normal(shape) / shape[0] ** 0.5, np.float32)


def array(answer: tensor_pb2.Tensor) -> Array:
    dtype = {tensor_pb2.FP32: np.float32, tensor_pb2.INT8: np.int8, tensor_pb2.UINT8: np.uint8}[answer.datatype]
    return np.frombuffer(answer.data, dtype).reshape(answer.shape)


async def test_a_request_is_answered_with_its_receipt(server: InProcessServer) -> None:
    x = RANDOM.standard_normal((3, 4)).astype(np.float32)
    response = await server.predict(request("linear", tensor("x", x), id="r-1"))
    np.testing.assert_allclose(array(response.outputs[0]), x @ weights(4, 4), rtol=1e-5, atol=1e-6)
    assert (response.id, response.model, response.version) == ("r-1", "linear", 1)
    assert response.receipt.batches == 1
    assert response.receipt.batch_size >= 3
    assert response.receipt.run_ns > 0


async def test_a_request_larger_than_a_batch_is_split_and_rejoined(server: InProcessServer) -> None:
    x = RANDOM.standard_normal((16, 4)).astype(np.float32)
    response = await server.predict(request("linear", tensor("x", x)))
    np.testing.assert_allclose(array(response.outputs[0]), x @ weights(4, 4), rtol=1e-5, atol=1e-6)
    assert response.receipt.batches == 2
    assert response.receipt.batch_size == 8


async def test_quantized_inputs_are_dequantized_per_tensor_and_per_axis(server: InProcessServer) -> None:
    q = RANDOM.integers(-128, 128, (2, 4)).astype(np.int8)
    per_tensor = tensor_pb2.Quantization(scales=[0.5], zero_points=[3])
    response = await server.predict(request("linear", tensor("x", q, quantization=per_tensor)))
    real = (q.astype(np.float32) - 3) * 0.5
    np.testing.assert_allclose(array(response.outputs[0]), real @ weights(4, 4), rtol=1e-4, atol=1e-4)

    scales = np.array([0.5, 1, 2, 4], np.float32)
    per_axis = tensor_pb2.Quantization(scales=scales, axis=-1)
    response = await server.predict(request("linear", tensor("x", q, quantization=per_axis)))
    np.testing.assert_allclose(array(response.outputs[0]), (q * scales) @ weights(4, 4), rtol=1e-4, atol=1e-3)


async def test_outputs_are_quantized_on_request(server: InProcessServer) -> None:
    x = RANDOM.standard_normal((2, 4)).astype(np.float32)
    exact = x @ weights(4, 4)
    wanted = predict_pb2.RequestedOutput(name="y", quantize=predict_pb2.OutputQuantization())
    (output,) = (await server.predict(request("linear", tensor("x", x), outputs=[wanted]))).outputs
    scale = output.quantization.scales[0]
    assert output.datatype == tensor_pb2.INT8
    assert scale == pytest.approx(np.abs(exact).max() / 127, rel=1e-5)
    np.testing.assert_allclose(array(output) * scale, exact, atol=scale / 2 + 1e-6)

    given = predict_pb2.OutputQuantization(datatype=tensor_pb2.UINT8, scales=[0.1] * 4, zero_points=[100] * 4, axis=1)
    wanted = predict_pb2.RequestedOutput(name="y", quantize=given)
    (output,) = (await server.predict(request("linear", tensor("x", x), outputs=[wanted]))).outputs
    np.testing.assert_allclose((array(output).astype(np.float32) - 100) * 0.1, exact, atol=0.051)
    assert list(output.quantization.zero_points) == [100] * 4


async def test_a_model_that_takes_int8_gets_the_values_untouched(server: InProcessServer) -> None:
    q = np.array([[-128, -1, 0, 127]], np.int8)
    response = await server.predict(request("integers", tensor("x", q)))
    np.testing.assert_array_equal(array(response.outputs[0]), q.astype(np.float32))


async def test_strings_go_in_and_out(server: InProcessServer) -> None:
    texts = [b"one", b"", "zwölf".encode()]
    data = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    message = tensor_pb2.Tensor(name="x", datatype=tensor_pb2.BYTES, shape=[3], data=data)
    (output,) = (await server.predict(request("strings", message))).outputs
    assert output.data == data
    assert list(output.shape) == [3]


async def test_rows_of_different_lengths_share_a_batch(server: InProcessServer) -> None:
    table = weights(50, 4)
    rows = [RANDOM.integers(1, 50, (1, length)) for length in (1, 2, 3, 4, 3, 2)]
    requests = [request("padded", tensor("ids", row), id=str(n)) for n, row in enumerate(rows)]
    answers = await server.stream(predict_pb2.PredictStreamRequest(requests=requests).SerializeToString())
    assert len(answers) == len(rows)
    for answer in answers:
        got = array(answer.response.outputs[0])[0]
        np.testing.assert_allclose(got, table[rows[int(answer.id)][0]].mean(axis=0), rtol=1e-5, atol=1e-6)
    assert max(answer.response.receipt.batch_size for answer in answers) > 1


async def test_a_stream_answers_every_request_of_many_messages(server: InProcessServer) -> None:
    messages = []
    for m in range(20):
        requests = [
            request("linear", tensor("x", np.full((1, 4), m * 50 + n, np.float32)), id=f"{m * 50 + n}")
            for n in range(50)
        ]
        messages.append(predict_pb2.PredictStreamRequest(requests=requests).SerializeToString())
    answers = await server.stream(*messages)
    assert sorted(int(answer.id) for answer in answers) == list(range(1000))
    for answer in answers:
        expected = np.full((1, 4), int(answer.id), np.float32) @ weights(4, 4)
        np.testing.assert_allclose(array(answer.response.outputs[0]), expected, rtol=1e-4, atol=1e-2)


async def test_answers_that_fit_a_message_one_by_one_are_not_joined_into_one_over_its_limit(
    server: InProcessServer,
) -> None:
    x = RANDOM.standard_normal((40, 1, 4)).astype(np.float32)
    requests = [request("broad", tensor("x", row), id=str(n)) for n, row in enumerate(x)]
    answers = await server.stream(predict_pb2.PredictStreamRequest(requests=requests).SerializeToString())
    assert sorted(int(answer.id) for answer in answers) == list(range(40))
    for answer in answers:
        got = array(answer.response.outputs[0])
        np.testing.assert_allclose(got, x[int(answer.id)] @ weights(4, 1 << 16), rtol=1e-4, atol=1e-5)


async def test_concurrent_calls_get_their_own_answers(server: InProcessServer) -> None:
    async def one(n: int) -> None:
        x = np.full((1 + n % 3, 4), n, np.float32)
        response = await server.predict(request("linear", tensor("x", x), id=str(n)))
        assert response.id == str(n)
        np.testing.assert_allclose(array(response.outputs[0]), x @ weights(4, 4), rtol=1e-4, atol=1e-2)

    await asyncio.gather(*(one(n) for n in range(300)))


async def test_a_cancelled_call_disturbs_nobody(server: InProcessServer) -> None:
    raw = request("linear", tensor("x", np.ones((1, 4), np.float32))).SerializeToString()
    method: Any = server.channel.unary_unary(PREDICT)
    for _ in range(50):
        call = method(raw, timeout=30)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    response = await server.predict(request("linear", tensor("x", np.ones((1, 4), np.float32))))
    assert response.version == 1


async def test_an_abandoned_stream_disturbs_nobody(server: InProcessServer) -> None:
    requests = [request("linear", tensor("x", np.ones((1, 4), np.float32)), id=str(n)) for n in range(500)]
    raw = predict_pb2.PredictStreamRequest(requests=requests).SerializeToString()
    for _ in range(5):
        call = server.open_stream()
        await call.write(raw)
        await call.read()
        call.cancel()
    response = await server.predict(request("linear", tensor("x", np.ones((1, 4), np.float32))))
    assert response.version == 1


async def test_a_stopping_server_ends_an_idle_stream_with_unavailable(server: InProcessServer) -> None:
    call = server.open_stream()
    raw = request("linear", tensor("x", np.ones((1, 4), np.float32)))
    await call.write(predict_pb2.PredictStreamRequest(requests=[raw]).SerializeToString())
    await call.read()
    server.server.stop()
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await call.read()
    assert ended.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_the_requests_own_timeout_expires_it(server: InProcessServer) -> None:
    # So short that it has passed before a thread could take the request, at least once in so many.
    message = request("linear", tensor("x", np.ones((1, 4), np.float32)), timeout_us=1)
    outcomes = await asyncio.gather(*(server.predict(message) for _ in range(50)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    assert refused
    # It passed already, or nothing could have been answered by then.
    assert {each.reason for each in refused} <= {
        "EXPIRED_ON_ARRIVAL",
        "EXPIRED_IN_QUEUE",
        "HOPELESS",
        "DEADLINE_UNREACHABLE",
    }
