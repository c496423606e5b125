"""Moves laid-out boxes on a device, and brings bytes there and back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from maas_server.devices.table import Device, DeviceMemory, Stream
from tests.gpu import reference
from tests.gpu.cases import Layout

Bytes = npt.NDArray[np.uint8]

# What lies at a target before anything is moved there: neither 0 nor all ones.
UNTOUCHED = 0xA5


def put(device: Device, stream: Stream, data: Bytes) -> DeviceMemory:
    """Return memory of the device that holds these bytes."""
    staging, memory = device.pinned(len(data)), device.memory(len(data))
    staging.array()[:] = data
    stream.upload(memory.address, staging.address, len(data))
    finish(device, stream)
    staging.close()
    return memory


def get(device: Device, stream: Stream, address: int, size: int) -> Bytes:
    """Return bytes of the device's memory, after all that was begun on the stream."""
    staging = device.pinned(size)
    stream.download(staging.address, address, size)
    finish(device, stream)
    data = staging.array().copy()
    staging.close()
    return data


def finish(device: Device, stream: Stream) -> None:
    """Wait for all that was begun on a stream."""
    done = device.event()
    stream.record(done)
    done.synchronize()
    done.close()


def moved(device: Device, layout: Layout) -> Bytes:
    """Return the target after one launch."""
    stream = device.stream()
    source = put(device, stream, layout.source)
    target = put(device, stream, np.full(layout.target_bytes, UNTOUCHED, np.uint8))
    segments = put(device, stream, np.frombuffer(layout.segments.table(), np.uint8))
    params = put(device, stream, np.frombuffer(layout.segments.params(), np.uint8))
    stream.move(
        segments.address,
        len(layout.segments),
        layout.segments.tiles,
        params.address,
        source.address,
        target.address,
    )
    return get(device, stream, target.address, target.size)


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
