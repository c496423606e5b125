"""Shared memory that clients register."""

from __future__ import annotations

import os
from collections.abc import Iterator
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any

import grpc
import pytest

from maas_server.settings import Settings
from tests.fronts import FrontName
from tests.models import onnx_models
from tests.rpc.inference import Inference, save_model
from tests.server.in_process import InProcessServer, Refused

METHODS = [f"{kind}SharedMemory{verb}" for kind in ("System", "Cuda") for verb in ("Status", "Register", "Unregister")]


@pytest.fixture
def memory() -> Iterator[shared_memory.SharedMemory]:
    memory = shared_memory.SharedMemory(create=True, size=4096, name=f"maas_test_{os.getpid()}")
    yield memory
    memory.close()
    memory.unlink()


async def regions(inference: Inference, name: str = "") -> dict[str, tuple[str, int, int]]:
    response = await inference("SystemSharedMemoryStatus", name=name)
    assert all(name == each.name for name, each in response.regions.items())
    return {name: (each.key, each.offset, each.byte_size) for name, each in response.regions.items()}


async def register(inference: Inference, name: str, key: str, **fields: Any) -> None:
    await inference("SystemSharedMemoryRegister", name=name, key=key, **{"byte_size": 4096, **fields})


async def test_regions_come_and_go(inference: Inference, memory: shared_memory.SharedMemory) -> None:
    key = f"/{memory.name.lstrip('/')}"
    assert await regions(inference) == {}
    await register(inference, "in", key, byte_size=1024)
    await register(inference, "out", key, offset=1024, byte_size=64)
    await register(inference, "third", key)
    assert await regions(inference) == {"in": (key, 0, 1024), "out": (key, 1024, 64), "third": (key, 0, 4096)}
    assert await regions(inference, "out") == {"out": (key, 1024, 64)}
    await inference("SystemSharedMemoryUnregister", name="in")
    assert (await regions(inference)).keys() == {"out", "third"}
    await inference("SystemSharedMemoryUnregister", name="in")
    await inference("SystemSharedMemoryUnregister")
    assert await regions(inference) == {}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"key": "maas_test_none"}, "key"),
        ({"key": "../etc/passwd"}, "key"),
        ({"key": ""}, "key"),
        ({"byte_size": 0}, "byte_size"),
        ({"byte_size": 4097}, "byte_size"),
        ({"offset": 1}, "byte_size"),
        ({"offset": 2**64 - 1}, "byte_size"),
        ({"byte_size": 2**64 - 1}, "byte_size"),
    ],
)
async def test_what_cannot_be_a_region_is_refused(
    fields: dict[str, Any], field: str, inference: Inference, memory: shared_memory.SharedMemory
) -> None:
    with pytest.raises(Refused) as refused:
        await register(inference, **{"name": "in", "key": memory.name, **fields})
    assert refused.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert list(refused.value.fields) == [field]
    assert await regions(inference) == {}


async def test_a_name_is_given_once(inference: Inference, memory: shared_memory.SharedMemory) -> None:
    await register(inference, "in", memory.name)
    with pytest.raises(Refused) as refused:
        await register(inference, "in", memory.name)
    assert refused.value.code == grpc.StatusCode.ALREADY_EXISTS
    assert "'in'" in refused.value.message


async def test_the_status_of_an_unknown_region_is_not_found(inference: Inference) -> None:
    for kind in ("System", "Cuda"):
        with pytest.raises(Refused) as refused:
            await inference(f"{kind}SharedMemoryStatus", name="none")
        assert refused.value.code == grpc.StatusCode.NOT_FOUND
        assert refused.value.message == f"Unable to find {kind.lower()} shared memory region: 'none'"


async def test_cuda_regions_are_not_taken_and_so_there_are_none(inference: Inference) -> None:
    with pytest.raises(Refused) as refused:
        await inference("CudaSharedMemoryRegister", name="in", raw_handle=bytes(64), byte_size=64)
    assert refused.value.code == grpc.StatusCode.UNIMPLEMENTED
    assert "CUDA" in refused.value.message
    assert not (await inference("CudaSharedMemoryStatus")).regions
    # What every client of system shared memory begins with.
    await inference("CudaSharedMemoryUnregister")
    await inference("CudaSharedMemoryUnregister", name="in")


async def test_without_the_setting_every_call_is_refused_and_names_it(front: FrontName, tmp_path: Path) -> None:
    save_model(tmp_path, "strings", onnx_models.strings())
    async with InProcessServer(
        Settings(path=tmp_path, front=front, grpc_port=0, http=False, settle=0, drain_delay=0)
    ) as server:
        for method in METHODS:
            with pytest.raises(Refused) as refused:
                await Inference(server)(method)
            assert refused.value.code == grpc.StatusCode.UNIMPLEMENTED
            assert "--allow-shared-memory" in refused.value.message


async def test_a_server_that_stops_holds_no_regions(
    front: FrontName, tmp_path: Path, memory: shared_memory.SharedMemory
) -> None:
    save_model(tmp_path, "strings", onnx_models.strings())
    settings = Settings(
        path=tmp_path, front=front, grpc_port=0, http=False, settle=0, drain_delay=0, allow_shared_memory=True
    )

    file = Path("/dev/shm", memory.name.lstrip("/"))

    def opened() -> int:
        return sum(link.exists() and link.samefile(file) for link in Path("/proc/self/fd").iterdir())

    ours = opened()
    server = InProcessServer(settings)
    async with server:
        await register(Inference(server), "in", memory.name)
        assert opened() == ours + 1
    assert opened() == ours
