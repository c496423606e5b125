"""Moves laid-out boxes on a device, and holds what comes of it against numpy."""

from __future__ import annotations

import numpy as np

from benchmarks.gpu import staged
from benchmarks.gpu.staged import Bytes
from maas_server.devices.table import Device, DeviceMemory, Stream
from tests.gpu import reference
from tests.gpu.cases import Layout

# What lies at a target before anything is moved there: neither 0 nor all ones.
UNTOUCHED = 0xA5


def hold(device: Device, stream: Stream, data: Bytes) -> DeviceMemory:
    """Return memory of the device that holds these bytes."""
    memory = device.memory(len(data))
    staged.put(device, stream, data, memory.address)
    return memory


def moved(device: Device, layout: Layout) -> Bytes:
    """Return the target after one launch."""
    stream = device.stream()
    source = hold(device, stream, layout.source)
    target = hold(device, stream, np.full(layout.target_bytes, UNTOUCHED, np.uint8))
    segments = hold(device, stream, np.frombuffer(layout.segments.table(), np.uint8))
    params = hold(device, stream, np.frombuffer(layout.segments.params(), np.uint8))
    stream.move(
        segments.address,
        len(layout.segments),
        layout.segments.tiles,
        params.address,
        source.address,
        target.address,
    )
    return staged.get(device, stream, target.address, target.size)


def expected(layout: Layout) -> Bytes:
    """Return the target as numpy makes it."""
    target = np.full(layout.target_bytes, UNTOUCHED, np.uint8)
    reference.move(layout.segments.segments, layout.segments.params(), layout.source, target)
    return target


def check(device: Device, layout: Layout) -> None:
    """Hold what a device moved against numpy, bit for bit, with all that it should have left alone."""
    found, wanted = moved(device, layout), expected(layout)
    wrong = np.flatnonzero(found != wanted)
    assert not len(wrong), f"{len(wrong)} bytes differ, the first at {wrong[0]}: {_segment_at(layout, int(wrong[0]))}"


def _segment_at(layout: Layout, byte: int) -> str:
    for index, segment in enumerate(layout.segments.segments):
        following = layout.segments.segments[index + 1 : index + 2]
        if segment.dst <= byte and (not following or byte < following[0].dst):
            return f"segment {index} of kind {segment.kind}, {getattr(segment, 'from')} to {segment.to}"
    return "before all segments"
