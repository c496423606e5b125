"""KServe's InferenceGRPCClient."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import numpy as np
import pytest
import pytest_asyncio
from kserve import InferenceGRPCClient, InferInput, InferRequest

from tests.foreign.python.cases import Case, check_outputs


@pytest_asyncio.fixture
async def client(grpc_target: str) -> AsyncIterator[InferenceGRPCClient]:
    async with InferenceGRPCClient(url=grpc_target) as client:
        yield client


def request_to(model: str, case: Case, binary: bool = True) -> InferRequest:
    inputs = []
    for name, value in case.inputs.items():
        tensor = InferInput(name, list(value.shape), case.datatypes[name])
        tensor.set_data_from_numpy(value, binary_data=binary)
        inputs.append(tensor)
    return InferRequest(model_name=model, infer_inputs=inputs, request_id="seven")


async def test_readiness(client: InferenceGRPCClient) -> None:
    assert await client.is_server_live()
    assert await client.is_server_ready()
    assert await client.is_model_ready("digits")


@pytest.mark.parametrize("binary", [True, False], ids=["raw", "typed"])
async def test_answers_are_those_of_onnxruntime(binary: bool, client: InferenceGRPCClient, digits: Case) -> None:
    response = await client.infer(request_to("digits", digits, binary))
    assert (response.id, response.model_name, response.model_version) == ("seven", "digits", "1")
    outputs = {output.name: output for output in response.outputs}
    check_outputs(lambda name: outputs[name].as_numpy(), digits.outputs)


async def test_every_datatype(client: InferenceGRPCClient, mirror: Case) -> None:
    response = await client.infer(request_to("mirror", mirror))
    outputs = {output.name: output for output in response.outputs}
    check_outputs(lambda name: outputs[name].as_numpy(), mirror.outputs)


async def test_refusals_have_a_code_and_a_text(client: InferenceGRPCClient, digits: Case) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        await client.infer(request_to("no-such-model", digits))
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    assert "unknown model: 'no-such-model' is not found" in str(raised.value.details())

    tensor = InferInput("image", [1, 65], "FP32")
    tensor.set_data_from_numpy(np.zeros((1, 65), np.float32))
    with pytest.raises(grpc.RpcError) as raised:
        await client.infer(InferRequest(model_name="digits", infer_inputs=[tensor]))
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "image" in str(raised.value.details())
