"""The compiled core through its binding: what goes in comes out once, and nothing is kept that should go."""

from __future__ import annotations

import select
import sys
import weakref
from typing import Any

import numpy as np
import pytest

from maas_server import _core
from maas_server._stubs.maas.v1 import predict_pb2
from tests.core.conftest import Served, double, floats, make_version, message, raw_request


class Token:
    """Stands for a future; the core only keeps a reference to it."""


def answer(result: Any) -> predict_pb2.PredictResponse:
    assert type(result) is bytes, result
    return predict_pb2.PredictResponse.FromString(result)


def readable(core: _core.Front) -> bool:
    return bool(select.select([core.fileno()], [], [], 0)[0])


def test_an_answer_comes_back_as_bytes_with_its_future(served: Served) -> None:
    future = Token()
    served.submit(raw_request(2, 3, value=4.0, id="a"), future)
    assert not readable(served.core)
    assert served.run_all(double) == 1
    assert readable(served.core)
    response = answer(served.drain()[future])
    assert (response.id, response.model, response.version) == ("a", "m", 1)
    assert list(response.outputs[0].shape) == [2, 3]
    assert floats(response) == [8.0] * 6
    assert not readable(served.core)
    assert served.drain() == {}


def test_references_to_bytes_and_future_go_with_the_drained_completion(served: Served) -> None:
    raw, future = raw_request(1, 1), Token()
    before = sys.getrefcount(raw), sys.getrefcount(future)
    served.submit(raw, future)
    assert (sys.getrefcount(raw), sys.getrefcount(future)) == (before[0] + 1, before[1] + 1)
    served.run_all(double)
    result = served.drain()
    assert sys.getrefcount(raw) == before[0]
    result.clear()
    assert sys.getrefcount(future) == before[1]


def test_references_go_when_a_request_is_refused(served: Served) -> None:
    raw, future = b"\xff" + raw_request(1, 1), Token()
    before = sys.getrefcount(raw), sys.getrefcount(future)
    with pytest.raises(_core.CoreError):
        served.submit(raw, future)
    assert (sys.getrefcount(raw), sys.getrefcount(future)) == before


def test_a_refusal_carries_code_reason_message_and_field(served: Served) -> None:
    with pytest.raises(_core.CoreError) as caught:
        served.submit(raw_request(1, 1, model="nobody"))
    code, reason, text, violations, retry_after_ns, details = caught.value.args
    assert (code, reason, violations, retry_after_ns) == (5, "MODEL_NOT_FOUND", (), 0)
    assert "'nobody'" in text
    assert reason.encode() in details
    with pytest.raises(_core.CoreError) as caught:
        served.submit(message(np.zeros((1, 1, 1))).SerializeToString())
    assert caught.value.args[0] == 3
    assert caught.value.args[3][0][0] == "inputs[0].shape"


def test_a_full_queue_says_when_to_come_back() -> None:
    served = Served(make_version(max_queue_rows=4))
    served.version.record_run(4, 2_000_000)
    served.submit(raw_request(4, 1))
    with pytest.raises(_core.CoreError) as caught:
        served.submit(raw_request(1, 1))
    assert caught.value.args[:2] == (8, "QUEUE_FULL")
    assert caught.value.args[4] == 2_000_000
    assert served.version.counters()["rejected"] == 1


def test_cancelling_completes_what_waits(served: Served) -> None:
    raw, gone, kept = raw_request(1, 1), Token(), Token()
    ticket = served.submit(raw, gone)
    served.submit(raw, kept)
    served.core.cancel(ticket)
    served.core.cancel(ticket)
    assert served.drain()[gone][:2] == (1, "CANCELLED")
    served.run_all(double)
    assert floats(answer(served.drain()[kept])) == [2.0]
    counters = served.version.counters()
    assert (counters["accepted"], counters["cancelled"], counters["succeeded"], counters["pending"]) == (2, 1, 1, 0)


def test_a_stale_ticket_cancels_nobody(served: Served) -> None:
    stale = served.submit(raw_request(1, 1), "first")
    served.core.cancel(stale)
    served.drain()
    ticket = served.submit(raw_request(1, 1), "second")
    assert ticket & 0xFFFFFFFF == stale & 0xFFFFFFFF, "the slot is used again"
    for wrong in (stale, 0, 12345, 2**64 - 1):
        served.core.cancel(wrong)
    assert served.drain() == {}
    served.run_all(double)
    assert floats(answer(served.drain()["second"])) == [2.0]


