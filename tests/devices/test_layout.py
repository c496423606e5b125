"""The structures of ctypes are those of the headers, field by field."""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path
from typing import Any

from maas_server.devices import layout
from maas_server.devices.layout import (
    DeviceCode,
    MaasDeviceApi,
    MaasDeviceInfo,
    MaasSegment,
    MaasSegmentLoop,
    SegmentKind,
)
from tests.compilers import c_compiler

ROOT = Path(__file__).resolve().parents[2]
HEADERS = ROOT / "csrc" / "maas" / "gpu"
STRUCTURES: tuple[type[ctypes.Structure], ...] = (MaasDeviceApi, MaasDeviceInfo, MaasSegment, MaasSegmentLoop)

# What a parameter or result of a function is for ctypes.
TYPES = {
    "int": ctypes.c_int,
    "int32_t": ctypes.c_int32,
    "uint32_t": ctypes.c_uint32,
    "size_t": ctypes.c_size_t,
    "MaasStreamHandle": ctypes.c_void_p,
    "MaasEventHandle": ctypes.c_void_p,
    "void*": ctypes.c_void_p,
    "const void*": ctypes.c_void_p,
    "const char*": ctypes.c_void_p,
    "const struct MaasSegment*": ctypes.c_void_p,
    "void**": ctypes.POINTER(ctypes.c_void_p),
    "MaasStreamHandle*": ctypes.POINTER(ctypes.c_void_p),
    "MaasEventHandle*": ctypes.POINTER(ctypes.c_void_p),
    "int32_t*": ctypes.POINTER(ctypes.c_int32),
    "uint64_t*": ctypes.POINTER(ctypes.c_uint64),
    "float*": ctypes.POINTER(ctypes.c_float),
    "MaasDeviceInfo*": ctypes.POINTER(MaasDeviceInfo),
}


def header(name: str) -> str:
    """A header without its comments."""
    return re.sub(r"/\*.*?\*/", "", (HEADERS / name).read_text(), flags=re.DOTALL)


def enumerators(name: str, enum: str) -> dict[str, int]:
    body = re.search(rf"enum {enum} \{{(.*?)\}}", header(name), re.DOTALL)
    assert body
    return {key: int(value) for key, value in re.findall(r"MAAS_(\w+) = (\d+)", body[1])}


def functions() -> list[tuple[str, list[Any]]]:
    """The functions of the table in their order, each with its result and parameters."""
    body = re.search(r"typedef struct MaasDeviceApi \{(.*?)\} MaasDeviceApi;", header("device_api.h"), re.DOTALL)
    assert body
    found = []
    for result, name, parameters in re.findall(r"([\w \*]+?)\s*\(\*(\w+)\)\((.*?)\);", body[1], re.DOTALL):
        names = [] if parameters.strip() == "void" else [" ".join(each.split()) for each in parameters.split(",")]
        kinds = [re.sub(r"\s*\w+$", "", each) for each in names]
        found.append((name, [TYPES[kind] for kind in (result.strip(), *kinds)]))
    return found


def test_sizes_and_offsets_are_those_of_the_compiler(tmp_path: Path) -> None:
    compiler = c_compiler()
    expressions, found = [], []
    for structure in STRUCTURES:
        expressions.append(f"sizeof({structure.__name__})")
        found.append(ctypes.sizeof(structure))
        for field in structure._fields_:
            expressions.append(f"offsetof({structure.__name__}, {field[0]})")
            found.append(getattr(structure, field[0]).offset)
    lines = "".join(f'  printf("%zu\\n", {expression});\n' for expression in expressions)
    includes = '#include <stdio.h>\n#include "maas/gpu/device_api.h"\n#include "maas/gpu/segment.h"\n'
    source, program = tmp_path / "layout.c", tmp_path / "layout"
    source.write_text(f"{includes}int main(void) {{\n{lines}  return 0;\n}}\n")
    subprocess.run([compiler, "-Wall", "-Werror", f"-I{ROOT / 'csrc'}", str(source), "-o", str(program)], check=True)
    printed = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout.split()

    wanted = dict(zip(expressions, map(int, printed), strict=True))
    assert dict(zip(expressions, found, strict=True)) == wanted


def test_functions_have_the_order_and_the_types_of_the_header() -> None:
    own = [(name, [kind._restype_, *kind._argtypes_]) for name, kind in MaasDeviceApi._fields_[2:]]
    assert own == functions()
    assert len(own) > 20


def test_codes_kinds_and_constants_are_those_of_the_headers() -> None:
    assert enumerators("device_api.h", "MaasDeviceCode") == {f"DEVICE_{code.name}": code.value for code in DeviceCode}
    assert enumerators("segment.h", "MaasSegmentKind") == {kind.name: kind.value for kind in SegmentKind}
    text = header("device_api.h") + header("segment.h")
    defined = {name: int(value) for name, value in re.findall(r"#define MAAS_(\w+) (\d+)$", text, re.MULTILINE)}
    assert defined == {
        "DEVICE_API_VERSION": layout.API_VERSION,
        "SEGMENT_LOOPS": layout.SEGMENT_LOOPS,
        "TILE_ELEMENTS": layout.TILE_ELEMENTS,
    }
