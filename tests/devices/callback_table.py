"""A table of Python callbacks over ordinary memory, whose streams put off what is begun until somebody asks."""

from __future__ import annotations

import ctypes
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from maas_server.devices.layout import API_VERSION, DeviceCode, MaasDeviceApi, MaasDeviceInfo

Move = Callable[[int, int, int, int, int, int], None]
"""Does at once what the table's `move` begins; the same arguments behind the stream."""

_ALIGNMENT = 256


@dataclass
class _Queue:
    """A stream: what it has to do, in order."""

    steps: deque[Callable[[], object]] = field(default_factory=deque)

    def run(self) -> None:
        """Do all that was begun before this call."""
        for _ in range(len(self.steps)):
            if self.steps:
                self.steps.popleft()()


@dataclass
class _Point:
    """Where an event was recorded, and when that came to pass."""

    queue: _Queue
    at: float | None = None

    def pass_by(self) -> None:
        """All before it was done."""
        self.at = time.perf_counter()

    def reach(self) -> None:
        """Do all that lies before it."""
        while self.at is None:
            self.queue.run()


class CallbackTable:
    """The table is at `address` as long as this lives; `memory_bytes` is what one device has.

    `failures` maps a function to the code that its next call returns.
    """

    def __init__(self, move: Move, *, devices: int = 1, memory_bytes: int = 1 << 28) -> None:
        self._move_now = move
        self._devices = devices
        self._memory_bytes = memory_bytes
        self._used = 0
        self._buffers: dict[int, tuple[ctypes.Array[Any], int]] = {}
        self._queues: dict[int, _Queue] = {}
        self._events: dict[int, _Point | None] = {}
        self._handles = itertools.count(1)
        self._message = ctypes.create_string_buffer(256)
        self._lock = threading.RLock()
        self.failures: dict[str, DeviceCode] = {}
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self._api = MaasDeviceApi(version=API_VERSION, size=ctypes.sizeof(MaasDeviceApi))
        for name, prototype in MaasDeviceApi._fields_[2:]:
            callback = (lambda: ctypes.addressof(self._message)) if name == "message" else self._guarded(name)
            setattr(self._api, name, prototype(callback))
        self.address = ctypes.addressof(self._api)

    @property
    def open(self) -> int:
        """How much memory, and how many streams and events, were made and not freed."""
        return len(self._buffers) + len(self._queues) + len(self._events)

    def _guarded(self, name: str) -> Callable[..., int]:
        function = getattr(self, f"_{name}")

        def call(*arguments: Any) -> int:
            with self._lock:
                self.calls.append((name, arguments))
                code: DeviceCode | None = self.failures.pop(name, None)
                if code is None:
                    code = function(*arguments)
                self._message.value = b"" if code is None else f"{name} says {code.name}".encode()
                return int(code or 0)

        return call

    def _count(self, count: Any) -> None:
        count[0] = self._devices

    def _info(self, device: int, info: Any) -> DeviceCode | None:
        if not 0 <= device < self._devices:
            return DeviceCode.INVALID
        free = self._memory_bytes - self._used
        info[0] = MaasDeviceInfo(f"Memory {device}".encode(), b"0000:00:00.0", 9, 0, 4, self._memory_bytes, free)
        return None

    def _allocate(self, device: int, size: int, memory: Any) -> DeviceCode | None:
        if self._used + size > self._memory_bytes:
            return DeviceCode.NO_MEMORY
        buffer = (ctypes.c_uint8 * (size + _ALIGNMENT))()
        address = -(-ctypes.addressof(buffer) // _ALIGNMENT) * _ALIGNMENT
        self._buffers[address] = (buffer, size)
        self._used += size
        memory[0] = address
        return None

    def _release(self, device: int, memory: int) -> DeviceCode | None:
        if memory not in self._buffers:
            return DeviceCode.INVALID
        # As on a device, which does what was begun before it gives memory up.
        for queue in self._queues.values():
            queue.run()
        self._used -= self._buffers.pop(memory)[1]
        return None

    _allocate_pinned = _allocate
    _free_pinned = _release

    def _make_stream(self, device: int, priority: int, stream: Any) -> None:
        stream[0] = handle = next(self._handles)
        self._queues[handle] = _Queue()

    def _free_stream(self, device: int, stream: int) -> None:
        self._queues.pop(stream).run()

    def _native_stream(self, device: int, stream: int, native: Any) -> None:
        native[0] = stream

    def _make_event(self, device: int, timed: int, event: Any) -> None:
        event[0] = handle = next(self._handles)
        self._events[handle] = None

    def _free_event(self, device: int, event: int) -> None:
        del self._events[event]

    def _record(self, device: int, event: int, stream: int) -> None:
        queue = self._queues[stream]
        self._events[event] = point = _Point(queue)
        queue.steps.append(point.pass_by)

    def _wait(self, device: int, stream: int, event: int) -> None:
        # The point of now, wherever the event is recorded later.
        if point := self._events[event]:
            self._queues[stream].steps.append(point.reach)

    def _query(self, device: int, event: int) -> DeviceCode | None:
        point = self._events[event]
        if point is None or point.at is not None:
            return None
        point.reach()
        return DeviceCode.NOT_READY

    def _synchronize(self, device: int, event: int) -> None:
        if point := self._events[event]:
            point.reach()

    def _elapsed(self, device: int, earlier: int, later: int, milliseconds: Any) -> DeviceCode | None:
        first, last = self._events[earlier], self._events[later]
        if first is None or last is None or first.at is None or last.at is None:
            return DeviceCode.INVALID
        milliseconds[0] = (last.at - first.at) * 1e3
        return None

    def _copy(self, device: int, stream: int, to: int, source: int, size: int) -> None:
        self._queues[stream].steps.append(partial(ctypes.memmove, to, source, size))

    _upload = _copy
    _download = _copy

    def _clear(self, device: int, stream: int, to: int, size: int) -> None:
        self._queues[stream].steps.append(partial(ctypes.memset, to, 0, size))

    def _move(
        self, device: int, stream: int, segments: int, count: int, tiles: int, params: int, source: int, to: int
    ) -> None:
        self._queues[stream].steps.append(partial(self._move_now, segments, count, tiles, params, source, to))
