"""What a device cannot give it refuses, and goes on working."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.gpu.segments import Loop, SegmentList
from benchmarks.gpu.staged import get
from maas_server.devices.layout import DeviceCode
from maas_server.devices.table import Device, DeviceError, DeviceMemory, Table
from tests.gpu.cases import mixed
from tests.gpu.moving import check, hold


def code_of(call: Callable[[], None]) -> DeviceCode:
    try:
        call()
    except DeviceError as error:
        return error.code
    return DeviceCode.OK


def test_more_memory_than_there_is_is_refused_and_the_device_goes_on(device: Device) -> None:
    for _ in range(3):
        with pytest.raises(DeviceError) as refused:
            device.memory(device.info().total_bytes + (1 << 30))
        assert refused.value.code == DeviceCode.NO_MEMORY
        assert refused.value.message
        check(device, mixed(5, 20))


def test_memory_that_is_all_taken_can_be_had_again_once_it_is_free(device: Device) -> None:
    block = device.info().total_bytes // 8
    taken: list[DeviceMemory] = []

    def take() -> None:
        taken.append(device.memory(block))

    while (code := code_of(take)) == DeviceCode.OK:
        assert len(taken) <= 8
    assert code == DeviceCode.NO_MEMORY
    for memory in taken:
        memory.close()
    again = [device.memory(block) for _ in taken]
    assert len(again) == len(taken)
    for memory in again:
        memory.close()
    check(device, mixed(6, 20))


def test_memory_is_aligned_and_as_large_as_asked_for(device: Device) -> None:
    stream = device.stream()
    for size in (1, 255, 256, 4097, (3 << 20) + 1):
        data = np.arange(size, dtype=np.uint32).astype(np.uint8)
        memory, pinned = hold(device, stream, data), device.pinned(size)
        assert memory.address % 256 == 0
        assert pinned.address % 256 == 0
        assert np.array_equal(get(device, stream, memory.address, size), data)


def test_free_memory_falls_with_what_is_taken(device: Device) -> None:
    before = device.info().free_bytes
    memory = device.memory(64 << 20)
    during = device.info().free_bytes
    memory.close()
    # Others may share the device.
    assert during < before
    assert device.info().free_bytes > during


def test_a_device_says_what_it_is(table: Table) -> None:
    devices = table.devices()
    assert len(devices) == table.count() >= 1
    for device in devices:
        info = device.info()
        assert info.name
        assert info.bus_id
        assert info.compute >= (1, 0)
        assert info.multiprocessors > 0
        assert 0 < info.free_bytes <= info.total_bytes


def test_a_device_that_is_not_there_is_a_fault_of_the_caller(table: Table) -> None:
    device = table.device(table.count())
    with pytest.raises(DeviceError) as refused:
        device.info()
    assert refused.value.code == DeviceCode.INVALID
    with table.device(0) as first:
        check(first, mixed(7, 20))


def test_moving_nothing_is_a_fault_of_the_caller_or_does_nothing(device: Device) -> None:
    stream = device.stream()
    memory = hold(device, stream, np.full(4096, 3, np.uint8))
    at = memory.address
    assert code_of(lambda: stream.move(at, 0, 0, at, at, at)) in {DeviceCode.OK, DeviceCode.INVALID}
    assert (get(device, stream, memory.address, 4096) == 3).all()
    check(device, mixed(8, 20))


def test_offsets_beyond_4_gib_are_reached(table: Table) -> None:
    far = (5 << 30) + 4096
    with table.device(0) as device:
        if device.info().free_bytes < far + (1 << 30):
            pytest.skip("the device has less memory free than offsets of 5 GiB take")
        stream, memory = device.stream(), device.memory(far + 65536)
        stream.clear(memory.address, 65536)
        stream.clear(memory.address + far, 65536)
        segments = SegmentList()
        # Rows that lie 2 GiB apart, the last beyond what 32 bits reach; and one that begins there.
        segments.fill(0, 4, 0x01020304, 16, [Loop(3, 0, 1 << 29)])
        segments.fill(far, 1, 9, 100)
        table_at = hold(device, stream, np.frombuffer(segments.table(), np.uint8)).address
        params = hold(device, stream, np.frombuffer(segments.params(), np.uint8)).address
        stream.move(table_at, len(segments), segments.tiles, params, memory.address, memory.address)

        wanted = np.tile(np.array([4, 3, 2, 1], np.uint8), 16)
        for row in range(3):
            assert np.array_equal(get(device, stream, memory.address + row * (2 << 30), 64), wanted)
        found = get(device, stream, memory.address + far, 200)
        assert found.tolist() == [9] * 100 + [0] * 100
