"""The GPU that is measured: through the extension, or through a library built of its kernels alone."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import NotMeasured
from maas_server.devices.table import DeviceError, Table

EXTENSION = "maas_server._cuda"
# What scripts/build_cuda.sh makes where the package cannot be built: it needs nvcc, and no Python headers.
LIBRARY = Path(__file__).parents[2] / "build" / "cuda" / "libmaas_cuda.so"


@dataclass(frozen=True)
class Gpu:
    """The functions of a machine that has at least one GPU."""

    table: Table
    versions: Mapping[str, str]
    """Of the driver and of the runtime that the kernels are linked with."""

    def describe(self) -> dict[str, str]:
        """Return what a measurement depends on."""
        info = self.table.device(0).info()
        return {"name": info.name, "compute": "{}.{}".format(*info.compute), **self.versions}


def gpu() -> Gpu:
    """Return the GPU of this machine, by the build that is newest.

    Raises:
        NotMeasured: there is none, or nothing was built for it.
    """
    builds = {_extension: _origin(EXTENSION), _library: LIBRARY}
    ages = {load: path.stat().st_mtime for load, path in builds.items() if path and path.exists()}
    if not ages:
        raise NotMeasured(f"no GPU part: neither {EXTENSION} nor {LIBRARY.name} was built; `make gpu-check` does")
    found = max(ages, key=ages.__getitem__)()
    if found.table.count() == 0:
        raise NotMeasured("no GPU: the driver is missing or shows no device")
    return found


def description() -> Mapping[str, str]:
    """Return the GPU that results were measured beside; nothing where there is none, or none that works."""
    try:
        return gpu().describe()
    # What is measured on the CPU needs neither a driver nor a library that fit.
    except (NotMeasured, DeviceError, RuntimeError, OSError, ImportError):
        return {}


def version(number: int) -> str:
    """Return a version as CUDA counts it, 13020, as people write it, 13.2."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _origin(module: str) -> Path | None:
    spec = importlib.util.find_spec(module)
    return Path(spec.origin) if spec and spec.origin else None


def _extension() -> Gpu:
    module = importlib.import_module(EXTENSION)
    versions = {"driver": version(module.driver_version()), "runtime": version(module.runtime_version())}
    return Gpu(Table(module.table(), keep=module), versions)


def _library() -> Gpu:
    library = ctypes.CDLL(str(LIBRARY))
    library.maas_cuda_table.restype = ctypes.c_void_p
    versions = {
        "driver": version(library.maas_cuda_driver_version()),
        "runtime": version(library.maas_cuda_runtime_version()),
    }
    return Gpu(Table(library.maas_cuda_table(), keep=library), versions)
