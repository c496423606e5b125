"""The objects over a table: what they call, what they free, and how they fail."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import numpy as np
import pytest

from maas_server.devices.layout import DeviceCode, MaasDeviceApi
from maas_server.devices.table import Device, DeviceError, Table
from tests.devices.callback_table import CallbackTable

SIZE = 1000


class Moves:
    """Stands for the kernels: remembers what it was asked to move."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def __call__(self, *arguments: int) -> None:
        self.seen.append(arguments)


@pytest.fixture
def moves() -> Moves:
    return Moves()


@pytest.fixture
def fake(moves: Moves) -> CallbackTable:
    return CallbackTable(moves, devices=2, memory_bytes=1 << 20)


@pytest.fixture
def device(fake: CallbackTable) -> Iterator[Device]:
    with Table(fake.address).device(1) as device:
        yield device
    assert fake.open == 0, "closing the device frees what was made through it"


def test_devices_are_counted_and_describe_themselves(fake: CallbackTable) -> None:
    table = Table(fake.address)
    assert [device.index for device in table.devices()] == [0, 1]
    info = table.device(1).info()
    assert (info.name, info.bus_id, info.compute) == ("Memory 1", "0000:00:00.0", (9, 0))
    assert info.free_bytes == info.total_bytes == 1 << 20


def test_bytes_go_up_across_and_down(device: Device) -> None:
    stream, done = device.stream(), device.event()
    staging, back = device.pinned(SIZE), device.pinned(SIZE)
    first, second = device.memory(SIZE), device.memory(SIZE)
    staging.array()[:] = np.arange(SIZE, dtype=np.uint32).astype(np.uint8)
    stream.upload(first.address, staging.address, SIZE)
    stream.copy(second.address, first.address, SIZE)
    stream.clear(second.address + 10, 20)
    stream.download(back.address, second.address, SIZE)
    stream.record(done)
    assert not back.array().any(), "nothing was waited for"
    done.synchronize()

    wanted = staging.array().copy()
    wanted[10:30] = 0
    assert np.array_equal(back.array(), wanted)


def test_every_call_names_the_device_and_what_it_is_about(device: Device, fake: CallbackTable, moves: Moves) -> None:
    stream = device.stream(priority=-3)
    event, earlier = device.event(timed=True), device.event()
    stream.record(earlier)
    stream.record(event)
    stream.wait(event)
    stream.move(1, 2, 3, 4, 5, 6)
    assert stream.native == stream.handle
    stream.record(event)
    event.synchronize()
    assert event.ready()
    assert event.milliseconds_since(earlier) >= 0

    s, e = stream.handle, event.handle
    plain = [(name, arguments) for name, arguments in fake.calls if name in {"record", "wait", "move", "synchronize"}]
    assert plain == [
        ("record", (1, earlier.handle, s)),
        ("record", (1, e, s)),
        ("wait", (1, s, e)),
        ("move", (1, s, 1, 2, 3, 4, 5, 6)),
        ("record", (1, e, s)),
        ("synchronize", (1, e)),
    ]
    made = {name: arguments[:2] for name, arguments in fake.calls if name.startswith("make_")}
    assert made == {"make_stream": (1, -3), "make_event": (1, 0)}
    assert [arguments[1] for name, arguments in fake.calls if name == "make_event"] == [1, 0]
    assert moves.seen == [(1, 2, 3, 4, 5, 6)]


def test_an_event_that_has_not_come_to_pass_is_not_ready(device: Device) -> None:
    stream, event = device.stream(), device.event()
    assert event.ready()
    stream.record(event)
    assert [event.ready(), event.ready()] == [False, True]


def test_a_stream_waits_for_another(device: Device) -> None:
    first, second = device.stream(), device.stream()
    between, done = device.event(), device.event()
    memory, back = device.memory(SIZE), device.pinned(SIZE)
    staging = device.pinned(SIZE)
    staging.array()[:] = 9
    first.upload(memory.address, staging.address, SIZE)
    first.record(between)
    second.wait(between)
    second.download(back.address, memory.address, SIZE)
    second.record(done)
    done.synchronize()
    assert (back.array() == 9).all()


@pytest.mark.parametrize("code", [code for code in DeviceCode if code != DeviceCode.OK])
def test_what_fails_says_its_code_and_the_words_of_the_device(
    device: Device, fake: CallbackTable, code: DeviceCode
) -> None:
    fake.failures["allocate"] = code
    with pytest.raises(DeviceError, match=rf"^{code.name}: allocate says {code.name}$") as failed:
        device.memory(SIZE)
    assert (failed.value.code, failed.value.message) == (code, f"allocate says {code.name}")
    assert device.memory(SIZE).address


def test_asking_whether_an_event_is_ready_can_fail(device: Device, fake: CallbackTable) -> None:
    event = device.event()
    fake.failures["query"] = DeviceCode.LOST
    with pytest.raises(DeviceError) as failed:
        event.ready()
    assert failed.value.code == DeviceCode.LOST


def test_memory_is_freed_once_and_not_used_after(device: Device, fake: CallbackTable) -> None:
    memory = device.memory(SIZE)
    memory.close()
    memory.close()
    assert [name for name, _ in fake.calls].count("release") == 1
    with pytest.raises(ValueError, match="this DeviceMemory was closed"):
        _ = memory.address


def test_what_cannot_be_freed_does_not_keep_the_rest(fake: CallbackTable) -> None:
    device = Table(fake.address).device(0)
    for make in (device.pinned, device.memory):
        make(SIZE)
    device.stream()
    device.event()
    fake.failures["free_stream"] = DeviceCode.FAILED
    with pytest.raises(DeviceError, match="free_stream"), device:
        pass
    assert fake.open == 1


def test_memory_runs_out_and_comes_back(device: Device) -> None:
    large = device.memory(900_000)
    with pytest.raises(DeviceError) as failed:
        device.pinned(900_000)
    assert failed.value.code == DeviceCode.NO_MEMORY
    large.close()
    assert device.pinned(900_000).array().size == 900_000


@pytest.mark.parametrize("field", ["version", "size"])
def test_a_table_of_another_version_or_size_is_refused(fake: CallbackTable, field: str) -> None:
    api = MaasDeviceApi.from_buffer_copy(ctypes.string_at(fake.address, ctypes.sizeof(MaasDeviceApi)))
    setattr(api, field, getattr(api, field) + 8)
    with pytest.raises(RuntimeError, match=r"^the table has version \d+ and \d+ bytes, not 1 and 184$"):
        Table(ctypes.addressof(api))
