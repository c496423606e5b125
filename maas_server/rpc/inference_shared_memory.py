"""Shared memory that clients register: the system's if the server was told to take it, CUDA's never."""

from __future__ import annotations

from google.protobuf.message import Message

from maas_server._stubs.inference import grpc_service_pb2 as pb
from maas_server.engine import Engine, SharedMemoryRegion
from maas_server.errors import NotFound, Unimplemented
from maas_server.rpc.handlers import UnaryHandler, unary

_DISABLED = "shared memory is off; --allow-shared-memory turns it on when the server starts"
_NO_CUDA = "this server takes no CUDA shared memory; with --allow-shared-memory it takes the system's"
_TEXTS = {"System": _DISABLED, "Cuda": _NO_CUDA}


def shared_memory_methods(engine: Engine | None) -> dict[str, UnaryHandler]:
    """Return the handlers; None: every call is refused."""
    if engine is None:
        return {
            f"{kind}SharedMemory{verb}": _refuse(f"{kind}SharedMemory{verb}Request", text)
            for kind, text in _TEXTS.items()
            for verb in ("Status", "Register", "Unregister")
        }

    async def status(request: pb.SystemSharedMemoryStatusRequest) -> pb.SystemSharedMemoryStatusResponse:
        response = pb.SystemSharedMemoryStatusResponse()
        for region in engine.shared_memory():
            if request.name in ("", region.name):
                told = response.regions[region.name]
                told.name, told.key = region.name, region.key
                told.offset, told.byte_size = region.offset, region.byte_size
        if request.name and not response.regions:
            raise _no_region("system", request.name)
        return response

    async def register(request: pb.SystemSharedMemoryRegisterRequest) -> pb.SystemSharedMemoryRegisterResponse:
        engine.register_shared_memory(SharedMemoryRegion(request.name, request.key, request.offset, request.byte_size))
        return pb.SystemSharedMemoryRegisterResponse()

    async def unregister(request: pb.SystemSharedMemoryUnregisterRequest) -> pb.SystemSharedMemoryUnregisterResponse:
        engine.unregister_shared_memory(request.name)
        return pb.SystemSharedMemoryUnregisterResponse()

    return {
        "SystemSharedMemoryStatus": unary(status, pb.SystemSharedMemoryStatusRequest),
        "SystemSharedMemoryRegister": unary(register, pb.SystemSharedMemoryRegisterRequest),
        "SystemSharedMemoryUnregister": unary(unregister, pb.SystemSharedMemoryUnregisterRequest),
        # Clients of system shared memory begin by forgetting what there is of either kind.
        "CudaSharedMemoryStatus": unary(_cuda_status, pb.CudaSharedMemoryStatusRequest),
        "CudaSharedMemoryRegister": _refuse("CudaSharedMemoryRegisterRequest", _NO_CUDA),
        "CudaSharedMemoryUnregister": unary(_cuda_unregister, pb.CudaSharedMemoryUnregisterRequest),
    }


def _refuse(request_type: str, text: str) -> UnaryHandler:
    async def refuse(_: Message) -> Message:
        raise Unimplemented(text)

    return unary(refuse, getattr(pb, request_type))


async def _cuda_status(request: pb.CudaSharedMemoryStatusRequest) -> pb.CudaSharedMemoryStatusResponse:
    if request.name:
        raise _no_region("cuda", request.name)
    return pb.CudaSharedMemoryStatusResponse()


async def _cuda_unregister(_: pb.CudaSharedMemoryUnregisterRequest) -> pb.CudaSharedMemoryUnregisterResponse:
    return pb.CudaSharedMemoryUnregisterResponse()


def _no_region(kind: str, name: str) -> NotFound:
    return NotFound(f"Unable to find {kind} shared memory region: '{name}'", reason="SHARED_MEMORY_NOT_FOUND")
