"""SIGTERM: what was accepted is answered, and a second signal waits for nothing."""

from __future__ import annotations

import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest

from maas_server.client import Client, Prediction
from maas_server.errors import MaasError
from tests.fronts import FrontName
from tests.integration import graphs
from tests.integration.conftest import Serve
from tests.integration.serving import ServeProcess, eventually
from tests.integration.steady import SteadyLoad
from tests.server.in_process import PREDICT, request, tensor

SLOW_WIDTH, SLOW_REQUESTS = 512, 12

STUCK = """
import threading
from maas_server.models.onnx_runner import OnnxRunner

class Stuck(OnnxRunner):
    def close(self):
        threading.Event().wait()
"""

# Its runs return until there is the file `hold`, and make the file `held` when one does not.
STUCK_RUN = """
import os, pathlib, threading
from maas_server.models.onnx_runner import OnnxRunner

class Stuck(OnnxRunner):
    def run_with(self, batch, options):
        folder = pathlib.Path(os.environ["STUCK_FOLDER"])
        if (folder / "hold").exists():
            (folder / "held").touch()
            threading.Event().wait()
        return super().run_with(batch, options)
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "models"
    path.mkdir()
    graphs.place(path, "quick", 1, graphs.multiply(1))
    graphs.place(path, "slow", 1, graphs.slow(SLOW_WIDTH))
    (path / "slow" / "maas.yaml").write_text("batching: {max_batch_size: 2}\n")
    return path


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The TMPDIR of servers that start now; its name is short, because sockets go there."""
    folder = tmp_path_factory.mktemp("t")
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def of_servers(temporary: Path) -> list[Path]:
    return list(temporary.glob("maas-*"))


def stuck_repository(folder: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose model `quick` is run by the class Stuck of `source`."""
    package = folder / "package"
    information = package / "stuck-1.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: stuck\nVersion: 1\n")
    (information / "entry_points.txt").write_text("[maas_server.runners]\nstuck = stuck:Stuck\n")
    (package / "stuck.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(package))
    repository = folder / "models"
    graphs.place(repository, "quick", 1, graphs.multiply(1))
    (repository / "quick" / "maas.yaml").write_text("runner: stuck\n")
    return repository


def slow_calls(client: Client, pool: ThreadPoolExecutor, server: ServeProcess) -> list[Future[Prediction]]:
    """Send requests that take long, and return once the server has accepted all of them."""
    row = np.ones((1, SLOW_WIDTH), np.float32)
    futures = [pool.submit(client.predict, "slow", {"x": row}) for _ in range(SLOW_REQUESTS)]
    eventually(lambda: server.version("slow").counters.accepted == SLOW_REQUESTS, "all slow requests are accepted")
    return futures


def test_callers_who_go_on_after_the_delay_are_told_to_go_elsewhere(serve: Serve, repository: Path) -> None:
    server = serve(repository, "--drain-delay", "0")
    row = np.ones((1, 4), np.float32)
    ends: list[grpc.StatusCode] = []

    def ask_until_refused() -> None:
        with grpc.insecure_channel(server.target) as channel:
            predict: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(PREDICT)
            raw = request("quick", tensor("x", row)).SerializeToString()
            try:
                while True:
                    predict(raw, timeout=30)
            except grpc.RpcError as error:
                ends.append(error.code())

    with ThreadPoolExecutor(8) as pool:
        callers = [pool.submit(ask_until_refused) for _ in range(8)]
        eventually(lambda: server.version("quick").counters.succeeded > 50, "load is flowing")
        server.signal(signal.SIGTERM)
        for caller in callers:
            caller.result()
    assert ends == [grpc.StatusCode.UNAVAILABLE] * 8
    assert server.wait() == 0


def test_a_drain_under_load_loses_no_request(serve: Serve, repository: Path) -> None:
    server = serve(repository, "--drain-delay", "1.5")

    with SteadyLoad(server.target, "quick") as load, server.client() as client:
        eventually(lambda: len(load.versions) > 100, "load is flowing")
        server.signal(signal.SIGTERM)
        # As a load balancer does: it goes on sending until it sees the health change, and some time after that.
        eventually(lambda: not client.ready(), "health turns NOT_SERVING")
        seen = len(load.versions)
        eventually(lambda: len(load.versions) > seen + 100, "requests are still accepted")
        assert client.ready("liveness")
        assert not client.ready("quick")
        load.stop()

    assert load.failures == []
    assert server.wait() == 0


def test_what_was_accepted_is_answered_before_the_end(serve: Serve, repository: Path) -> None:
    server = serve(repository, "--drain-delay", "0")

    with Client(server.target, timeout=60) as client, ThreadPoolExecutor(SLOW_REQUESTS) as pool:
        futures = slow_calls(client, pool, server)
        server.signal(signal.SIGTERM)
        answers = [future.result() for future in futures]

    assert len(answers) == SLOW_REQUESTS
    assert all(np.isfinite(answer["y"]).all() for answer in answers)
    assert server.wait() == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(serve: Serve, repository: Path, temporary: Path, second: signal.Signals) -> None:
    server = serve(repository, "--drain-delay", "60", "--grace", "60")

    server.signal(signal.SIGTERM)
    with server.client() as client:
        eventually(lambda: not client.ready(), "the drain began")
    assert server.running
    asked = time.monotonic()
    server.signal(second)

    assert server.wait(10) != 0
    assert time.monotonic() - asked < 5
    assert of_servers(temporary) == []


def test_requests_that_outlast_the_grace_fail_and_the_server_ends(serve: Serve, repository: Path) -> None:
    server = serve(repository, "--drain-delay", "0", "--grace", "0")

    with Client(server.target, timeout=5) as client, ThreadPoolExecutor(SLOW_REQUESTS) as pool:
        futures = slow_calls(client, pool, server)
        server.signal(signal.SIGTERM)
        failures = [future.exception() for future in futures]

    assert server.wait(10) is not None
    assert any(isinstance(failure, MaasError) for failure in failures)


def test_a_runner_that_never_returns_does_not_keep_the_server(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = stuck_repository(tmp_path, STUCK, monkeypatch)
    server = serve(repository, "--drain-delay", "0", "--grace", "0")

    server.signal(signal.SIGTERM)

    assert server.wait(15) == 0
    assert server.wait_for_event("stopped_with_threads")


def test_a_run_that_never_returns_does_not_keep_the_server(
    serve: Serve, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, front: FrontName
) -> None:
    monkeypatch.setenv("STUCK_FOLDER", str(tmp_path))
    server = serve(stuck_repository(tmp_path, STUCK_RUN, monkeypatch), "--drain-delay", "0", "--grace", "0")

    with Client(server.target, timeout=60) as client, ThreadPoolExecutor(1) as pool:
        (tmp_path / "hold").touch()
        call = pool.submit(client.predict, "quick", {"x": np.ones((1, 4), np.float32)})
        eventually((tmp_path / "held").exists, "the run has begun")
        server.signal(signal.SIGTERM)
        assert isinstance(call.exception(), MaasError)

    assert server.wait(20) == 0
    left = server.wait_for_event("stopped_with_threads")["threads"]
    assert ("maas-io" in left) == (front == "compiled")
    assert of_servers(temporary) == []
