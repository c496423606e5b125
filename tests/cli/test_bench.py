"""`maas bench` and the load behind it."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_server._stubs.maas.v1 import model_pb2, tensor_pb2
from maas_server.cli.load import LoadPlan, Record, drive, quantiles, random_inputs
from maas_server.client import BFloat16, Prediction, Receipt
from maas_server.errors import Overloaded
from tests.cli.conftest import INTERRUPTIBLE, Maas
from tests.client.fake_server import FakeServer, error_status
from tests.turns import turn

ANSWER = Prediction("m", 1, "", {}, {}, Receipt(0.002, 0.001, 8, 1, 0.004, 0.003))


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=50))
def test_quantiles_are_values_that_occurred_in_order(values: list[float]) -> None:
    found = quantiles(values, (0.5, 0.9, 1.0))
    assert set(found.values()) <= set(values)
    assert found["p50"] <= found["p90"] <= found["p100"] == max(values)


def test_quantiles_take_the_nearest_rank() -> None:
    assert quantiles(range(1, 1001), (0.5, 0.9, 0.99, 0.999)) == {"p50": 500, "p90": 900, "p99": 990, "p99.9": 999}
    assert quantiles([], (0.5,)) == {}


async def test_a_closed_loop_keeps_its_number_of_requests_under_way() -> None:
    under_way = most = 0

    async def send() -> Prediction:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await turn()
        under_way -= 1
        return ANSWER

    record = Record()
    await drive(LoadPlan(concurrency=5, count=100), send, record)
    assert (record.started, len(record.latencies), most) == (100, 100, 5)


async def test_a_closed_loop_ends_with_its_time() -> None:
    times = iter(range(1000))

    async def send() -> Prediction:
        return ANSWER

    record = Record()
    await drive(LoadPlan(concurrency=1, seconds=10), send, record, clock=lambda: float(next(times)))
    assert 0 < record.started <= 10


async def test_an_open_loop_counts_latency_from_when_a_request_was_due() -> None:
    now = 0.0

    async def slow_start() -> Prediction:
        nonlocal now
        now += 1.0  # Every request holds up all that are due after it.
        return ANSWER

    record = Record()
    await drive(LoadPlan(rate=1000.0, count=10), slow_start, record, clock=lambda: now)
    latencies = sorted(record.latencies)
    assert len(latencies) == 10
    assert latencies[-1] == pytest.approx(10.0, abs=0.1)


async def test_an_open_loop_knows_how_far_it_is_behind() -> None:
    times = iter(range(1000))

    async def send() -> Prediction:
        return ANSWER

    record = Record()
    await drive(LoadPlan(rate=1e6, count=10), send, record, clock=lambda: float(next(times)))
    assert record.behind == pytest.approx(record.sending, abs=0.1)
    assert record.sending > 10
    summary = record.summary(rows=1)
    assert summary["started_per_second"] == pytest.approx(10 / record.sending)
    assert not summary["rate_kept"]


async def test_a_rate_is_judged_by_the_time_of_sending_not_by_that_of_the_last_answer() -> None:
    now = 0.0

    async def send() -> Prediction:
        await turn()
        return ANSWER

    def clock() -> float:
        nonlocal now
        now += 1e-4
        return now

    fast, slow = Record(), Record()
    await drive(LoadPlan(rate=1e6, count=20), send, fast, clock=clock)
    fast.elapsed = 1000.0
    await drive(LoadPlan(rate=20.0, count=3), send, slow, clock=clock)
    assert (fast.summary(rows=1)["rate_kept"], slow.summary(rows=1)["rate_kept"]) == (False, True)


async def test_an_open_loop_does_not_wait_for_answers() -> None:
    started = asyncio.Semaphore(0)
    release = asyncio.Event()

    async def send() -> Prediction:
        started.release()
        await release.wait()
        return ANSWER

    record = Record()
    task = asyncio.create_task(drive(LoadPlan(rate=1e5, count=20), send, record))
    for _ in range(20):
        await asyncio.wait_for(started.acquire(), 20)
    release.set()
    await task
    assert len(record.latencies) == 20


async def test_errors_are_counted_by_code_and_reason_and_stop_nothing() -> None:
    numbers = iter(range(100))

    async def send() -> Prediction:
        await turn()
        if (number := next(numbers)) % 2:
            raise Overloaded("full", reason="QUEUE_FULL" if number < 4 else "DEADLINE_UNREACHABLE")
        return ANSWER

    record = Record()
    await drive(LoadPlan(concurrency=2, count=10), send, record)
    summary = record.summary(rows=4)
    assert summary["errors"] == {"RESOURCE_EXHAUSTED": 5}
    assert summary["reasons"] == [
        {"code": "RESOURCE_EXHAUSTED", "reason": "QUEUE_FULL", "count": 2},
        {"code": "RESOURCE_EXHAUSTED", "reason": "DEADLINE_UNREACHABLE", "count": 3},
    ]
    assert summary["started"] == 10
    assert summary["answered"] == 5
    assert summary["rows_per_second"] == pytest.approx(4 * summary["requests_per_second"])
    assert summary["mean_batch_size"] == 8
    assert summary["mean_queue_seconds"] == pytest.approx(0.002)
    assert summary["mean_predicted_seconds"] == pytest.approx(0.004)
    assert summary["mean_total_seconds"] == pytest.approx(0.003)


def test_an_answer_is_in_time_within_the_deadline() -> None:
    record = Record()
    for seconds in (0.1, 0.2, 0.3):
        record.succeed(seconds, ANSWER)
    record.fail(Overloaded("full"))
    assert record.summary(rows=1, deadline=0.2)["in_time"] == 2
    assert record.summary(rows=1)["in_time"] is None


def signature(*tensors: tuple[str, str, list[int]]) -> model_pb2.Signature:
    return model_pb2.Signature(inputs=[model_pb2.TensorSignature(name=n, datatype=d, shape=s) for n, d, s in tensors])


@pytest.mark.parametrize("datatype", tensor_pb2.DataType.keys()[1:])
def test_random_inputs_have_the_signatures_datatype_and_shape(datatype: str) -> None:
    value = random_inputs(signature(("x", datatype, [-1, 3, -1])), rows=4, shapes={}, seed=1)["x"]
    array: Any = value.bits if isinstance(value, BFloat16) else value
    assert array.shape == (4, 3, 1)
    again: Any = random_inputs(signature(("x", datatype, [-1, 3, -1])), rows=4, shapes={}, seed=1)["x"]
    np.testing.assert_array_equal(array, again.bits if isinstance(again, BFloat16) else again)


def test_inputs_that_the_server_fills_are_left_out_unless_their_shape_is_given() -> None:
    both = signature(("ids", "INT64", [-1, -1]), ("mask", "INT64", [-1, -1]))
    both.inputs[1].optional = True
    assert random_inputs(both, 1, {"ids": (1, 7)}, 0).keys() == {"ids"}
    inputs: Any = random_inputs(both, 1, {"ids": (1, 7), "mask": (1, 7)}, 0)
    assert inputs["mask"].shape == (1, 7)
    assert set(np.unique(inputs["ids"])) <= {0, 1}


@pytest.mark.parametrize("extra", [[], ["--stream"], ["--rate", "2000"], ["--quantize", "int8"]])
def test_bench_measures_each_way_of_sending(maas: Maas, server: FakeServer, extra: list[str]) -> None:
    result = maas("bench", "digits", "--count", "40", "--warmup", "0", "--rows", "3", "--json", *extra)
    assert result.exit_code == 0
    summary = json.loads(result.stdout)
    assert (summary["answered"], summary["errors"], summary["mean_batch_size"]) == (40, {}, 4)
    assert summary["latency_seconds"].keys() == {"p50", "p90", "p99", "p99.9"}
    assert {tuple(each.inputs[0].shape) for each in server.requests} == {(3, 4)}
    assert bool(server.messages) == ("--stream" in extra)


def test_bench_prints_a_readable_summary(maas: Maas) -> None:
    lines = maas("bench", "digits", "--duration", "0.2", "--warmup", "0.05").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["answered", "throughput", "latency", "server", "predicted", "errors"]
    assert lines[-1].endswith("none")


def test_bench_with_a_deadline_gives_it_to_each_request_and_says_how_many_made_it(
    maas: Maas, server: FakeServer
) -> None:
    result = maas("bench", "digits", "--count", "10", "--warmup", "0", "--deadline", "20", "--timeout", "60")
    assert result.exit_code == 0
    assert "in time    10 of 10 requests, 100.0%" in result.stdout.splitlines()
    assert len(server.predict_seconds) == 10
    # The wire rounds up.
    assert all(seconds is not None and seconds < 30 for seconds in server.predict_seconds)


def test_bench_names_priority_and_metadata(maas: Maas, server: FakeServer) -> None:
    extra = ["--priority", "2", "--metadata", "x-tenant=search", "--metadata", "x-note=a=b"]
    result = maas("bench", "digits", "--count", "3", "--warmup", "0", *extra)
    assert result.exit_code == 0
    assert {each.priority for each in server.requests} == {2}
    assert {(each["x-tenant"], each["x-note"]) for each in server.metadata} == {("search", "a=b")}


@pytest.mark.parametrize("metadata", ["x-tenant", "=search", "X-Tenant=search", "x-bin=1", "x tenant=1"])
def test_metadata_that_grpc_does_not_take_is_wrong_usage(maas: Maas, metadata: str) -> None:
    result = maas("bench", "digits", "--metadata", metadata)
    assert result.exit_code == 2
    assert "expected KEY=VALUE" in result.stderr


def test_bench_shows_a_bar_on_a_terminal_and_its_figures_when_interrupted(server: FakeServer) -> None:
    script = f"{INTERRUPTIBLE}\nfrom maas_server.cli import main\nmain()"
    command = [sys.executable, "-c", script, "bench", "digits", "--duration", "600", "--warmup", "0"]
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    environment = {**os.environ, "MAAS_ADDRESS": server.address}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment, text=True) as process:
        os.close(theirs)
        try:
            shown = b""
            while b" requests/s, 0 errors" not in shown:
                assert select.select([ours], [], [], 30)[0], shown
                shown += os.read(ours, 4096)
        finally:
            process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    os.close(ours)
    assert process.returncode == 0
    assert "latency    mean" in output


def test_a_rate_that_is_kept_is_not_called_missed(maas: Maas) -> None:
    slow = maas("bench", "digits", "--rate", "2", "--count", "2", "--warmup", "0").stdout
    assert "requests/s started" in slow
    assert "MISSED" not in slow
    fast = maas("bench", "digits", "--rate", "1e7", "--count", "300", "--warmup", "0").stdout
    assert "MISSED: this client cannot send that fast" in fast


def test_bench_that_gets_no_answer_at_all_fails_with_the_first_error(maas: Maas, server: FakeServer) -> None:
    server.behaviour = lambda _: error_status(grpc.StatusCode.INTERNAL, "the run failed")
    result = maas("bench", "digits", "--count", "5", "--warmup", "0")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-2:] == ["errors     5", "  5 INTERNAL INTERNAL"]
    assert "the run failed" in result.stderr


@pytest.mark.parametrize("shape", ["image", "image=a,b", "image=-1,4", "=1"])
def test_a_shape_that_is_none_is_wrong_usage(maas: Maas, shape: str) -> None:
    result = maas("bench", "digits", "--shape", shape)
    assert result.exit_code == 2
    assert "expected NAME=1,3,224,224" in result.stderr


def test_a_model_without_a_version_that_answers_is_an_error(maas: Maas, server: FakeServer) -> None:
    server.models["digits"].default_version = 0
    result = maas("bench", "digits", "--count", "1")
    assert result.exit_code == 1
    assert "no version of digits is AVAILABLE" in result.stderr
