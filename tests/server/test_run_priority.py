"""Runs of one thread leave the CPU to the fronts, if the engine is told so."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maas_server._stubs.maas.v1 import predict_pb2
from maas_server.engine import Engine
from maas_server.front import Front, Protocol
from maas_server.models.host import Route
from maas_server.models.plan import InputPlan, OutputPlan, VersionPlan
from maas_server.models.runner import Array, RunBatch, RunnerOptions, Signature
from tests.server.in_process import request, tensor

PLAN = VersionPlan(
    model="m",
    version=1,
    inputs=(InputPlan("x", "FP32", (-1,), batch_axis=0),),
    outputs=(OutputPlan("y", "FP32", (-1,), ((0, 0),), batch_axis=0),),
)
SECONDS = 10


class Nice:
    """Answers with the niceness of the thread that it runs in."""

    def load(self, path: Path, options: RunnerOptions) -> None:
        raise NotImplementedError

    def signature(self) -> Signature:
        raise NotImplementedError

    def run(self, batch: RunBatch) -> Sequence[Array]:
        niceness = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        return [np.full(batch.inputs[0].shape, niceness, np.float32)]

    def forget(self, keys: Sequence[int]) -> None:
        pass

    def describe(self) -> str:
        return "nice"

    def close(self) -> None:
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere niceness is not a thread's")
@pytest.mark.parametrize(("yields", "threads", "nicer"), [(True, 1, 10), (True, 2, 0), (False, 1, 0)])
async def test_a_run_of_one_thread_is_nicer_than_the_fronts_if_it_yields(
    yields: bool, threads: int, nicer: int
) -> None:
    engine = Engine(cpus=1, runs_yield=yields)
    front = Front(engine)
    front.attach(asyncio.get_running_loop())
    deployment = engine.deploy(replace(PLAN, threads=threads), Nice())
    engine.route("m", Route({1: deployment}, {}, 1))
    try:
        raw = request("m", tensor("x", np.zeros(1, np.float32))).SerializeToString()
        answer = predict_pb2.PredictResponse.FromString(await front.infer(Protocol.PREDICT, raw, SECONDS))
        niceness = np.frombuffer(answer.outputs[0].data, np.float32)[0]
        # 19 is the most.
        assert niceness == min(os.getpriority(os.PRIO_PROCESS, 0) + nicer, 19)
    finally:
        engine.route("m", None)
        assert await asyncio.to_thread(deployment.drain, SECONDS)
        front.detach()
