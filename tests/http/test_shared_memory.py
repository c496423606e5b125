"""Tensors in shared memory, over REST, on a server that allows it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import pytest_asyncio

from tests.http.conftest import client_of, settings_for, write_repository
from tests.server.in_process import InProcessServer

REGION = "/v2/systemsharedmemory/region/mine"


@pytest.fixture
def memory() -> Iterator[SharedMemory]:
    shared = SharedMemory(create=True, size=64)
    yield shared
    shared.close()
    shared.unlink()


@pytest_asyncio.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    write_repository(tmp_path)
    settings = settings_for(tmp_path).model_copy(update={"allow_shared_memory": True})
    async with InProcessServer(settings) as server, client_of(server) as open_client:
        yield open_client


def placed(offset: int) -> dict[str, Any]:
    return {"shared_memory_region": "mine", "shared_memory_offset": offset, "shared_memory_byte_size": 16}


async def test_inputs_and_outputs_lie_in_a_region(client: httpx.AsyncClient, memory: SharedMemory) -> None:
    region = {"key": f"/{memory.name}", "offset": 0, "byte_size": 64}
    registered = await client.post(f"{REGION}/register", json=region)
    assert registered.status_code == 200, registered.text
    told = [{"name": "mine", **region}]
    assert (await client.get("/v2/systemsharedmemory/status")).json() == told
    assert (await client.get(f"{REGION}/status")).json() == told

    values = np.ndarray(16, np.float32, memory.buf)
    values[:4] = [1, 2, 3, 4]
    body = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": placed(0)}],
        "outputs": [{"name": "y", "parameters": placed(32)}],
    }
    response = await client.post("/v2/models/scaled/infer", json=body)
    assert response.status_code == 200, response.text
    (output,) = response.json()["outputs"]
    # Triton's client takes any parameters for those of binary data.
    assert output == {"name": "y", "datatype": "FP32", "shape": [1, 4]}
    assert values[8:12].tolist() == [3, 6, 9, 12]
    del values

    assert (await client.post(f"{REGION}/unregister")).status_code == 200
    assert (await client.get("/v2/systemsharedmemory/status")).json() == []
    gone = await client.post("/v2/models/scaled/infer", json=body)
    assert 400 <= gone.status_code < 500
    assert "mine" in gone.json()["error"]


@pytest.mark.parametrize(
    ("region", "told"),
    [
        ({"byte_size": 64}, "key: expected a string"),
        ({"key": "/x"}, "byte_size: expected a number of bytes"),
        ({"key": "/x", "byte_size": -1}, "byte_size: expected a number of bytes, got -1"),
        ({"key": "/x", "byte_size": 64, "offset": "0"}, "offset: expected a number of bytes"),
        ({"key": "/there-is-no-such-region", "byte_size": 64}, "there-is-no-such-region"),
    ],
)
async def test_wrong_regions_are_refused(client: httpx.AsyncClient, region: dict[str, Any], told: str) -> None:
    response = await client.post(f"{REGION}/register", json=region)
    assert 400 <= response.status_code < 500
    assert told in response.json()["error"]


async def test_cuda_regions_are_never_taken(client: httpx.AsyncClient) -> None:
    response = await client.post("/v2/cudasharedmemory/region/mine/register", json={"byte_size": 64})
    assert response.status_code == 501
    assert (await client.get("/v2/cudasharedmemory/status")).json() == []
    assert (await client.post("/v2/cudasharedmemory/unregister")).status_code == 200
