"""Bytes to a device and back, through pinned memory, waited for: for what is set up or looked at, not timed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from maas_server.devices.table import Device, Stream

Bytes = npt.NDArray[np.uint8]


def put(device: Device, stream: Stream, data: Bytes | bytes, to: int) -> None:
    """Write bytes to memory of the device."""
    staging = device.pinned(len(data))
    staging.array()[:] = np.frombuffer(data, np.uint8)
    stream.upload(to, staging.address, len(data))
    finish(device, stream)
    staging.close()


def get(device: Device, stream: Stream, source: int, size: int) -> Bytes:
    """Return bytes of the device's memory, after all that was begun on the stream."""
    staging = device.pinned(size)
    stream.download(staging.address, source, size)
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
