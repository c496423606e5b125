"""Devices in Python: objects over a table of functions (csrc/maas/gpu/device_api.h) at an address.

    with Table(_cuda.table()).device(0) as device:
        staging, memory = device.pinned(1 << 20), device.memory(1 << 20)
        stream, done = device.stream(), device.event()
        stream.upload(memory.address, staging.address, 1 << 20)
        stream.record(done)
        done.synchronize()

Whoever made the table says what serves behind it: CUDA, cupy, or ordinary memory in a test. Memory is named by
addresses: what lies where is the caller's affair, as it is in C. A Device frees what was made through it and not
closed before; nothing may be under way then.
"""

from __future__ import annotations

import contextlib
import ctypes
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from maas_server.devices.layout import API_VERSION, DeviceCode, MaasDeviceApi, MaasDeviceInfo


class DeviceError(Exception):
    """A function of the table failed."""

    def __init__(self, code: DeviceCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True)
class DeviceInfo:
    """What a device says of itself."""

    name: str
    bus_id: str
    compute: tuple[int, int]
    multiprocessors: int
    total_bytes: int
    free_bytes: int
    """At the time of the call."""


class Table:
    """The table of functions at an address; `keep` is what must live as long as it does."""

    def __init__(self, address: int, keep: object = None) -> None:
        """Check that the table is the one that this code was written for.

        Raises:
            RuntimeError: it has another version or size.
        """
        api = MaasDeviceApi.from_address(address)
        found, wanted = (api.version, api.size), (API_VERSION, ctypes.sizeof(MaasDeviceApi))
        if found != wanted:
            raise RuntimeError("the table has version {} and {} bytes, not {} and {}".format(*found, *wanted))
        self._api = api
        self._keep = keep

    def call(self, function: str, *arguments: Any) -> None:
        """Call a function of the table by its name.

        Raises:
            DeviceError: it did not return OK.
        """
        code = getattr(self._api, function)(*arguments)
        if code != DeviceCode.OK:
            message = self._api.message()
            text = ctypes.string_at(message).decode(errors="replace") if message else ""
            raise DeviceError(DeviceCode(code), text)

    def count(self) -> int:
        """Return the number of devices: 0 without a driver."""
        count = ctypes.c_int32()
        self.call("count", ctypes.byref(count))
        return count.value

    def device(self, index: int) -> Device:
        """Return the device of an index."""
        return Device(self, index)

    def devices(self) -> list[Device]:
        """Return all devices."""
        return [self.device(index) for index in range(self.count())]


