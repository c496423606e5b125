"""Models that are loaded while others serve are served like those."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from maas_server._stubs.maas.v1 import model_pb2
from tests.models import onnx_models
from tests.server.in_process import InProcessServer, request, tensor

LOAD = "/maas.v1.ModelService/LoadModel"


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="the policy is Linux's")
async def test_a_model_that_comes_later_runs_at_the_usual_priority(server: InProcessServer, tmp_path: Path) -> None:
    folder = tmp_path / "late" / "1"
    folder.mkdir(parents=True)
    onnx_models.save(onnx_models.linear(width=4), folder / "model.onnx")
    for path in (folder / "model.onnx", folder, folder.parent):
        os.utime(path, (1, 1))
    await server.call(LOAD, model_pb2.LoadModelRequest(model="late").SerializeToString())
    await server.predict(request("late", tensor("x", np.ones((1, 4), np.float32))))
    lanes = {thread.name: thread.native_id for thread in threading.enumerate() if thread.name.startswith("maas-run-")}
    policies = {name: os.sched_getscheduler(identity) for name, identity in lanes.items() if identity is not None}
    assert "maas-run-late:1#0" in policies
    assert os.SCHED_IDLE not in policies.values()
