"""The extension `_cuda`: what it says of itself, and of a machine without a driver."""

from __future__ import annotations

import ast
import ctypes
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from maas_server import _core
from maas_server.devices import elf
from maas_server.devices.layout import DeviceCode, MaasDeviceApi, MaasDeviceInfo
from maas_server.devices.table import Table


@pytest.fixture(scope="module")
def api(cuda: ModuleType) -> MaasDeviceApi:
    return MaasDeviceApi.from_address(cuda.table())


def message(api: MaasDeviceApi) -> str:
    return ctypes.string_at(api.message()).decode()


def test_a_build_without_it_says_why_and_one_with_it_does_not() -> None:
    there = importlib.util.find_spec("maas_server._cuda") is not None
    assert there == (_core.NO_CUDA == "")


def test_the_stub_declares_exactly_its_functions(cuda: ModuleType, root: Path) -> None:
    body = ast.parse((root / "maas_server" / "_cuda.pyi").read_text()).body
    declared = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    assert declared == {name for name in vars(cuda) if not name.startswith("_")}


def test_the_table_is_that_of_the_header(api: MaasDeviceApi, root: Path) -> None:
    header = (root / "csrc/maas/gpu/device_api.h").read_text()
    version = re.search(r"#define MAAS_DEVICE_API_VERSION (\d+)", header)
    table = re.search(r"typedef struct MaasDeviceApi {.*?} MaasDeviceApi;", header, re.DOTALL)
    assert version is not None
    assert table is not None
    functions = re.findall(r"\(\*(\w+)\)\(", table[0])
    assert api.version == int(version[1])
    assert api.size == ctypes.sizeof(MaasDeviceApi) == 8 + len(functions) * ctypes.sizeof(ctypes.c_void_p)
    for name in functions:
        assert ctypes.cast(getattr(api, name), ctypes.c_void_p).value, name


def test_the_table_stays_where_it_is(cuda: ModuleType) -> None:
    assert cuda.table() == cuda.table()
    assert Table(cuda.table(), keep=cuda).count() == cuda.device_count()


def test_it_is_compiled_for_devices_of_today_and_of_later_days(cuda: ModuleType) -> None:
    *machine_code, later = cuda.architectures()
    assert machine_code
    assert all(re.fullmatch(r"sm_\d+", name) for name in machine_code)
    assert later == machine_code[-1].replace("sm_", "compute_")


def test_it_brings_its_runtime_and_needs_no_driver_to_be_loaded(cuda: ModuleType) -> None:
    assert cuda.__file__ is not None
    assert not [name for name in elf.needed_libraries(Path(cuda.__file__)) if name.startswith(("libcuda", "libnv"))]
    assert cuda.runtime_version() >= 12000


def test_it_keeps_cudas_functions_to_itself(cuda: ModuleType) -> None:
    library = ctypes.CDLL(cuda.__file__)
    assert not hasattr(library, "cudaMalloc")
    assert not hasattr(library, "cudaGetDeviceCount")


def test_it_is_imported_by_a_process_of_its_own_without_the_core(cuda: ModuleType, root: Path) -> None:
    program = "from maas_server import _cuda; print(_cuda.device_count())"
    run = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, str(cuda.device_count())), run.stderr


def test_without_a_driver_there_are_no_devices(driverless: ModuleType) -> None:
    assert driverless.device_count() == 0
    assert driverless.devices() == []
    assert driverless.driver_version() == 0


def test_without_a_driver_counting_is_no_failure(driverless: ModuleType, api: MaasDeviceApi) -> None:
    count = ctypes.c_int32(-1)
    assert api.count(count) == DeviceCode.OK
    assert count.value == 0


def test_without_a_driver_whatever_needs_a_device_fails_and_says_why(
    driverless: ModuleType, api: MaasDeviceApi
) -> None:
    address, milliseconds = ctypes.c_void_p(), ctypes.c_float()
    calls = {
        "info": (ctypes.byref(MaasDeviceInfo()),),
        "allocate_pinned": (4096, ctypes.byref(address)),
        "free_pinned": (None,),
        "allocate": (4096, ctypes.byref(address)),
        "release": (None,),
        "make_stream": (0, ctypes.byref(address)),
        "free_stream": (None,),
        "make_event": (1, ctypes.byref(address)),
        "free_event": (None,),
        "record": (None, None),
        "wait": (None, None),
        "query": (None,),
        "synchronize": (None,),
        "elapsed": (None, None, ctypes.byref(milliseconds)),
        "upload": (None, None, None, 0),
        "download": (None, None, None, 0),
        "copy": (None, None, None, 0),
        "clear": (None, None, 0),
        "move": (None, None, 0, 0, None, None, None),
    }
    # native_stream only reads the handle.
    told = {"version", "size", "count", "message", "native_stream"}
    assert calls.keys() | told == {name for name, *_ in MaasDeviceApi._fields_}
    texts = set()
    for name, arguments in calls.items():
        assert getattr(api, name)(0, *arguments) == DeviceCode.FAILED, name
        texts.add(message(api))
        assert "there is no CUDA driver" in message(api), name
    assert len(texts) == len(calls), "each says what was tried"
    assert address.value is None


def test_a_device_that_cannot_be_is_a_fault_of_the_callers(cuda: ModuleType, api: MaasDeviceApi) -> None:
    for device in (-1, 1000):
        address = ctypes.c_void_p()
        assert api.allocate(device, 4096, ctypes.byref(address)) == DeviceCode.INVALID
        assert message(api).startswith("allocating memory: ")
        assert address.value is None
