"""The thread of one instance, and how a run for which nobody waits any more is ended; deployment.py starts them."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence

import grpc
import structlog

from maas_server import _core
from maas_server.errors import MaasError, error_text
from maas_server.models.plan import VersionPlan
from maas_server.models.runner import Array, Cancellable, RunBatch, Runner, RunnerLane

log = structlog.get_logger(__name__)

# A model that fails on every run must not fill the disk with its traceback.
_SECONDS_BETWEEN_FAILURE_LOGS = 10.0
# What a run may fail with: the rest of gRPC's codes are about callers and stored data.
_CODES = range(1, 15)
# A front has about two threads to a run's one. On a core that they share, at five times what it can answer, refusing
# takes more than half of it: with as much for the run as for each of them, refusals fell behind until nobody got an
# answer in time; with this little they take 2 ms, and four times as many get one. An idle core is the run's as before.
_NICENESS = 10
# The core numbers runs from 1, ever upwards.
_NONE = 0


class CurrentRun:
    """The run that a lane is at. `cancel` ends that run and no other, however late it comes.

    `begin` and `end` are for the lane's thread, `cancel` for any. The lock is taken only where something is cancelled:
    `cancel` writes `_cancelled` before it reads `_running`, the lane's thread writes `_running` before it reads
    `_cancelled`, so at least one of them sees the other. This counts on the interpreter's order of reads and writes.
    """

    __slots__ = ("__weakref__", "_cancelled", "_lane", "_mu", "_running")

    def __init__(self, lane: RunnerLane) -> None:
        """No run is under way."""
        self._lane = lane
        self._mu = threading.Lock()
        self._running = _NONE
        self._cancelled = _NONE

    def begin(self, number: int) -> bool:
        """Begin run `number`; False if it is cancelled already, and must not run."""
        self._running = number
        return self._cancelled != number or not self.end()

    def end(self) -> bool:
        """End what was begun, if anything; True if it was cancelled."""
        number, self._running = self._running, _NONE
        if number != self._cancelled or number == _NONE:
            return False
        with self._mu:
            self._lane.renew()
        return True

    def cancel(self, number: int) -> None:
        """Nobody waits for run `number` any more, which may be over, under way, or about to begin."""
        with self._mu:
            # Fronts may tell in another order than they were told.
            self._cancelled = max(number, self._cancelled)
            if self._running == number:
                self._lane.cancel()


def _yield_to_fronts() -> None:
    if sys.platform != "linux":
        return
    try:
        # Of this thread alone: on Linux niceness is a thread's.
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS)
    except OSError as error:
        log.warning("priority_unchanged", reason=str(error))


class Lane(threading.Thread):
    """Takes a batch from the core, runs it, gives the outputs back, for ever."""

    def __init__(
        self, version: _core.Version, plan: VersionPlan, runner: Runner, number: int, *, yields: bool = False
    ) -> None:
        """Prepare instance `number`; `yields`: the fronts have the CPU first where there is too little."""
        super().__init__(name=f"maas-run-{plan.model}:{plan.version}#{number}", daemon=True)
        self._log = log.bind(model=plan.model, version=plan.version, instance=number)
        self._instance = _core.Instance(version)
        self._runner = runner
        self._runs = runner.lane() if isinstance(runner, Cancellable) else _Unstoppable(runner)
        self.current = CurrentRun(self._runs)
        self._batches: dict[int, RunBatch] = {}
        self._logged_failure = -_SECONDS_BETWEEN_FAILURE_LOGS
        # The threads of a session's own pool would go on at full priority, and wait for this one.
        self._yields = yields and plan.threads == 1

    @property
    def id(self) -> int:
        """What the core calls the instance."""
        return self._instance.id

    def run(self) -> None:
        """Work until the version is closed and empty."""
        if self._yields:
            _yield_to_fronts()
        instance, batches, run = self._instance, self._batches, self._runs.run
        begin, end = self.current.begin, self.current.end
        key = self._first()
        while key is not None:
            try:
                batch = batches.get(key) or self._batch(key)
                if not begin(instance.run):
                    key = self._give_up()
                    continue
                outputs = run(batch)
                end()
                key = instance.finish(None if outputs is batch.outputs else list(outputs))
            # SystemExit and its like as well: without this thread what waits would wait for ever.
            except BaseException as error:
                key = self._give_up() if end() else self._fail(error)
        self._forget(list(batches))

    def _first(self) -> int | None:
        try:
            return self._instance.next()
        # Memory for the batch may run out here as well.
        except BaseException as error:
            return self._fail(error)

    def _batch(self, key: int) -> RunBatch:
        # A key is new after memory moved, and only then are there keys to forget.
        if forgotten := self._instance.forgotten():
            self._forget(forgotten)
        inputs, outputs = self._instance.arrays()
        batch = RunBatch(key, inputs, outputs)
        if key:
            self._batches[key] = batch
        return batch

    def _forget(self, keys: Sequence[int]) -> None:
        for key in keys:
            self._batches.pop(key, None)
        self._runner.forget(keys)

    def _give_up(self) -> int | None:
        return self._instance.fail(grpc.StatusCode.CANCELLED.value[0], "CANCELLED", "the callers went away")

    def _fail(self, error: BaseException) -> int | None:
        now = time.monotonic()
        if now - self._logged_failure >= _SECONDS_BETWEEN_FAILURE_LOGS:
            self._logged_failure = now
            self._log.warning("run_failed", reason=error_text(error), kind=type(error).__name__)
        if isinstance(error, MaasError) and error.code.value[0] in _CODES:
            return self._instance.fail(error.code.value[0], error.reason, error.message)
        # The text of an unknown error may hold what the caller must not see; the log has it.
        return self._instance.fail(
            grpc.StatusCode.INTERNAL.value[0], "RUN_FAILED", f"the model failed with {type(error).__name__}"
        )


class _Unstoppable:
    """A runner that takes no interruption: what was begun goes on to its end."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def run(self, batch: RunBatch) -> Sequence[Array]:
        return self._runner.run(batch)

    def cancel(self) -> None:
        pass

    def renew(self) -> None:
        pass
