"""NVIDIA's driver and what it lists, asked through its own library: no CUDA toolkit has to be there."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

from maas_server.devices.facts import Device, Driver
from maas_server.errors import error_text

LIBRARY = "libcuda.so.1"
# Of <cuda.h>.
_SUCCESS = 0
_NO_DEVICE = 100
_COMPUTE_MAJOR, _COMPUTE_MINOR = 75, 76


def find_driver(load_library: Callable[[str], Any], release: str) -> tuple[Driver, tuple[Device, ...]]:
    """Return the driver and its devices; `release` is its version in NVIDIA's own counting, where known."""
    try:
        library = load_library(LIBRARY)
    except OSError:
        return Driver(), ()
    version = ctypes.c_int()
    if code := library.cuDriverGetVersion(ctypes.byref(version)):
        return Driver(release=release, failure=_name(library, code)), ()
    devices: tuple[Device, ...] = ()
    failure = ""
    code = library.cuInit(0)
    if code not in (_SUCCESS, _NO_DEVICE):
        failure = _name(library, code)
    elif code == _SUCCESS:
        try:
            devices = _devices(library)
        except OSError as error:
            failure = error_text(error)
    return Driver(version.value, release, failure), devices


def find_release(version_file: Path) -> str:
    """Return "580.65.06" from what the kernel module says of itself; empty: it says nothing."""
    try:
        words = version_file.read_text(encoding="utf-8", errors="replace").splitlines()[0].split()
    except (OSError, IndexError):
        return ""
    return next((word for word in words if word[0].isdigit() and "." in word), "")


def _devices(library: Any) -> tuple[Device, ...]:
    count = ctypes.c_int()
    _check(library, library.cuDeviceGetCount(ctypes.byref(count)))
    return tuple(_device(library, index) for index in range(count.value))


def _device(library: Any, index: int) -> Device:
    handle = ctypes.c_int()
    _check(library, library.cuDeviceGet(ctypes.byref(handle), index))
    name = ctypes.create_string_buffer(256)
    _check(library, library.cuDeviceGetName(name, len(name), handle))
    total = ctypes.c_size_t()
    _check(library, library.cuDeviceTotalMem_v2(ctypes.byref(total), handle))
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(library, library.cuDeviceGetAttribute(ctypes.byref(major), _COMPUTE_MAJOR, handle))
    _check(library, library.cuDeviceGetAttribute(ctypes.byref(minor), _COMPUTE_MINOR, handle))
    return Device(name.value.decode("utf-8", "replace"), major.value, minor.value, total.value)


def _check(library: Any, code: int) -> None:
    if code:
        raise OSError(_name(library, code))


def _name(library: Any, code: int) -> str:
    name = ctypes.c_char_p()
    known = library.cuGetErrorName(code, ctypes.byref(name)) == _SUCCESS and name.value
    return f"{name.value.decode()} ({code})" if known and name.value else f"error {code}"
