"""tritonclient.grpc.aio: the same for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException

from tests.foreign.python.cases import Case, check_outputs
from tests.turns import turn


@pytest_asyncio.fixture
async def client(grpc_target: str) -> AsyncIterator[triton.InferenceServerClient]:
    async with triton.InferenceServerClient(grpc_target) as client:
        yield client


def inputs_of(case: Case) -> list[triton.InferInput]:
    inputs = []
    for name, value in case.inputs.items():
        tensor = triton.InferInput(name, value.shape, case.datatypes[name])
        tensor.set_data_from_numpy(value)
        inputs.append(tensor)
    return inputs


async def test_readiness_and_metadata(client: triton.InferenceServerClient) -> None:
    assert await client.is_server_live()
    assert await client.is_server_ready()
    assert await client.is_model_ready("digits")
    metadata = await client.get_model_metadata("digits")
    assert [each.name for each in metadata.inputs] == ["image"]


async def test_many_at_once(client: triton.InferenceServerClient, digits: Case) -> None:
    results = await asyncio.gather(*(client.infer("digits", inputs_of(digits)) for _ in range(64)))
    for result in results:
        check_outputs(result.as_numpy, digits.outputs)


async def test_every_datatype(client: triton.InferenceServerClient, mirror: Case) -> None:
    result = await client.infer("mirror", inputs_of(mirror), compression_algorithm="gzip")
    check_outputs(result.as_numpy, mirror.outputs)


async def test_a_stream_goes_on_after_a_refusal(client: triton.InferenceServerClient, digits: Case) -> None:
    async def requests() -> AsyncIterator[dict[str, object]]:
        for model in ("digits", "no-such-model", "digits"):
            yield {"model_name": model, "inputs": inputs_of(digits), "request_id": model}

    answered, refused = 0, []
    async for result, error in client.stream_infer(requests()):
        if error is None:
            check_outputs(result.as_numpy, digits.outputs)
            answered += 1
        else:
            refused.append(error.message())
    assert answered == 2
    (text,) = refused
    assert "no-such-model" in text


async def test_a_call_that_is_cancelled_leaves_the_server_well(
    client: triton.InferenceServerClient, digits: Case
) -> None:
    calls = [asyncio.ensure_future(client.infer("digits", inputs_of(digits))) for _ in range(8)]
    await turn()
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    result = await client.infer("digits", inputs_of(digits))
    check_outputs(result.as_numpy, digits.outputs)


async def test_a_refusal_has_a_code_and_a_text(client: triton.InferenceServerClient, digits: Case) -> None:
    with pytest.raises(InferenceServerException) as raised:
        await client.infer("no-such-model", inputs_of(digits))
    assert raised.value.status() == "StatusCode.NOT_FOUND"
    assert "unknown model: 'no-such-model' is not found" in raised.value.message()
