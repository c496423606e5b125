"""Runs of one thread leave the CPU to the fronts, if the engine is told so."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from maas_server.models.runner import Array, RunBatch
from tests.server.one_model import PLAN, SECONDS, PlannedRunner, one_model


class Nice(PlannedRunner):
    """Answers with the niceness of the thread that it runs in."""

    def run(self, batch: RunBatch) -> Sequence[Array]:
        niceness = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        return [np.full(batch.inputs[0].shape, niceness, np.float32)]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere niceness is not a thread's")
@pytest.mark.parametrize(("yields", "threads", "nicer"), [(True, 1, 10), (True, 2, 0), (False, 1, 0)])
async def test_a_run_of_one_thread_is_nicer_than_the_fronts_if_it_yields(
    yields: bool, threads: int, nicer: int
) -> None:
    async with one_model(replace(PLAN, threads=threads), Nice(), runs_yield=yields) as model:
        (niceness,) = await model.answer(0, SECONDS)
        # 19 is the most.
        assert niceness == min(os.getpriority(os.PRIO_PROCESS, 0) + nicer, 19)
