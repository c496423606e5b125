"""What `maas doctor` says of the facts: what is right, what is a gap, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from maas_server.devices.facts import Device, Facts, Runtime

# The first releases of the driver for a CUDA; within it later minor versions run on the same ones.
_DRIVER_FOR_CUDA = {11: 450, 12: 525, 13: 580}
_INSTALL_AGAIN = "install maas-server again, for this Python and this machine"
_CPU_OR_GPU = 'pip install "maas-server[cpu]", or "maas-server[gpu]" for NVIDIA GPUs'


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    name: str
    status: Literal["ok", "note", "problem"]
    """note: this serves, and something is left unused. problem: what is installed cannot work."""
    found: str
    remedy: str = ""


def examine(facts: Facts) -> tuple[Finding, ...]:
    """Return the findings, in the order of the report."""
    return (
        Finding("maas-server", "ok", f"{facts.version}, Python {facts.python}"),
        *_core(facts),
        _runtime(facts),
        *_provider(facts),
        _driver(facts),
        *(_device(facts, index, device) for index, device in enumerate(facts.devices)),
        _kernels(facts),
        *_cupy(facts),
        *([Finding("runners", "ok", f"of other packages: {', '.join(facts.runners)}")] if facts.runners else []),
    )


def _core(facts: Facts) -> Iterator[Finding]:
    core = facts.core
    if core.failure:
        remedy = _INSTALL_AGAIN
        yield Finding("core", "problem", f"cannot be imported: {core.failure}", remedy)
        return
    yield Finding("core", "ok", f"compiled, uses {core.simd}")
    if core.no_front:
        remedy = "only for --front compiled: have what is named, and install maas-server from source again"
        yield Finding("compiled front", "note", core.no_front, remedy)
    else:
        yield Finding("compiled front", "ok", "in this build")


def _runtime(facts: Facts) -> Finding:
    runtime = facts.runtime
    names = sorted(runtime.distributions)
    if len(names) > 1:
        remedy = f"pip uninstall --yes {' '.join(names)}, then {_CPU_OR_GPU}"
        return Finding("onnxruntime", "problem", f"{' and '.join(names)} overwrite each other's files", remedy)
    if runtime.failure:
        again = f"pip install --force-reinstall --no-deps {names[0]}"
        return Finding("onnxruntime", "problem", f"{names[0]} cannot be imported: {runtime.failure}", again)
    if not runtime.version:
        status: Literal["note", "problem"] = "note" if facts.runners else "problem"
        return Finding("onnxruntime", status, "not installed: .onnx files cannot be served", _CPU_OR_GPU)
    if names and runtime.package and names[0] != runtime.package:
        again = f"pip install --force-reinstall --no-deps {names[0]}"
        found = f"{names[0]} is installed, but the files are those of {runtime.package}"
        return Finding("onnxruntime", "problem", found, again)
    package = names[0] if names else runtime.package or "onnxruntime"
    built = f" for CUDA {runtime.cuda}" if runtime.cuda else ""
    found = f"{package} {runtime.version}{built}: {', '.join(runtime.providers)}"
    if facts.devices and not runtime.cuda:
        remedy = f'to use the GPU: pip uninstall --yes {package}, then pip install "maas-server[gpu]"'
        return Finding("onnxruntime", "note", f"{found}; serves on the CPU", remedy)
    return Finding("onnxruntime", "ok", found)


def _provider(facts: Facts) -> Iterator[Finding]:
    """The libraries of CUDA and cuDNN, and whether the provider runs on the devices."""
    runtime = facts.runtime
    if not runtime.cuda:
        return
    remedy = 'pip install "maas-server[gpu]", which brings them'
    if runtime.missing:
        found = f"the CUDA provider cannot be loaded for want of {', '.join(runtime.missing)}"
        yield Finding("CUDA libraries", "problem", found, remedy)
    if runtime.missing_late:
        found = f"models that need them fail on the GPU for want of {', '.join(runtime.missing_late)}"
        yield Finding("CUDA libraries", "note", found, remedy)
    if not (runtime.missing or runtime.missing_late):
        yield Finding("CUDA libraries", "ok", "all that the CUDA provider needs")
    for device, why in sorted(runtime.refusals.items()):
        remedy = "see that the driver is new enough, and that the GPU is one which onnxruntime-gpu has code for"
        yield Finding("CUDA provider", "problem", f"does not run on device {device}: {why}", remedy)


def _driver(facts: Facts) -> Finding:
    driver, wanted = facts.driver, _wanted_cuda(facts)
    release = f"{driver.release}, " if driver.release else ""
    if driver.failure:
        status: Literal["note", "problem"] = "problem" if facts.runtime.cuda else "note"
        remedy = "see that nvidia-smi works here; after an update of the driver the machine has to start again"
        return Finding("NVIDIA driver", status, f"{release}does not start: {driver.failure}", remedy)
    if not driver.cuda:
        if facts.nvidia_hardware:
            remedy = f"{_newer(wanted)}; in a container also let it have the GPU (docker run --gpus all)"
            return Finding("NVIDIA driver", "note", "none, but an NVIDIA GPU is there: serves on the CPU", remedy)
        if facts.runtime.cuda:
            found = f"none: {_package(facts.runtime)} serves on the CPU"
            return Finding("NVIDIA driver", "note", found, f"to use a GPU {_newer(wanted)}")
        return Finding("NVIDIA driver", "ok", "none: serves on the CPU")
    found = f"{release}for CUDA {_cuda_text(driver.cuda)}"
    if driver.cuda // 1000 < wanted:
        status = "problem" if facts.runtime.cuda else "note"
        return Finding("NVIDIA driver", status, f"{found}: too old for CUDA {wanted}", _newer(wanted))
    if not facts.devices:
        remedy = "see CUDA_VISIBLE_DEVICES, and in a container docker run --gpus"
        return Finding("NVIDIA driver", "note", f"{found}, shows no device: serves on the CPU", remedy)
    return Finding("NVIDIA driver", "ok", found)


def _device(facts: Facts, index: int, device: Device) -> Finding:
    memory = _gib(device.total_bytes)
    if device.free_bytes is not None:
        memory += f", {_gib(device.free_bytes)} free"
    found = f"{device.name}, compute capability {device.major}.{device.minor}, {memory}"
    name = f"device {index}"
    if not facts.kernels.present:
        return Finding(name, "ok", found)
    if has_code(facts.kernels.architectures, device.major, device.minor):
        return Finding(name, "ok", f"{found}; this build has code for it")
    has = " ".join(facts.kernels.architectures)
    remedy = "install maas-server from source on this machine, with nvcc and MAAS_CUDA=on"
    return Finding(name, "note", f"{found}; this build has no code for it, only for {has}", remedy)


def _kernels(facts: Facts) -> Finding:
    kernels = facts.kernels
    name = "CUDA kernels"
    if kernels.failure:
        status: Literal["note", "problem"] = "note" if kernels.present else "problem"
        remedy = _INSTALL_AGAIN
        if kernels.present:
            remedy = "see the line of the NVIDIA driver"
        return Finding(name, status, f"maas_server._cuda does not work: {kernels.failure}", remedy)
    if kernels.present:
        found = f"in this build, CUDA {_cuda_text(kernels.cuda)}: {' '.join(kernels.architectures)}"
        return Finding(name, "ok", found)
    found = facts.core.no_cuda
    if not found:
        remedy = _INSTALL_AGAIN
        return Finding(name, "problem", "maas_server._cuda was built, and is gone", remedy)
    if not facts.devices:
        return Finding(name, "ok", found)
    remedy = "install maas-server from source, with nvcc and MAAS_CUDA=on"
    return Finding(name, "note", found, remedy)


def _cupy(facts: Facts) -> Iterator[Finding]:
    names = sorted(facts.cupy)
    if len(names) > 1:
        remedy = f'pip uninstall --yes {" ".join(names)}, then pip install "maas-server[gpu]"'
        yield Finding("cupy", "problem", f"{' and '.join(names)} overwrite each other's files", remedy)
    elif names:
        yield Finding("cupy", "ok", f"{names[0]} {facts.cupy[names[0]]}")


def has_code(architectures: Sequence[str], major: int, minor: int) -> bool:
    """Return whether a GPU of a compute capability can run what was compiled for `architectures`.

    Machine code, `sm_86`, runs on later minor versions of its major one, and `sm_90a` on its own alone; `compute_120`
    is compiled by the driver for whatever came later.
    """
    return any(_runs(architecture, major, minor) for architecture in architectures)


def _runs(architecture: str, major: int, minor: int) -> bool:
    kind, _, number = architecture.rpartition("_")
    digits = number.rstrip("af")
    code = (int(digits[:-1]), int(digits[-1]))
    if digits != number:
        return code == (major, minor)
    return code <= (major, minor) and (kind == "compute" or code[0] == major)


def _wanted_cuda(facts: Facts) -> int:
    """Return the major version of CUDA that the driver has to run for what is installed, or would be by `[gpu]`."""
    if facts.runtime.cuda:
        return int(facts.runtime.cuda.partition(".")[0])
    return facts.kernels.cuda // 1000 or max(_DRIVER_FOR_CUDA)


def _newer(cuda: int) -> str:
    release = _DRIVER_FOR_CUDA.get(cuda)
    return f"install an NVIDIA driver for CUDA {cuda}" + (f", {release} or newer" if release else "")


def _package(runtime: Runtime) -> str:
    return next(iter(runtime.distributions), runtime.package)


def _cuda_text(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"


def _gib(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB"
