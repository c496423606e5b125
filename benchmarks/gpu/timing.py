"""Times what a stream does, by the device's own events."""

from __future__ import annotations

from collections.abc import Callable

from maas_server.devices.table import Device, Stream

_HOLD_BYTES = 256 << 20
# A stream takes about as many calls before it makes the caller wait.
_MOST_HOLDS = 1024


class Stopwatch:
    """Times repeated work on a stream of its own.

    To begin something takes the CPU about as long as a small kernel runs. So the stream is held up first, by clearing
    memory, until all that is timed has been begun: then the device alone says how long it takes.
    """

    def __init__(self, device: Device) -> None:
        self.stream = device.stream()
        self._began, self._ended = device.event(timed=True), device.event(timed=True)
        self._hold = device.memory(_HOLD_BYTES)
        self._holds = 8

    def seconds(self, repeats: int, begin: Callable[[Stream, int], None]) -> float:
        """Return the seconds that each of `begin(stream, repeat)` took.

        Raises:
            RuntimeError: the device was always through with the hold-up before all was begun.
        """
        while self._holds <= _MOST_HOLDS:
            for _ in range(self._holds):
                self.stream.clear(self._hold.address, _HOLD_BYTES)
            self.stream.record(self._began)
            for repeat in range(repeats):
                begin(self.stream, repeat)
            self.stream.record(self._ended)
            held = not self._began.ready()
            self._ended.synchronize()
            if held:
                return self._ended.milliseconds_since(self._began) / 1e3 / repeats
            self._holds *= 2
        raise RuntimeError("the device does faster what is timed than it can be asked to")
