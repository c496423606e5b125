"""One version of a model at work: its queue in the core, and the threads that run it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import grpc
import numpy as np
import structlog

from maas_server import _core
from maas_server.errors import MaasError, error_text
from maas_server.models.host import BatchSize, Counters
from maas_server.models.plan import InputPlan, QueuePlan, QueuePolicy, VersionPlan
from maas_server.models.runner import NUMPY_DTYPES, RunBatch, Runner

log = structlog.get_logger(__name__)

# A model that fails on every run must not fill the disk with its traceback.
_SECONDS_BETWEEN_FAILURE_LOGS = 10.0
# What a run may fail with: the rest of gRPC's codes are about callers and stored data.
_CODES = range(1, 15)


class CoreDeployment:
    """Implements `models.host.Deployment` over `_core.Version`. Thread-safe."""

    def __init__(self, plan: VersionPlan, runner: Runner, *, cpus: int) -> None:
        """Prepare; `start` starts the threads. `cpus`: how many the process may use at once."""
        self.core = _core.Version(
            model=plan.model,
            version=plan.version,
            inputs=[_input_spec(each) for each in plan.inputs],
            outputs=[
                _core.OutputSpec(
                    name=each.name,
                    datatype=each.datatype,
                    shape=list(each.shape),
                    sources=list(each.sources),
                    batch_axis=each.batch_axis,
                    pad_group=each.pad_group,
                    pad_axis=each.pad_axis,
                    labels=list(each.labels),
                    wire_shape=None if each.wire_shape is None else list(each.wire_shape),
                    any_shape=each.any_shape,
                )
                for each in plan.outputs
            ],
            pad_groups=[list(buckets) for buckets in plan.pad_groups],
            batching=plan.batching,
            max_batch_size=plan.max_batch_size,
            max_request_rows=plan.max_request_rows,
            max_queue_rows=plan.max_queue_rows,
            max_queue_delay_us=plan.max_queue_delay_us,
            priorities=_priorities(plan.queue),
            preferred_batch_sizes=[size for size in plan.queue.preferred_batch_sizes if size <= plan.max_batch_size],
            cpus=cpus,
        )
        for point in plan.curve:
            self.core.record_run(point.rows, int(point.seconds * 1e9))
        self._lanes = [_Lane(self.core, plan, runner, number) for number in range(plan.instances)]

    def start(self) -> None:
        """Start the runner threads."""
        for lane in self._lanes:
            lane.start()

    def counters(self) -> Counters:
        """Return a snapshot."""
        counts = self.core.counters()
        sizes = tuple(BatchSize(*each) for each in counts.pop("batch_sizes"))
        return Counters(**counts, batch_sizes=sizes)

    def drain(self, timeout: float) -> bool:
        """Answer what was accepted and end the threads; False if that took more than `timeout` seconds so far."""
        self.core.close()
        end = time.monotonic() + timeout
        for lane in self._lanes:
            lane.join(max(0.0, end - time.monotonic()))
        return not any(lane.is_alive() for lane in self._lanes)


class _Lane(threading.Thread):
    """The thread of one instance: takes a batch from the core, runs it, gives the outputs back, for ever."""

    def __init__(self, version: _core.Version, plan: VersionPlan, runner: Runner, number: int) -> None:
        super().__init__(name=f"maas-run-{plan.model}:{plan.version}#{number}", daemon=True)
        self._log = log.bind(model=plan.model, version=plan.version, instance=number)
        self._instance = _core.Instance(version)
        self._runner = runner
        self._batches: dict[int, RunBatch] = {}
        self._logged_failure = -_SECONDS_BETWEEN_FAILURE_LOGS

    def run(self) -> None:
        instance, batches, run = self._instance, self._batches, self._runner.run
        key = instance.next()
        while key is not None:
            try:
                batch = batches.get(key) or self._batch(key)
                outputs = run(batch)
                key = instance.finish(None if outputs is batch.outputs else list(outputs))
            # SystemExit and its like as well: without this thread what waits would wait for ever.
            except BaseException as error:
                key = self._fail(error)
        self._forget(list(batches))

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


def _priorities(plan: QueuePlan) -> _core.Priorities:
    return _core.Priorities(
        levels=plan.priority_levels,
        default=plan.default_priority,
        policy=_queue_policy(plan.policy),
        by_level={level: _queue_policy(policy) for level, policy in plan.priority_policies.items()},
    )


def _queue_policy(policy: QueuePolicy) -> _core.QueuePolicy:
    return _core.QueuePolicy(
        default_timeout_us=policy.default_timeout_us,
        allow_timeout_override=policy.allow_timeout_override,
        timeout_action=policy.timeout_action,
        max_queue_size=policy.max_queue_size,
    )


def _input_spec(plan: InputPlan) -> _core.InputSpec:
    pad_value = b""
    if plan.pad_axis is not None:
        pad_value = _pad_bytes(plan)
    return _core.InputSpec(
        name=plan.name,
        datatype=plan.datatype,
        shape=list(plan.shape),
        batch_axis=plan.batch_axis,
        pad_group=plan.pad_group,
        pad_axis=plan.pad_axis,
        pad_value=pad_value,
        auto_fill=plan.auto_fill,
        wire_shape=None if plan.wire_shape is None else list(plan.wire_shape),
    )


def _pad_bytes(plan: InputPlan) -> bytes:
    if plan.datatype == "BF16":
        # The upper half of the FP32 bits; padding values are small integers in practice, exact in both.
        return np.float32(plan.pad_value).tobytes()[2:]
    return np.asarray(plan.pad_value).astype(NUMPY_DTYPES[plan.datatype]).tobytes()
