"""ONNX Runtime as it is installed: whose files, for which CUDA, and what its CUDA provider lacks."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from maas_server.devices.driver import LIBRARY as DRIVER_LIBRARY
from maas_server.devices.elf import needed_libraries
from maas_server.devices.facts import Runtime
from maas_server.errors import error_text

CUDA_PROVIDER = "CUDAExecutionProvider"
_PROVIDER_FILE = "capi/libonnxruntime_providers_cuda.so"

# What the provider opens itself when a model needs it, by the CUDA that it was built for. Builds differ in whether
# they name these to the loader as well.
_OPENED_LATE: Mapping[str, tuple[str, ...]] = {
    "12": ("libcudnn.so.9", "libcufft.so.11", "libnvrtc.so.12"),
    "13": ("libcudnn.so.9", "libcufft.so.12", "libnvrtc.so.13"),
}

# An ONNX model of one node, y = Neg(x) with one FP32: a copy would not show that the GPU runs the provider's code.
TINY_MODEL = (
    b'\x08\x08:2\n\x0b\n\x01x\x12\x01y"\x03Neg\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)
_ONLY_FATAL = 4


def find_runtime(
    distributions: Mapping[str, str],
    import_module: Callable[[str], Any],
    load_library: Callable[[str], Any],
    devices: int,
) -> Runtime:
    """Return what there is of ONNX Runtime; with `devices` GPUs, its CUDA provider has to run a model on each."""
    try:
        # The package warns of what is told here in full.
        with warnings.catch_warnings(action="ignore"):
            module = import_module("onnxruntime")
    except Exception as error:
        return Runtime(distributions, failure=error_text(error) if distributions else "")
    cuda = str(getattr(module, "cuda_version", "") or "")
    missing: tuple[str, ...] = ()
    missing_late: tuple[str, ...] = ()
    refusals: dict[int, str] = {}
    if cuda:
        _preload(module)
        missing, missing_late = _missing(Path(module.__file__).parent / _PROVIDER_FILE, cuda, load_library)
        if not missing:
            answers = {device: _refusal(module, device) for device in range(devices)}
            refusals = {device: why for device, why in answers.items() if why}
    return Runtime(
        distributions,
        version=str(module.__version__),
        package=str(getattr(module, "package_name", "")),
        cuda=cuda,
        providers=tuple(module.get_available_providers()),
        missing=missing,
        missing_late=missing_late,
        refusals=refusals,
    )


def _preload(module: Any) -> None:
    """Load the libraries of NVIDIA's packages, which lie where the loader does not look."""
    preload = getattr(module, "preload_dlls", None)
    if preload is not None:
        # It prints what it misses, which is found again; and what it raises says no more.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
            preload()


def _missing(provider: Path, cuda: str, load_library: Callable[[str], Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return which libraries cannot be had: to load the provider, and later for some models."""
    try:
        wanted = needed_libraries(provider)
    except (OSError, ValueError):
        return (provider.name,), ()
    # Without a driver there is no GPU to use either, and that is told as such.
    absent = tuple(name for name in wanted if name != DRIVER_LIBRARY and not _can_load(name, load_library))
    late = _OPENED_LATE.get(cuda.partition(".")[0], ())
    return absent, tuple(name for name in late if name not in wanted and not _can_load(name, load_library))


def _can_load(name: str, load_library: Callable[[str], Any]) -> bool:
    try:
        load_library(name)
    except OSError:
        return False
    return True


def _refusal(module: Any, device: int) -> str:
    """Run a model on a GPU; return why it did not, or nothing."""
    import numpy as np

    try:
        # Else it writes to standard error what comes as an exception, or as another provider.
        module.set_default_logger_severity(_ONLY_FATAL)
        options = module.SessionOptions()
        options.log_severity_level = _ONLY_FATAL
        session = module.InferenceSession(TINY_MODEL, options, providers=[(CUDA_PROVIDER, {"device_id": str(device)})])
        got = session.get_providers()[0]
        if got != CUDA_PROVIDER:
            return f"the session fell back to {got}"
        session.run(None, {"x": np.ones(1, np.float32)})
    except Exception as error:
        return error_text(error)
    return ""
