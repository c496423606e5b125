"""Every kind of segment on a device gives what numpy gives, bit for bit, and touches nothing else."""

from __future__ import annotations

import pytest

from maas_server.devices.table import Device
from tests.gpu.cases import CASTS, DEQUANTIZED, QUANTIZED, RUNS, Layout, mixed, named
from tests.gpu.moving import check

# Extents, and gaps in the source and the target, which leave rows aligned or do not.
ROWS = (((5, 0, 3),), ((6, 16, 0),))
NEST = ((3, 0, 1), (2, 5, 0), (2, 0, 0), (3, 7, 7))
EVEN = ((3, 0, 16), (2, 32, 0), (2, 0, 0), (3, 16, 16))
# Runs of every length, alone and in rows, and nests of loops.
BOXES = (*((run, loops) for run in RUNS for loops in ((), *ROWS)), (37, NEST), (48, EVEN))

pytestmark = pytest.mark.parametrize("aligned", [False, True], ids=["anywhere", "aligned"])


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_elements_are_copied(device: Device, aligned: bool, size: int) -> None:
    layout = Layout(seed=size, aligned=aligned)
    for run, loops in BOXES:
        layout.copy(size, run, loops)
    check(device, layout)


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_elements_are_filled_with_a_value(device: Device, aligned: bool, size: int) -> None:
    layout = Layout(seed=10 + size, aligned=aligned)
    for run, loops in BOXES:
        layout.fill(size, run, loops)
    check(device, layout)


@pytest.mark.parametrize("types", CASTS, ids=named)
def test_numbers_are_cast(device: Device, aligned: bool, types: tuple[int, int]) -> None:
    layout = Layout(seed=20, aligned=aligned)
    for run, loops in BOXES:
        layout.cast(types, run, loops)
    check(device, layout)


@pytest.mark.parametrize("types", [*DEQUANTIZED, *QUANTIZED], ids=named)
def test_numbers_are_converted_per_tensor(device: Device, aligned: bool, types: tuple[int, int]) -> None:
    layout = Layout(seed=30, aligned=aligned)
    for run, loops in BOXES:
        layout.convert(types, run, loops)
    check(device, layout)


@pytest.mark.parametrize("types", [*DEQUANTIZED, *QUANTIZED], ids=named)
def test_numbers_are_converted_along_the_axis_of_the_run(device: Device, aligned: bool, types: tuple[int, int]) -> None:
    layout = Layout(seed=40, aligned=aligned)
    for run, loops in BOXES:
        layout.convert(types, run, loops, axis=0)
    check(device, layout)


@pytest.mark.parametrize("types", [*DEQUANTIZED, *QUANTIZED], ids=named)
@pytest.mark.parametrize("axis", [1, 2, 3, 4])
def test_numbers_are_converted_along_the_axis_of_a_loop(
    device: Device, aligned: bool, types: tuple[int, int], axis: int
) -> None:
    layout = Layout(seed=50 + axis, aligned=aligned)
    for run in (1, 2, 31, 1000):
        layout.convert(types, run, NEST, axis=axis)
        layout.convert(types, 16 * run, EVEN, axis=axis)
    check(device, layout)


def test_the_largest_extents_are_on_any_loop(device: Device, aligned: bool) -> None:
    layout = Layout(seed=60, aligned=aligned)
    for loops in (((20000, 0, 1),), ((2, 0, 0), (9000, 1, 0)), ((1, 0, 0), (1, 0, 0), (1, 0, 0), (7001, 0, 0))):
        layout.copy(2, 3, loops)
        layout.convert(DEQUANTIZED[0], 1, loops, axis=len(loops))
    check(device, layout)


@pytest.mark.parametrize("seed", range(100, 104))
def test_segments_of_all_kinds_are_moved_by_one_launch(device: Device, aligned: bool, seed: int) -> None:
    check(device, mixed(seed, 200, aligned=aligned))


def test_thousands_of_small_segments_are_moved_by_one_launch(device: Device, aligned: bool) -> None:
    layout = Layout(seed=70, aligned=aligned)
    for index in range(3000):
        layout.copy((1, 2, 4, 8)[index % 4], index % 7 + 1)
    check(device, layout)


def test_one_large_segment_stands_between_small_ones(device: Device, aligned: bool) -> None:
    layout = Layout(seed=80, aligned=aligned)
    layout.fill(1, 1)
    layout.convert(DEQUANTIZED[1], 1 << 19)
    layout.convert(QUANTIZED[0], 3, axis=0)
    check(device, layout)