class Device:
    """One device. Close it, or use it as a context manager, to free what was made through it."""

    def __init__(self, table: Table, index: int) -> None:
        self._table = table
        self.index = index
        self._open: dict[_Made, None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Free what was made through this object, the last first.

        Raises:
            DeviceError: something could not be freed; the others were all tried.
        """
        with contextlib.ExitStack() as stack:
            for made in self._open:
                stack.callback(made.close)

    def call(self, function: str, *arguments: Any) -> None:
        """Call a function of the table for this device.

        Raises:
            DeviceError: it did not return OK.
        """
        self._table.call(function, self.index, *arguments)

    def info(self) -> DeviceInfo:
        """Return what the device says of itself now."""
        info = MaasDeviceInfo()
        self.call("info", ctypes.byref(info))
        return DeviceInfo(
            info.name.decode(errors="replace"),
            info.bus_id.decode(errors="replace"),
            (info.compute_major, info.compute_minor),
            info.multiprocessors,
            info.total_bytes,
            info.free_bytes,
        )

    def pinned(self, size: int) -> PinnedMemory:
        """Return memory of the host, of more than 0 bytes, that the device copies from and to by itself."""
        return PinnedMemory(self, size)

    def memory(self, size: int) -> DeviceMemory:
        """Return memory of the device, of more than 0 bytes."""
        return DeviceMemory(self, size)

    def stream(self, priority: int = 0) -> Stream:
        """Return a stream; one of a lower number comes first."""
        return Stream(self, priority)

    def event(self, *, timed: bool = False) -> Event:
        """Return an event; `timed`: it tells how much time passed between it and another."""
        return Event(self, timed)

    def opened(self, made: _Made) -> None:
        """Free it when this is closed."""
        self._open[made] = None

    def closed(self, made: _Made) -> None:
        """It was freed."""
        del self._open[made]


class _Made:
    """What a device made, under a handle or address, until it is closed."""

    def __init__(self, device: Device, make: str, free: str, *arguments: Any) -> None:
        handle = ctypes.c_void_p()
        device.call(make, *arguments, ctypes.byref(handle))
        self._device = device
        self._handle: int | None = handle.value
        self._free = free
        device.opened(self)

    def close(self) -> None:
        """Free it, once."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._device.closed(self)
            self._device.call(self._free, handle)

    @property
    def handle(self) -> int:
        """What the table calls it.

        Raises:
            ValueError: it was closed.
        """
        if self._handle is None:
            raise ValueError(f"this {type(self).__name__} was closed")
        return self._handle


class DeviceMemory(_Made):
    """Memory of a device."""

    def __init__(self, device: Device, size: int) -> None:
        super().__init__(device, "allocate", "release", size)
        self.size = size

    @property
    def address(self) -> int:
        """Where it begins, for the device."""
        return self.handle


class PinnedMemory(_Made):
    """Memory of the host that the device knows."""

    def __init__(self, device: Device, size: int) -> None:
        super().__init__(device, "allocate_pinned", "free_pinned", size)
        self.size = size

    @property
    def address(self) -> int:
        """Where it begins, for both."""
        return self.handle

    def array(self) -> npt.NDArray[np.uint8]:
        """Return its bytes, in place: valid until it is closed."""
        return np.ctypeslib.as_array((ctypes.c_uint8 * self.size).from_address(self.address))


class Event(_Made):
    """A place in a stream that others wait for."""

    def __init__(self, device: Device, timed: bool) -> None:
        super().__init__(device, "make_event", "free_event", int(timed))

    def ready(self) -> bool:
        """Whether all before it has come to pass; true of one that was never recorded.

        Raises:
            DeviceError: something before it failed.
        """
        try:
            self._device.call("query", self.handle)
        except DeviceError as error:
            if error.code == DeviceCode.NOT_READY:
                return False
            raise
        return True

    def synchronize(self) -> None:
        """Wait until all before it has come to pass; other threads run meanwhile.

        Raises:
            DeviceError: something before it failed.
        """
        self._device.call("synchronize", self.handle)

    def milliseconds_since(self, earlier: Event) -> float:
        """Return the time from one timed event to this one; both have come to pass."""
        elapsed = ctypes.c_float()
        self._device.call("elapsed", earlier.handle, self.handle, ctypes.byref(elapsed))
        return elapsed.value


class Stream(_Made):
    """What is begun here happens in this order, sometime; `size` counts bytes."""

    def __init__(self, device: Device, priority: int) -> None:
        super().__init__(device, "make_stream", "free_stream", priority)

    @property
    def native(self) -> int:
        """What ONNX Runtime and cupy call it."""
        native = ctypes.c_uint64()
        self._device.call("native_stream", self.handle, ctypes.byref(native))
        return native.value

    def upload(self, to: int, pinned: int, size: int) -> None:
        """Copy from the host, which keeps the bytes as they are until it happened."""
        self._device.call("upload", self.handle, to, pinned, size)

    def download(self, pinned: int, source: int, size: int) -> None:
        """Copy to the host."""
        self._device.call("download", self.handle, pinned, source, size)

    def copy(self, to: int, source: int, size: int) -> None:
        """Copy within the device."""
        self._device.call("copy", self.handle, to, source, size)

    def clear(self, to: int, size: int) -> None:
        """Set bytes to 0."""
        self._device.call("clear", self.handle, to, size)

    def move(self, segments: int, count: int, tiles: int, params: int, source: int, to: int) -> None:
        """Move `count` segments; these and their parameters lie on the device."""
        self._device.call("move", self.handle, segments, count, tiles, params, source, to)

    def record(self, event: Event) -> None:
        """Put an event behind all that was begun."""
        self._device.call("record", event.handle, self.handle)

    def wait(self, event: Event) -> None:
        """Let all that is begun from now on come after an event."""
        self._device.call("wait", self.handle, event.handle)
