"""An engine and a runner that do nothing but remember what they were asked for."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maas_server.errors import LoadError
from maas_server.models.host import BucketCurve, Counters, Mode, Route, Scheduling, TimePoint
from maas_server.models.plan import VersionPlan
from maas_server.models.runner import Array, RunBatch, Runner, RunnerOptions, Signature, TensorInfo


class FakeRunner:
    """Reads a word from the model file: "bad" does not load, "held" goes on once `release` is set, all else loads."""

    release = threading.Event()

    def __init__(self) -> None:
        self.closed = False
        self.content = ""

    def load(self, path: Path, options: RunnerOptions) -> None:
        self.content = path.read_text()
        if self.content.startswith("bad"):
            raise LoadError(f"it is {self.content}")
        if self.content.startswith("held"):
            assert self.release.wait(10)
            if self.content.endswith("bad"):
                raise LoadError(f"it is {self.content}")

    def signature(self) -> Signature:
        return Signature((TensorInfo("x", "FP32", (-1, 1)),), (TensorInfo("y", "FP32", (-1, 1)),))

    def run(self, batch: RunBatch) -> Sequence[Array]:
        return [np.array(batch.inputs[0])]

    def forget(self, keys: Sequence[int]) -> None:
        pass

    def describe(self) -> str:
        return "fake 1"

    def close(self) -> None:
        self.closed = True


class FakeDeployment:
    """Drains when `idle` is set, as it is from the start."""

    def __init__(self, plan: VersionPlan, runner: Runner) -> None:
        self.plan = plan
        self.runner = runner
        self.idle = threading.Event()
        self.idle.set()
        self.drained = False

    def counters(self) -> Counters:
        return Counters(accepted=3, succeeded=3)

    def mode(self) -> Mode:
        return "predictive"

    def scheduling(self) -> Scheduling:
        curves = tuple(BucketCurve(f"[{size}]", (TimePoint(1, 2_000_000, 3_000_000),)) for size in range(70))
        return Scheduling(
            mode="predictive", predicted_ns=1_000_000, headroom=0.5, margin_ns=200_000, curves=curves, device_idle=0.25
        )

    def drain(self, timeout: float) -> bool:
        assert not getattr(self.runner, "closed", False), "closed before it was drained"
        self.drained = self.idle.wait(timeout)
        return self.drained


class FakeHost:
    """Remembers deployments and routes."""

    def __init__(self) -> None:
        self.deployments: dict[tuple[str, int], list[FakeDeployment]] = {}
        self.routes: dict[str, Route | None] = {}
        self.defaults: list[int] = []
        """Each default version that was routed to, in order, without repetition."""

    def deploy(self, plan: VersionPlan, runner: Runner) -> FakeDeployment:
        if isinstance(runner, FakeRunner) and runner.content == "refused":
            raise RuntimeError("no room")
        deployment = FakeDeployment(plan, runner)
        self.deployments.setdefault((plan.model, plan.version), []).append(deployment)
        return deployment

    def route(self, model: str, route: Route | None) -> None:
        for deployment in route.versions.values() if route else ():
            assert isinstance(deployment, FakeDeployment)
            assert not deployment.drained, "routed to a version that was drained"
        self.routes[model] = route
        default = route.default if route else 0
        if not self.defaults or self.defaults[-1] != default:
            self.defaults.append(default)
