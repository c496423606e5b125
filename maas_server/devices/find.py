"""Finds what this machine and environment have for serving. All that it asks can be replaced."""

from __future__ import annotations

import ctypes
import dataclasses
import importlib
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import maas_server
from maas_server.devices.driver import find_driver, find_release
from maas_server.devices.facts import Core, Device, Facts, Kernels
from maas_server.devices.runtime import find_runtime
from maas_server.errors import error_text

_NVIDIA = "0x10de"
# PCI's class of display controllers; the GPU's own audio device has another.
_DISPLAY = "0x03"


def owners_of(folder: str) -> Mapping[str, str]:
    """Return the installed distributions that bring the package `folder` itself, with their versions."""
    owners = {}
    for distribution in metadata.distributions():
        if any(file.parts == (folder, "__init__.py") for file in distribution.files or ()):
            owners[distribution.name] = distribution.version
    return owners


@dataclass(frozen=True, slots=True)
class Machine:
    """Where facts come from; as it stands, this process and its machine."""

    import_module: Callable[[str], Any] = importlib.import_module
    load_library: Callable[[str], Any] = ctypes.CDLL
    owners: Callable[[str], Mapping[str, str]] = owners_of
    driver_file: Path = Path("/proc/driver/nvidia/version")
    pci: Path = Path("/sys/bus/pci/devices")


def find(machine: Machine, *, runners: tuple[str, ...] = ()) -> Facts:
    """Return what there is; `runners`: those that other packages register."""
    driver, devices = find_driver(machine.load_library, find_release(machine.driver_file))
    kernels, devices = _kernels(machine, devices)
    return Facts(
        version=maas_server.__version__,
        python=platform.python_version(),
        core=_core(machine),
        runtime=find_runtime(machine.owners("onnxruntime"), machine.import_module, machine.load_library, len(devices)),
        kernels=kernels,
        driver=driver,
        devices=devices,
        nvidia_hardware=_nvidia_hardware(machine.pci),
        cupy=machine.owners("cupy"),
        runners=runners,
    )


def _core(machine: Machine) -> Core:
    try:
        core = machine.import_module("maas_server._core")
    except ImportError as error:
        return Core(failure=error_text(error))
    return Core(core.simd(), core.NO_COMPILED_FRONT, core.NO_CUDA)


def _kernels(machine: Machine, devices: tuple[Device, ...]) -> tuple[Kernels, tuple[Device, ...]]:
    """Return the extension, and the devices with what it knows of them."""
    try:
        module = machine.import_module("maas_server._cuda")
    except ModuleNotFoundError:
        return Kernels(), devices
    except ImportError as error:
        return Kernels(failure=error_text(error)), devices
    architectures = tuple(module.architectures())
    cuda = int(module.runtime_version())
    try:
        free = [int(device["free_bytes"]) for device in module.devices()]
    except Exception as error:
        return Kernels(True, architectures, cuda, error_text(error)), devices
    if len(free) == len(devices):
        devices = tuple(
            dataclasses.replace(device, free_bytes=bytes_) for device, bytes_ in zip(devices, free, strict=True)
        )
    return Kernels(True, architectures, cuda), devices


def _nvidia_hardware(pci: Path) -> bool:
    return any(
        _read(device / "vendor") == _NVIDIA and _read(device / "class").startswith(_DISPLAY) for device in pci.glob("*")
    )


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
