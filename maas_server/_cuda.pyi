"""The part for NVIDIA GPUs. Source: csrc/cuda/. `_core.NO_CUDA` says why a build is without it."""

from typing import TypedDict

class _Device(TypedDict):
    name: str
    bus_id: str
    compute_major: int
    compute_minor: int
    multiprocessors: int
    total_bytes: int
    free_bytes: int

# Each raises RuntimeError where the driver is there and fails, for instance for being older than the runtime.
def device_count() -> int: ...
def devices() -> list[_Device]: ...

# As CUDA numbers them: 13000 is 13.0. The driver's is 0 without one.
def driver_version() -> int: ...
def runtime_version() -> int: ...
def architectures() -> tuple[str, ...]: ...

# The address of a MaasDeviceApi.
def table() -> int: ...
