"""A real `maas serve` process, and what tests want to know of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maas_server._stubs.maas.v1 import model_pb2
from maas_server.client import Client
from tests.fronts import FrontName

READY_TIMEOUT = 120.0
STOP_TIMEOUT = 30.0
POLL_SECONDS = 0.02


class ServeProcess:
    """`maas serve` on a free port of the loopback; its log lines are kept as events."""

    def __init__(self, arguments: tuple[str | Path, ...], front: FrontName = "grpcio") -> None:
        maas = Path(sys.executable).with_name("maas")
        options = ["--front", front, "--grpc-port", "0", "--http-port", "0", "--log-format", "json"]
        self._command = [str(part) for part in (maas, "serve", *arguments, *options)]
        self._process: subprocess.Popen[str] | None = None
        self._changed = threading.Condition()
        self._events: list[dict[str, Any]] = []
        self._output: list[str] = []
        self._ended = False
        self.port = 0

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """All that it printed so far."""
        with self._changed:
            return "".join(self._output)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()
        self.port = self.wait_for_event("ready", READY_TIMEOUT)["grpc_port"]

    def wait_for_event(self, name: str, timeout: float = STOP_TIMEOUT) -> dict[str, Any]:
        """Return the fields of the first log line with this event."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for event in self._events:
                    if event.get("event") == name:
                        return event
                remaining = deadline - time.monotonic()
                if self._ended or remaining <= 0:
                    raise AssertionError(f"no event {name!r}:\n{''.join(self._output)[-8000:]}")
                self._changed.wait(remaining)

    def signal(self, number: int = signal.SIGTERM) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, timeout: float = STOP_TIMEOUT) -> int:
        """Wait for its end and return the exit status."""
        assert self._process is not None
        return self._process.wait(timeout)

    def stop(self) -> int:
        """Ask it to end, wait, and return the exit status."""
        self.signal()
        return self.wait()

    def kill(self) -> None:
        """End it whatever it does; for cleaning up."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def resident_bytes(self) -> int:
        """Its memory at this moment."""
        assert self._process is not None
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def client(self, **settings: Any) -> Client:
        return Client(self.target, **settings)

    def status(self, model: str) -> model_pb2.ModelInfo:
        with self.client() as client:
            return client.status(model)[0]

    def version(self, model: str, version: int = 1) -> model_pb2.VersionInfo:
        """Return one version's status."""
        return next(info for info in self.status(model).versions if info.version == version)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                with self._changed:
                    self._output.append(line)
                    if line.startswith("{"):
                        self._events.append(json.loads(line))
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


@contextmanager
def serving(*arguments: str | Path, front: FrontName = "grpcio") -> Iterator[ServeProcess]:
    """A server that runs for as long as the block, and must then end well on SIGTERM."""
    process = ServeProcess(arguments, front)
    try:
        process.start()
        yield process
        assert process.stop() == 0, process.output[-8000:]
    finally:
        process.kill()


def eventually(holds: Callable[[], bool], what: str, timeout: float = 30.0) -> None:
    """Poll until `holds()`; fail with `what` after `timeout` seconds.

    What is asked about is in another process, which tells nobody; the pause leaves the CPU to it.
    """
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(POLL_SECONDS)
