"""KServe's InferenceRESTClient, with version 2 of the protocol and with TensorFlow Serving's."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import numpy as np
import pytest
import pytest_asyncio
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

from tests.foreign.python.cases import Case, check_outputs


@pytest_asyncio.fixture
async def client() -> AsyncIterator[InferenceRESTClient]:
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        yield client


@pytest.fixture
def url(http_target: str) -> str:
    return f"http://{http_target}"


def request_to(model: str, case: Case, binary: bool) -> InferRequest:
    inputs = []
    for name, value in case.inputs.items():
        tensor = InferInput(name, list(value.shape), case.datatypes[name])
        tensor.set_data_from_numpy(value, binary_data=binary)
        inputs.append(tensor)
    return InferRequest(model_name=model, infer_inputs=inputs, request_id="seven")


async def test_readiness(client: InferenceRESTClient, url: str) -> None:
    assert await client.is_server_live(url)
    assert await client.is_server_ready(url)
    assert await client.is_model_ready(url, "digits")


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
async def test_answers_are_those_of_onnxruntime(
    binary: bool, client: InferenceRESTClient, url: str, digits: Case
) -> None:
    response = await client.infer(url, request_to("digits", digits, binary), model_name="digits")
    assert (response.id, response.model_name) == ("seven", "digits")
    outputs = {output.name: output for output in response.outputs}
    check_outputs(lambda name: outputs[name].as_numpy(), digits.outputs)


async def test_every_datatype(client: InferenceRESTClient, url: str, mirror: Case) -> None:
    response = await client.infer(url, request_to("mirror", mirror, True), model_name="mirror")
    outputs = {output.name: output for output in response.outputs}
    check_outputs(lambda name: outputs[name].as_numpy(), mirror.outputs)


async def test_rows_as_tensorflow_serving_takes_them(url: str, wine: Case) -> None:
    async with InferenceRESTClient(RESTConfig(protocol="v1")) as client:
        rows = wine.inputs["features"].tolist()
        answer = await client.infer(url, {"instances": rows}, model_name="wine")
        probabilities = np.array([row["probabilities"] for row in answer["predictions"]], np.float32)
        check_outputs(lambda _: probabilities, {"probabilities": wine.outputs["probabilities"]})
        assert await client.is_model_ready(url, "wine")


async def test_refusals_have_a_status_and_a_text(client: InferenceRESTClient, url: str, digits: Case) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="unknown model: 'no-such-model' is not found") as raised:
        await client.infer(url, request_to("no-such-model", digits, True), model_name="no-such-model")
    assert raised.value.response.status_code == 404

    tensor = InferInput("image", [1, 65], "FP32")
    tensor.set_data_from_numpy(np.zeros((1, 65), np.float32))
    with pytest.raises(httpx.HTTPStatusError, match="image") as raised:
        await client.infer(url, InferRequest(model_name="digits", infer_inputs=[tensor]), model_name="digits")
    assert raised.value.response.status_code == 400
