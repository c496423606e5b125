"""Reading what a shared library needs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from maas_server import _core
from maas_server.devices.elf import needed_libraries
from tests.devices.fake_machine import elf_file


def test_names_are_read_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "a.so").write_bytes(elf_file(["libone.so.1", "libtwo.so"]))
    assert needed_libraries(tmp_path / "a.so") == ("libone.so.1", "libtwo.so")


@pytest.mark.skipif(sys.platform != "linux", reason="shared libraries are ELF files on Linux")
def test_a_real_library_needs_that_of_its_language() -> None:
    assert "libc.so.6" in needed_libraries(Path(_core.__file__))


def test_a_library_may_need_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.so").write_bytes(elf_file([]))
    assert needed_libraries(tmp_path / "a.so") == ()


@pytest.mark.parametrize("length", [7, 40, 80, 150, 200])
def test_a_file_that_is_cut_short_is_wrong(length: int, tmp_path: Path) -> None:
    (tmp_path / "a.so").write_bytes(elf_file(["libone.so.1"])[:length])
    with pytest.raises(ValueError, match=r"a\.so|dynamic"):
        needed_libraries(tmp_path / "a.so")


def test_another_format_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "a.so").write_bytes(b"MZ" + bytes(100))
    with pytest.raises(ValueError, match="no 64-bit little-endian ELF"):
        needed_libraries(tmp_path / "a.so")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        needed_libraries(tmp_path / "a.so")
