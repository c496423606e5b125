"""A real server with HTTP is told to stop, and one that cannot have its port."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.integration import graphs
from tests.integration.serving import ServeProcess, eventually

WIDTH, REQUESTS = 512, 8


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    graphs.place(tmp_path, "slow", 1, graphs.slow(WIDTH))
    (tmp_path / "slow" / "maas.yaml").write_text("batching: {max_batch_size: 2}\n")
    return tmp_path


@pytest.fixture
def server(repository: Path) -> Iterator[ServeProcess]:
    process = ServeProcess((repository, "--drain-delay", "1"))
    try:
        process.start()
        yield process
    finally:
        process.kill()


def test_what_was_accepted_over_http_is_answered(server: ServeProcess) -> None:
    base = f"http://127.0.0.1:{server.wait_for_event('http_listening')['http_port']}"
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, WIDTH], "data": [1] * WIDTH}]}

    def infer() -> httpx.Response:
        return httpx.post(f"{base}/v2/models/slow/infer", json=body, timeout=60)

    with ThreadPoolExecutor(REQUESTS + 1) as pool:
        early = [pool.submit(infer) for _ in range(REQUESTS)]
        eventually(lambda: server.version("slow").counters.accepted == REQUESTS, "all requests are accepted")
        server.signal(signal.SIGTERM)
        server.wait_for_event("drain_started")
        unready = httpx.get(f"{base}/v2/health/ready")
        assert (unready.status_code, unready.headers["connection"]) == (503, "close")
        assert httpx.get(f"{base}/v2/health/live").status_code == 200
        late = pool.submit(infer)
        answers = [each.result() for each in [*early, late]]

    assert [answer.status_code for answer in answers] == [200] * (REQUESTS + 1)
    assert server.wait() == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{base}/v2/health/live")


def test_idle_connections_do_not_hold_up_the_end(server: ServeProcess) -> None:
    port = server.wait_for_event("http_listening")["http_port"]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client, socket.create_connection(("127.0.0.1", port)):
        assert client.get("/v2").status_code == 200
        assert server.stop() == 0


def test_a_port_that_is_taken_is_told(repository: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        # Of two flags the last one counts.
        process = ServeProcess((repository,))
        process._command += ["--http-port", str(port)]
        with pytest.raises(AssertionError, match=f"cannot listen on 127.0.0.1:{port} for HTTP"):
            process.start()
        assert process.wait() == 2


def test_http_can_be_off(repository: Path) -> None:
    process = ServeProcess((repository, "--no-http", "--drain-delay", "0"))
    try:
        process.start()
        assert process.stop() == 0
    finally:
        process.kill()
    assert "http_listening" not in process.output
