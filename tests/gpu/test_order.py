"""Streams keep their order, events order streams, and time passes between events."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks.gpu.staged import finish, get
from maas_server.devices.table import Device, Event, Table
from tests.gpu.cases import mixed
from tests.gpu.moving import check, hold

SIZE = 8 << 20
PATIENCE_SECONDS = 30


def until_ready(event: Event) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not event.ready():
        assert time.monotonic() < deadline, "the event never came to pass"


def test_a_stream_does_one_thing_after_the_other(device: Device) -> None:
    stream = device.stream()
    memory = [device.memory(SIZE) for _ in range(3)]
    staging, back = device.pinned(SIZE), device.pinned(SIZE)
    staging.array()[:] = 7
    for _ in range(20):
        stream.clear(memory[0].address, SIZE)
        stream.upload(memory[0].address, staging.address, SIZE)
        stream.copy(memory[1].address, memory[0].address, SIZE)
        stream.copy(memory[2].address, memory[1].address, SIZE)
    stream.clear(memory[2].address, SIZE // 2)
    stream.download(back.address, memory[2].address, SIZE)
    finish(device, stream)

    wanted = np.repeat(np.array([0, 7], np.uint8), SIZE // 2)
    assert np.array_equal(back.array(), wanted)


def test_a_stream_that_waits_for_an_event_comes_after_it(device: Device) -> None:
    upload, compute = device.stream(), device.stream()
    uploaded, computed = device.event(), device.event()
    rounds, size = 30, SIZE // 8
    staging, back = device.pinned(rounds * size), device.pinned(rounds * size)
    first, second = device.memory(size), device.memory(size)
    values = np.repeat(np.arange(1, rounds + 1, dtype=np.uint8), size)
    staging.array()[:] = values
    for at in range(0, rounds * size, size):
        # Without its wait each side would overtake the other, and some round show the bytes of another.
        upload.wait(computed)
        upload.upload(first.address, staging.address + at, size)
        upload.record(uploaded)
        compute.wait(uploaded)
        compute.copy(second.address, first.address, size)
        compute.download(back.address + at, second.address, size)
        compute.record(computed)
    computed.synchronize()
    assert np.array_equal(back.array(), values)


def test_an_event_is_ready_only_when_all_before_it_has_come_to_pass(device: Device) -> None:
    stream, event = device.stream(), device.event()
    assert event.ready(), "nothing was recorded"
    memory = device.memory(16 * SIZE)
    for _ in range(200):
        stream.clear(memory.address, memory.size)
    stream.record(event)
    assert not event.ready()
    until_ready(event)
    event.synchronize()


def test_an_event_can_be_recorded_again(device: Device) -> None:
    stream, event = device.stream(), device.event()
    memory, back = hold(device, stream, np.zeros(SIZE, np.uint8)), device.pinned(SIZE)
    for value in range(1, 4):
        staging = device.pinned(SIZE)
        staging.array()[:] = value
        stream.upload(memory.address, staging.address, SIZE)
        stream.download(back.address, memory.address, SIZE)
        stream.record(event)
        event.synchronize()
        assert (back.array() == value).all()


def test_more_work_takes_more_time_between_two_events(device: Device) -> None:
    stream = device.stream()
    events = [device.event(timed=True) for _ in range(3)]
    memory = device.memory(16 * SIZE)
    stream.clear(memory.address, memory.size)
    stream.record(events[0])
    stream.clear(memory.address, SIZE // 64)
    stream.record(events[1])
    for _ in range(200):
        stream.clear(memory.address, memory.size)
    stream.record(events[2])
    events[2].synchronize()

    short, long = events[1].milliseconds_since(events[0]), events[2].milliseconds_since(events[1])
    assert 0 <= short < long
    assert events[2].milliseconds_since(events[0]) >= long


def test_streams_of_every_priority_do_the_same(device: Device) -> None:
    data = np.arange(SIZE, dtype=np.uint32).astype(np.uint8)
    for priority in (-5, -1, 0, 1, 5):
        stream = device.stream(priority)
        memory = hold(device, stream, data)
        assert np.array_equal(get(device, stream, memory.address, SIZE), data), priority


def test_streams_have_names_of_their_own_for_others(device: Device) -> None:
    natives = [device.stream().native for _ in range(4)]
    assert len(set(natives)) == 4
    assert all(natives)


def test_many_threads_use_a_device_at_once(table: Table) -> None:
    def work(seed: int) -> None:
        with table.device(0) as device:
            for round_ in range(4):
                check(device, mixed(1000 * seed + round_, 20))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(1, 17)))
