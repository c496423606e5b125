"""How the core's refusals leave: cheaply, since a server under overload sends little else."""

from __future__ import annotations

import asyncio
import gc

import grpc
import numpy as np
import pytest
from google.rpc import status_pb2

from benchmarks.open_loop.arrivals import Arrivals
from benchmarks.open_loop.generator import offer
from benchmarks.open_loop.kind import Kind
from maas_server._stubs.inference import grpc_service_pb2
from tests.rpc.inference import Inference
from tests.server.in_process import PREDICT, SECONDS, Refused, request, tensor

INFER = "/inference.GRPCInferenceService/ModelInfer"
COUNT = 20


def too_many_inputs(method: str) -> bytes:
    if method == PREDICT:
        return request("scaled", tensor("no", np.zeros((1, 2), np.float32))).SerializeToString()
    wrong = grpc_service_pb2.ModelInferRequest(model_name="scaled")
    wrong.inputs.add(name="no", datatype="FP32", shape=[1, 2])
    wrong.raw_input_contents.append(bytes(8))
    return wrong.SerializeToString()


@pytest.mark.parametrize("method", [PREDICT, INFER])
async def test_a_refusal_is_trailers_alone_so_that_clients_may_retry(inference: Inference, method: str) -> None:
    kind = Kind("refused", method, too_many_inputs(method), SECONDS)
    arrivals = Arrivals(np.zeros(COUNT), np.zeros(COUNT, np.int64), 1.0)

    target = f"127.0.0.1:{inference.server.server.port}"
    outcome = await asyncio.to_thread(offer, target, [kind], arrivals)

    assert outcome.by_status() == {grpc.StatusCode.INVALID_ARGUMENT.value[0]: COUNT}
    assert not outcome.received.any()
    assert outcome.samples[3][":status"] == "200"


@pytest.mark.parametrize("method", [PREDICT, INFER])
async def test_a_refusal_keeps_its_message_and_details(inference: Inference, method: str) -> None:
    with pytest.raises(Refused) as caught:
        await inference.server.call(method, too_many_inputs(method))
    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.reason
    assert caught.value.status.message == caught.value.message
    assert caught.value.status != status_pb2.Status()


@pytest.mark.parametrize("method", [PREDICT, INFER])
async def test_refusals_leave_nothing_for_the_collector(inference: Inference, method: str) -> None:
    async def refused() -> None:
        with pytest.raises(Refused):
            await inference.server.call(method, too_many_inputs(method))

    await refused()
    gc.collect()
    gc.disable()
    try:
        for _ in range(COUNT):
            await refused()
        # The last one may not be over yet on the server's side.
        left = [each for each in gc.get_objects() if isinstance(each, grpc.aio.AbortError)]
    finally:
        gc.enable()
    assert len(left) <= 1