def test_a_lane_and_its_memory_are_reused_by_key(served: Served) -> None:
    for _ in range(2):
        served.submit(raw_request(4, 2))
    keys, arrays = [], []
    served.version.close()
    key = served.instance.next()
    while key is not None:
        keys.append(key)
        arrays.append(served.instance.arrays())
        double(served.instance)
        key = served.instance.finish(None)
    assert keys[0] == keys[1] != 0
    assert arrays[0][0][0].ctypes.data == arrays[1][0][0].ctypes.data


def test_keys_are_forgotten_when_their_memory_moves(served: Served) -> None:
    served.submit(raw_request(1, 1))
    served.submit(raw_request(1, 100_000))
    served.version.close()
    first = served.instance.next()
    assert served.instance.forgotten() == []
    double(served.instance)
    second = served.instance.finish(None)
    assert served.instance.forgotten() == [first]
    assert second not in (0, first)
    double(served.instance)
    assert served.instance.finish(None) is None


def test_inputs_are_read_only_and_outputs_are_not(served: Served) -> None:
    served.submit(raw_request(1, 2))
    served.instance.next()
    (x,), (y,) = served.instance.arrays()
    assert y is not None
    assert not x.flags.writeable
    assert y.flags.writeable
    assert x.dtype == np.float32
    assert x.shape == (1, 2)


def test_arrays_keep_their_instance_alive(served: Served) -> None:
    served.submit(raw_request(1, 2, value=3.0))
    served.instance.next()
    (x,), _ = served.instance.arrays()
    references = sys.getrefcount(served.instance)
    del served.instance
    assert x.base is not None
    assert references > 2
    assert x.tolist() == [[3.0, 3.0]]


def test_a_large_aligned_request_is_read_where_it_lies() -> None:
    bound = 0
    for length in range(1, 5):  # Of the id, which comes before the data and moves it.
        served = Served(make_version())
        raw = raw_request(1, 100_000, value=2.0, id="i" * length)
        start = np.frombuffer(raw, np.uint8).ctypes.data
        served.submit(raw, "f")
        served.version.close()
        key = served.instance.next()
        (x,), _ = served.instance.arrays()
        in_place = start <= x.ctypes.data < start + len(raw)
        assert (key == 0) == in_place
        bound += in_place
        double(served.instance)
        assert served.instance.finish(None) is None
        assert set(floats(answer(served.drain()["f"]))) == {4.0}
    assert bound == 1


@pytest.mark.parametrize(
    ("outputs", "complaint"),
    [
        ([np.zeros((1, 1), np.float64)], "expected FP32, got an array of float64"),
        ([np.zeros((1, 1), np.int32)], "expected FP32, got an array of int32"),
        ([np.zeros((1, 1), ">f4")], "expected FP32, got an array of >f4"),
        ([np.zeros((1, 1), np.object_)], "expected FP32, got an array of object"),
        ([[1.0]], "expected a numpy array"),
        ([], "expected 1, got 0"),
        ([np.zeros((1, 1), np.float32)] * 2, "expected 1, got 2"),
        ([np.zeros((1,) * 17, np.float32)], "expected a rank of at most 16, got 17"),
        ([np.zeros((1, 2, 1), np.float32)], "of shape [1,2,1], expected [1,-1]"),
        ([np.zeros((2, 1), np.float32)], "of shape [2,1], expected [1,-1]"),
        (7, ""),
    ],
)
def test_wrong_outputs_fail_the_run_and_the_instance_goes_on(served: Served, outputs: Any, complaint: str) -> None:
    served.submit(raw_request(1, 1), "bad")
    served.submit(raw_request(1, 2), "good")
    results = [outputs, None]

    def run(instance: _core.Instance) -> Any:
        double(instance)
        return results.pop(0)

    assert served.run_all(run) == 2
    done = served.drain()
    assert done["bad"][0] == 13
    assert complaint in done["bad"][2]
    assert floats(answer(done["good"])) == [2.0, 2.0]


def test_outputs_need_be_neither_in_place_nor_contiguous(served: Served) -> None:
    served.submit(raw_request(2, 3, value=1.0), "f")
    outputs = [np.arange(12, dtype=np.float32).reshape(3, 4)[:, :2].T]
    served.run_all(lambda _: outputs)
    assert floats(answer(served.drain()["f"])) == [0.0, 4.0, 8.0, 1.0, 5.0, 9.0]
    reference = weakref.ref(outputs[0])
    outputs.clear()
    assert reference() is None, "the runner's array is not kept"


def test_a_failing_batch_is_run_again_one_by_one(served: Served) -> None:
    for value in (1.0, 13.0, 2.0):
        served.submit(raw_request(1, 1, value=value), value)

    def run(instance: _core.Instance) -> None:
        (x,), _ = instance.arrays()
        if 13.0 in x:
            raise ValueError("thirteen")
        double(instance)

    assert served.run_all(run) == 4
    done = served.drain()
    assert floats(answer(done[1.0])) == [2.0]
    assert floats(answer(done[2.0])) == [4.0]
    assert done[13.0][:3] == (13, "RUN_FAILED", "thirteen")


