"""ModelInfer and ModelStreamInfer of a real server; what their messages may hold is the core's and tested there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from multiprocessing import shared_memory
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2

from maas_server._stubs.inference import grpc_service_pb2 as pb
from maas_server._stubs.maas.v1 import model_pb2
from tests.rpc.inference import Inference, request
from tests.server.in_process import Refused

X = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)


def output(response: pb.ModelInferResponse) -> Any:
    (info,), (raw,) = response.outputs, response.raw_output_contents
    assert (info.name, info.datatype) == ("y", "FP32")
    return np.frombuffer(raw, "<f4").reshape(list(info.shape))


async def answers(
    inference: Inference, requests: Sequence[pb.ModelInferRequest], **options: Any
) -> list[pb.ModelStreamInferResponse]:
    stream = inference.open_stream(**options)
    for each in requests:
        await stream.write(each)
    await stream.done_writing()
    return [response async for response in stream]


@pytest.mark.parametrize(("version", "factor"), [("", 2), ("1", 1), ("2", 2), ("steady", 1)])
async def test_one_request_is_answered_by_its_version(version: str, factor: int, inference: Inference) -> None:
    response = await inference.infer(request("scaled", X, model_version=version, id="seven"))
    assert (response.model_name, response.model_version, response.id) == ("scaled", str(factor), "seven")
    np.testing.assert_array_equal(output(response), X * factor)


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_compressed_requests_are_taken(compression: grpc.Compression, inference: Inference) -> None:
    infer: Any = inference.server.channel.unary_unary(
        "/inference.GRPCInferenceService/ModelInfer",
        pb.ModelInferRequest.SerializeToString,
        pb.ModelInferResponse.FromString,
    )
    response = await infer(request("scaled", X), timeout=30, compression=compression)
    np.testing.assert_array_equal(output(response), 2 * X)
    (answer,) = await answers(inference, [request("scaled", X)], compression=compression)
    np.testing.assert_array_equal(output(answer.infer_response), 2 * X)


@pytest.mark.parametrize(
    ("fields", "code", "phrase"),
    [
        ({"model": "nothing"}, "NOT_FOUND", "'nothing' is not found: "),
        ({"model": "scaled", "model_version": "7"}, "NOT_FOUND", "'scaled' version 7 is not found: "),
        ({"model": "scaled", "model_version": "no"}, "NOT_FOUND", "'scaled' version no is not found: "),
        ({"model": "broken"}, "UNAVAILABLE", "'broken' has no available versions: "),
        ({"model": "broken", "model_version": "1"}, "UNAVAILABLE", "'broken' version 1 is not at ready state: "),
    ],
)
async def test_what_is_not_there_is_named_as_triton_names_it(
    fields: dict[str, str], code: str, phrase: str, inference: Inference
) -> None:
    model, version = fields["model"], fields.get("model_version", "")
    bad = request(model, X, model_version=version, id="bad")
    with pytest.raises(Refused) as refused:
        await inference.infer(bad)
    assert refused.value.code.name == code
    assert refused.value.message.startswith(f"Request for unknown model: {phrase}")
    assert refused.value.status.message == refused.value.message
    assert refused.value.reason.endswith(("NOT_FOUND", "AVAILABLE"))
    (answer,) = await answers(inference, [bad])
    assert answer.error_message == refused.value.message


async def test_a_bad_request_names_the_field(inference: Inference) -> None:
    bad = request("scaled", X, name="z")
    with pytest.raises(Refused) as refused:
        await inference.infer(bad)
    assert refused.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.detail(error_details_pb2.BadRequest) is not None


async def test_a_stream_answers_in_the_order_of_the_requests(inference: Inference) -> None:
    requests = [
        request("scaled", np.full((1, 4), number, np.float32), id=str(number), model_version=str(1 + number % 2))
        for number in range(200)
    ]
    given = await answers(inference, requests)
    assert [each.infer_response.id for each in given] == [str(number) for number in range(200)]
    for number, each in enumerate(given):
        assert not each.error_message
        assert each.infer_response.parameters["triton_final_response"].bool_param
        np.testing.assert_array_equal(output(each.infer_response), np.full((1, 4), number * (1 + number % 2)))


async def test_a_stream_goes_on_after_failures(inference: Inference) -> None:
    requests = [
        request("scaled", X, id="first"),
        request("nothing", X, id="second", model_version="4"),
        request("scaled", X[:, :2], id="third"),
        request("scaled", X, id="fourth"),
    ]
    given = await answers(inference, requests)
    assert [each.infer_response.id for each in given] == ["first", "second", "third", "fourth"]
    assert [bool(each.error_message) for each in given] == [False, True, True, False]
    second = given[1].infer_response
    assert (second.model_name, second.model_version) == ("nothing", "4")
    assert second.parameters["triton_final_response"].bool_param
    np.testing.assert_array_equal(output(given[3].infer_response), 2 * X)


async def test_a_failure_ends_the_stream_of_a_caller_who_wants_a_status(inference: Inference) -> None:
    stream = inference.open_stream(metadata=[("triton_grpc_error", "true")])
    # What is written after the end makes grpc's client forget why it ended, so nothing is.
    for name, model in (("first", "scaled"), ("second", "nothing")):
        await stream.write(request(model, X, id=name))
    assert (await stream.read()).infer_response.id == "first"
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stream.read()
    refused = Refused(raised.value)
    assert refused.code == grpc.StatusCode.NOT_FOUND
    assert refused.message.startswith("Request for unknown model: 'nothing' is not found: ")
    assert refused.reason == "MODEL_NOT_FOUND"


async def test_other_values_of_that_metadata_ask_for_nothing(inference: Inference) -> None:
    for value in ("false", "1", "True"):
        (answer,) = await answers(inference, [request("nothing", X)], metadata=[("triton_grpc_error", value)])
        assert answer.error_message


async def test_bytes_that_are_no_request_are_answered_on_the_stream(inference: Inference) -> None:
    stream: Any = inference.server.channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
    call = stream(iter([b"\x0a\xff", request("scaled", X, id="good").SerializeToString()]), timeout=30)
    bad, good = [pb.ModelStreamInferResponse.FromString(raw) async for raw in call]
    assert bad.error_message
    assert (good.error_message, good.infer_response.id) == ("", "good")


async def test_a_stream_whose_caller_leaves_leaves_nothing_behind(inference: Inference) -> None:
    stream = inference.open_stream()
    for number in range(50):
        await stream.write(request("scaled", X, id=str(number)))
    await stream.read()
    stream.cancel()
    status = model_pb2.ModelStatusRequest(model="scaled", version=2).SerializeToString()
    async with asyncio.timeout(30):
        pending = 1
        while pending:
            raw = await inference.server.call("/maas.v1.ModelService/ModelStatus", status)
            (version,) = model_pb2.ModelStatusResponse.FromString(raw).models[0].versions
            pending = version.counters.pending
    np.testing.assert_array_equal(output(await inference.infer(request("scaled", X))), 2 * X)


async def test_a_stopping_server_answers_what_it_accepted_and_ends_the_stream(inference: Inference) -> None:
    stream = inference.open_stream()
    await stream.write(request("scaled", X, id="accepted"))
    assert (await stream.read()).infer_response.id == "accepted"
    inference.server.server.stop()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stream.read()
    refused = Refused(raised.value)
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")


async def test_tensors_go_through_shared_memory(inference: Inference) -> None:
    memory = shared_memory.SharedMemory(create=True, size=2 * X.nbytes)
    try:
        seen: Any = np.ndarray((2, 2, 4), "<f4", memory.buf)
        seen[0] = X
        await inference("SystemSharedMemoryRegister", name="both", key=memory.name, byte_size=memory.size)
        message = pb.ModelInferRequest(model_name="scaled")
        for tensor, offset in (
            (message.inputs.add(name="x", datatype="FP32", shape=X.shape), 0),
            (message.outputs.add(name="y"), X.nbytes),
        ):
            tensor.parameters["shared_memory_region"].string_param = "both"
            tensor.parameters["shared_memory_offset"].int64_param = offset
            tensor.parameters["shared_memory_byte_size"].int64_param = X.nbytes
        response = await inference.infer(message)
        assert list(response.outputs[0].shape) == [2, 4]
        np.testing.assert_array_equal(seen[1], 2 * X)
        await inference("SystemSharedMemoryUnregister")
        with pytest.raises(Refused) as refused:
            await inference.infer(message)
        assert refused.value.code == grpc.StatusCode.INVALID_ARGUMENT
        assert "both" in refused.value.message
    finally:
        del seen  # Or the memory cannot be closed.
        memory.close()
        memory.unlink()
