"""One version of a model at work: its queue in the core, and the lanes that run it."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from maas_server import _core
from maas_server.lane import CurrentRun, Lane
from maas_server.models.host import BatchSize, BucketCurve, Counters, Mode, Scheduling, TimePoint
from maas_server.models.plan import InputPlan, QueuePlan, QueuePolicy, VersionPlan
from maas_server.models.runner import NUMPY_DTYPES, Runner


class CoreDeployment:
    """Implements `models.host.Deployment` over `_core.Version`. Thread-safe."""

    def __init__(
        self, plan: VersionPlan, runner: Runner, *, device: _core.Device, cpus: int, yields: bool = False
    ) -> None:
        """Prepare; `start` starts the threads. `device`: where the version runs, beside others.

        `cpus`: how many the process may use at once; batching gathers only when they are scarce. `yields`: as
        `Lane` takes it.
        """
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
            device=device,
            cpus=cpus,
            weight=plan.weight,
            threads=plan.threads,
            default_deadline_us=plan.default_deadline_us,
        )
        for point in plan.curve:
            self.core.record_run(point.rows, int(point.seconds * 1e9))
        self._lanes = [Lane(self.core, plan, runner, number, yields=yields) for number in range(plan.instances)]

    def start(self) -> None:
        """Start the runner threads."""
        for lane in self._lanes:
            lane.start()

    def current_runs(self) -> Mapping[int, CurrentRun]:
        """Return what each instance is at, by the core's number of the instance."""
        return {lane.id: lane.current for lane in self._lanes}

    def counters(self) -> Counters:
        """Return a snapshot."""
        counts = self.core.counters()
        sizes = tuple(BatchSize(*each) for each in counts.pop("batch_sizes"))
        return Counters(**counts, batch_sizes=sizes)

    def mode(self) -> Mode:
        """Return whether predictions hold."""
        mode: Mode = self.core.scheduling()["mode"]
        return mode

    def scheduling(self) -> Scheduling:
        """Return how requests are scheduled now."""
        told = self.core.scheduling()
        curves = tuple(
            BucketCurve(bucket, tuple(TimePoint(*point) for point in points)) for bucket, points in told.pop("curves")
        )
        return Scheduling(**told, curves=curves)

    def drain(self, timeout: float) -> bool:
        """Answer what was accepted and end the threads; False if that took more than `timeout` seconds so far."""
        self.core.close()
        end = time.monotonic() + timeout
        for lane in self._lanes:
            lane.join(max(0.0, end - time.monotonic()))
        return not any(lane.is_alive() for lane in self._lanes)


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
