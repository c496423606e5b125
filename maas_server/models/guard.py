"""Bounds what the example runs at load may take.

Example values are guesses. Where they become the sizes of tensors inside the model, or the rounds of a loop, a wrong
guess may ask for more memory or time than there is; the server that loads such a model must not end with it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from maas_server.models.memory import PeakMemory, available_bytes
from maas_server.models.runner import Interruptible, Runner

# All example runs of one model together, however many there are.
PROBE_SECONDS = 60.0
# Of what is available when they begin.
MEMORY_SHARE = 0.5

_LOOK_EVERY = 0.01


class ProbeGuard:
    """Watches a runner's example runs; once they took too much, they are interrupted and `reason` says why.

    A thread of its own looks, because the loading thread is inside the run. Runs of a runner that cannot be
    interrupted are bounded between runs only.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        max_bytes: int | None = None,
        seconds: float = PROBE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`max_bytes`: how far the process's memory may rise; None: MEMORY_SHARE of what is available.

        `clock` counts the seconds; any thread may read it.
        """
        self._runner = runner
        self._max_bytes = int(available_bytes() * MEMORY_SHARE) if max_bytes is None else max_bytes
        self._seconds = seconds
        self._clock = clock
        self._deadline = clock() + seconds
        self._memory = PeakMemory()
        self._done = threading.Event()
        self._watcher: threading.Thread | None = None
        self.reason = ""

    def __enter__(self) -> ProbeGuard:
        self._memory.reset()
        if isinstance(self._runner, Interruptible):
            self._watcher = threading.Thread(target=self._watch, args=(self._runner,), name="maas-probe", daemon=True)
            self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        if self._watcher is not None:
            self._watcher.join()
        # Arenas keep what the largest run needed, which serving will not need.
        if self.reason and isinstance(self._runner, Interruptible):
            self._runner.reset()

    def growth(self) -> int:
        """Return how far the process's memory rose so far, in bytes."""
        return self._memory.growth()

    def affords(self, nbytes: int) -> bool:
        """Whether the process's memory may rise by `nbytes`."""
        return nbytes <= self._max_bytes

    def exhausted(self) -> bool:
        """Whether no more runs are to be tried; `reason` says why."""
        if not self.reason:
            if not self.affords(self.growth()):
                self.reason = f"example runs took more than {self._max_bytes >> 20} MiB of memory"
            elif self._clock() > self._deadline:
                self.reason = f"example runs took more than {self._seconds:.0f} s"
        return bool(self.reason)

    def _watch(self, runner: Interruptible) -> None:
        while not self._done.wait(_LOOK_EVERY):
            if self.exhausted():
                runner.interrupt()
