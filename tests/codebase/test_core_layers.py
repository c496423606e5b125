"""csrc/maas: serving on top, base at the bottom, no Python anywhere, every part with its test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

LAYERS: dict[str, set[str]] = {
    "base": set(),
    "wire": {"base"},
    "quant": {"base"},
    "batching": {"base"},
    "model": {"base", "wire"},
    "pack": {"base", "quant"},
    "exec": {"base", "batching", "model", "pack", "wire"},
    "gpu": {"base", "batching", "exec", "model", "pack", "quant", "wire"},
    "serving": {"base", "batching", "exec", "model", "wire"},
    # The compiled front: HTTP/2 knows no gRPC, and gRPC no tensor.
    "net": {"base"},
    "http2": {"base", "net"},
    "rpc": {"base", "http2", "net"},
    "front": {"base", "batching", "exec", "http2", "model", "net", "rpc", "serving", "wire"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
FOREIGN = re.compile(r"^(pybind11/|Python\.h$|numpy/|bindings/|simulation/|(.*/)?pyconfig\.h$)")

# Instruction-set variants of one function are tested through the front that chooses among them.
VARIANTS = re.compile(r"_(portable|avx2|avx512|neon)$")
# Other sources without a test of their own, each with its reason.
UNTESTED: dict[str, str] = {"csrc/maas/http2/nghttp2_stderr.cc": "a variable that nobody uses"}


def core_files(root: Path, *suffixes: str) -> list[Path]:
    files = sorted(path for path in (root / "csrc" / "maas").rglob("*") if path.suffix in suffixes)
    assert files
    return files


def wrong_includes_of_simulation(source: str) -> list[str]:
    """The includes of a file of csrc/simulation that reach for more than what decides."""
    visible = ("base", "batching")
    return [each for each in INCLUDE.findall(source) if each.startswith("maas/") and each.split("/")[1] not in visible]


def wrong_includes(source: str, layer: str) -> list[str]:
    """The includes of one file that its layer may not have."""
    visible = LAYERS[layer] | {layer}
    wrong = []
    for target in INCLUDE.findall(source):
        upward = target.startswith("maas/") and target.split("/")[1] not in visible
        if upward or FOREIGN.match(target):
            wrong.append(target)
    return wrong


def test_includes_go_down_the_layers_and_never_to_python(root: Path) -> None:
    wrong = {
        str(path.relative_to(root)): bad
        for path in core_files(root, ".h", ".cc", ".cu")
        if (bad := wrong_includes(path.read_text(), path.relative_to(root).parts[2]))
    }
    assert not wrong


def test_newcomers_are_told_of_the_layers_as_they_are(root: Path) -> None:
    page = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]*) \| ?([^|]*) \|$", page, re.MULTILINE)
    assert {room: set(re.findall(r"`(\w+)`", used)) for room, _, used in rows} == LAYERS
    begins = [f"csrc/maas/{room}/{header}" for room, headers, _ in rows for header in re.findall(r"`([^`]+)`", headers)]
    assert not [header for header in begins if not (root / header).exists()]


def test_the_simulation_drives_the_scheduler_alone_and_each_part_of_it_has_a_test(root: Path) -> None:
    sources = sorted((root / "csrc/simulation").glob("*.cc"))
    assert sources
    assert not [bad for path in sources for bad in wrong_includes_of_simulation(path.read_text())]
    assert wrong_includes_of_simulation('#include "maas/serving/engine.h"')
    # simulate.cc is the program, tested by tests/benchmarks.
    parts = [path for path in sources if not path.stem.endswith("_test") and path.name != "simulate.cc"]
    assert not [path.name for path in parts if not path.with_name(f"{path.stem}_test.cc").exists()]


@pytest.mark.parametrize(
    ("layer", "include"),
    [
        ("base", '#include "maas/wire/reader.h"'),
        ("batching", '#  include "maas/serving/engine.h"'),
        ("wire", "#include <pybind11/pybind11.h>"),
        ("serving", "#include <Python.h>"),
        ("batching", '#include "simulation/trace.h"'),
    ],
)
def test_the_check_finds_an_include_against_the_layers(layer: str, include: str) -> None:
    assert wrong_includes(include, layer)


def test_every_source_of_the_core_has_a_sibling_test(root: Path) -> None:
    sources = [path for path in core_files(root, ".cc") if not re.search(r"_(test|bench|fuzz)$", path.stem)]
    untested = {
        str(path.relative_to(root))
        for path in sources
        if not VARIANTS.search(path.stem) and not path.with_name(f"{path.stem}_test.cc").exists()
    }
    assert untested == UNTESTED.keys()


def test_headers_are_guarded_by_pragma_once(root: Path) -> None:
    bare = [str(path.relative_to(root)) for path in core_files(root, ".h") if "#pragma once" not in path.read_text()]
    assert not bare


def test_the_core_reads_no_environment(root: Path) -> None:
    readers = [
        str(path.relative_to(root)) for path in core_files(root, ".h", ".cc", ".cu") if "getenv" in path.read_text()
    ]
    # Tests are told by the environment where the golden cases lie.
    assert [name for name in readers if not name.endswith("_test.cc") and "golden" not in name] == []