def test_a_request_larger_than_a_batch_is_split_and_rejoined(served: Served) -> None:
    served.submit(message(np.arange(10.0).reshape(10, 1)).SerializeToString(), "f")
    assert served.run_all(double) == 3
    response = answer(served.drain()["f"])
    assert floats(response) == [2.0 * n for n in range(10)]
    assert response.receipt.batches == 3


def test_aborting_fails_what_waits(served: Served) -> None:
    served.submit(raw_request(1, 1), "f")
    served.version.abort(14, "DRAIN_TIMEOUT", "too late")
    assert served.drain()["f"][:3] == (14, "DRAIN_TIMEOUT", "too late")
    assert served.instance.next() is None


def test_calls_out_of_order_are_refused(served: Served) -> None:
    for call in (served.instance.arrays, lambda: served.instance.finish(None)):
        with pytest.raises(RuntimeError, match="call next"):
            call()
    with pytest.raises(RuntimeError, match="call next"):
        served.instance.fail(13, "R", "m")
    served.submit(raw_request(1, 1))
    served.instance.next()
    with pytest.raises(RuntimeError, match="call finish"):
        served.instance.next()


@pytest.mark.parametrize("code", [-1, 0, 15, 99])
def test_a_failure_needs_the_code_of_an_error(served: Served, code: int) -> None:
    served.submit(raw_request(1, 1))
    served.instance.next()
    with pytest.raises(ValueError, match="code: expected 1 to 14"):
        served.instance.fail(code, "R", "m")
    with pytest.raises(ValueError, match="code: expected 1 to 14"):
        served.version.abort(code, "R", "m")


@pytest.mark.parametrize(
    "settings",
    [
        {"default_timeout_us": -1},
        {"default_timeout_us": 1 << 62},
        {"timeout_action": "drop"},
        {"max_queue_size": -1},
    ],
)
def test_a_policy_that_means_nothing_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        _core.QueuePolicy(**settings)


@pytest.mark.parametrize(("levels", "default"), [(0, 1), (2, 3), (2, 0), (1 << 33, 1)])
def test_priorities_need_a_default_among_their_levels(levels: int, default: int) -> None:
    with pytest.raises(ValueError, match="levels, default"):
        _core.Priorities(levels=levels, default=default)


def test_nothing_is_not_a_version(served: Served) -> None:
    with pytest.raises(TypeError):
        _core.Instance(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="versions: got None"):
        served.engine.set_route("m", {1: None}, {}, 1, set())  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"max_batch_size": 0}, "expected at least 1"),
        ({"max_request_rows": 0}, "expected at least 1"),
        ({"max_queue_delay_us": -1}, "max_queue_delay_us"),
        ({"preferred_batch_sizes": [4, 2]}, "preferred_batch_sizes"),
        ({"preferred_batch_sizes": [0]}, "preferred_batch_sizes"),
        ({"preferred_batch_sizes": [5]}, "1 to max_batch_size"),
        ({"pad_groups": [[]]}, "ascending order"),
        ({"pad_groups": [[4, 2]]}, "ascending order"),
        ({"inputs": [_core.InputSpec(name="x", datatype="FP32", shape=[-1], batch_axis=1)]}, "'x': batch_axis"),
        ({"inputs": [_core.InputSpec(name="x", datatype="FP32", shape=[1] * 17)]}, "rank of at most 16"),
        ({"inputs": [_core.InputSpec(name="x", datatype="FP32", shape=[-1], pad_group=0)]}, "'x': pad_group"),
        (
            {
                "inputs": [_core.InputSpec(name="x", datatype="FP32", shape=[-1], pad_group=0, auto_fill="mask")],
                "pad_groups": [[4]],
            },
            "do not agree",
        ),
        (
            {"outputs": [_core.OutputSpec(name="y", datatype="FP32", shape=[-1], sources=[(1, 0)])]},
            "no input of that number",
        ),
        (
            {"outputs": [_core.OutputSpec(name="y", datatype="FP32", shape=[-1], sources=[(0, 2)])]},
            "no such dimension",
        ),
    ],
)
def test_a_spec_that_points_to_nothing_is_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        make_version(**changes)


def test_the_stub_names_what_the_module_has() -> None:
    assert _core.NEVER == 2**63 - 1
    assert _core.simd() in {"portable", "avx2", "avx512"}
    assert _core.__version__
