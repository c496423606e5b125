"""How much memory there is, as the system and control groups of both versions tell it."""

from __future__ import annotations

from pathlib import Path

import pytest

from maas_server.models.memory import PeakMemory, available_bytes

MIB = 1 << 20


@pytest.fixture
def meminfo(tmp_path: Path) -> Path:
    path = tmp_path / "meminfo"
    path.write_text(f"MemTotal: {64 * 1024} kB\nMemAvailable: {32 * 1024} kB\n")
    return path


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def test_a_peak_that_cannot_start_again_is_not_believed(tmp_path: Path) -> None:
    proc = write(tmp_path / "proc", status="VmHWM:   9000 kB\nVmRSS:   1000 kB\n")
    (proc / "clear_refs").mkdir()
    memory = PeakMemory(proc)
    memory.reset()
    assert memory.growth() == 0
    write(proc, status="VmHWM:   9000 kB\nVmRSS:   3000 kB\n")
    assert memory.growth() == 2000 * 1024


def test_a_peak_that_starts_again_is(tmp_path: Path) -> None:
    proc = write(tmp_path / "proc", status="VmHWM:   9000 kB\nVmRSS:   1000 kB\n")
    memory = PeakMemory(proc)
    memory.reset()
    write(proc, status="VmHWM:   4000 kB\nVmRSS:   1000 kB\n")
    assert memory.growth() == 3000 * 1024


def test_without_a_control_group_it_is_what_the_system_has(meminfo: Path, tmp_path: Path) -> None:
    assert available_bytes(meminfo, tmp_path / "none") == 32 * MIB


def test_an_unlimited_group_changes_nothing(meminfo: Path, tmp_path: Path) -> None:
    group = write(tmp_path / "group", memory__max="max\n", memory__current=f"{MIB}\n")
    assert available_bytes(meminfo, group) == 32 * MIB


def test_a_limited_group_leaves_what_is_not_taken_and_what_is_only_cached(meminfo: Path, tmp_path: Path) -> None:
    group = write(
        tmp_path / "group",
        memory__max=f"{16 * MIB}\n",
        memory__current=f"{10 * MIB}\n",
        memory__stat=f"anon 5\ninactive_file {2 * MIB}\n",
    )
    assert available_bytes(meminfo, group) == 8 * MIB


def test_a_group_of_the_first_version_counts_as_well(meminfo: Path, tmp_path: Path) -> None:
    write(
        tmp_path / "group" / "memory",
        memory__limit_in_bytes=f"{16 * MIB}\n",
        memory__usage_in_bytes=f"{10 * MIB}\n",
        memory__stat=f"total_inactive_file {MIB}\n",
    )
    assert available_bytes(meminfo, tmp_path / "group") == 7 * MIB


def test_a_full_group_has_nothing_left(meminfo: Path, tmp_path: Path) -> None:
    group = write(tmp_path / "group", memory__max=f"{MIB}\n", memory__current=f"{2 * MIB}\n")
    assert available_bytes(meminfo, group) == 0


def test_a_system_that_does_not_tell_has_a_little(tmp_path: Path) -> None:
    assert available_bytes(tmp_path / "none", tmp_path / "none") == 1 << 30
