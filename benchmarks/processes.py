"""Server processes under measurement: started on one core, their CPU time and memory read from /proc."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from maas_server._stubs.maas.v1 import model_pb2
from maas_server.client import Client

SERVER_CORE, LOAD_CORE = 0, 1
READY_TIMEOUT = 120.0
STOP_TIMEOUT = 30.0

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_POLICIES = {os.SCHED_OTHER: "SCHED_OTHER", os.SCHED_BATCH: "SCHED_BATCH", os.SCHED_IDLE: "SCHED_IDLE"}


class Server:
    """A process on the server core; use as a context manager, which ends it."""

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        self.pid = process.pid
        self.port = 0
        self._process = process
        self._log = log

    @classmethod
    def start(cls, command: Sequence[str | Path]) -> Self:
        """Start `command` and wait until it prints a JSON line with `"event": "ready"` and its `grpc_port`.

        Raises:
            RuntimeError: it ended first, or took too long; the message shows what it printed.
        """
        log = tempfile.TemporaryFile()  # noqa: SIM115 - stop() closes it.
        pinned = ["taskset", "-c", str(SERVER_CORE), *command]
        server = cls(subprocess.Popen(pinned, stdout=log, stderr=subprocess.STDOUT), log)
        try:
            server.port = server._ready_event()["grpc_port"]
        except BaseException:
            server.stop()
            raise
        return server

    @classmethod
    def start_listening(cls, command: Sequence[str | Path], port: int, folder: Path) -> Self:
        """Start `command` in `folder` and wait until it takes connections on `port`.

        Raises:
            RuntimeError: it ended first, or took too long; the message shows what it printed.
        """
        log = tempfile.TemporaryFile()  # noqa: SIM115 - stop() closes it.
        pinned = ["taskset", "-c", str(SERVER_CORE), *command]
        server = cls(subprocess.Popen(pinned, stdout=log, stderr=subprocess.STDOUT, cwd=folder), log)
        server.port = port
        try:
            server._wait_listening()
        except BaseException:
            server.stop()
            raise
        return server

    @property
    def target(self) -> str:
        """Where clients connect to."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process, by force when it does not go."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def cpu_seconds(self) -> float:
        """Return the CPU time that the process, its threads and its children took since they started."""
        return sum(_cpu_ticks(pid) for pid in _family(self.pid)) / _TICKS_PER_SECOND

    def resident_bytes(self) -> int:
        """Return the resident memory of the process and its children."""
        return sum(_resident_pages(pid) for pid in _family(self.pid)) * _PAGE_BYTES

    def scheduling_policy(self) -> str:
        """Return the name of the scheduling policy in force."""
        policy = os.sched_getscheduler(self.pid)
        return _POLICIES.get(policy, str(policy))

    def _ready_event(self) -> dict[str, Any]:
        deadline = time.monotonic() + READY_TIMEOUT
        while time.monotonic() < deadline:
            for line in self._output().splitlines():
                with suppress(json.JSONDecodeError):
                    event = json.loads(line)
                    if isinstance(event, dict) and event.get("event") == "ready":
                        return event
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError(f"the server did not become ready:\n{self._output()[-4000:]}")

    def _wait_listening(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
                return
            time.sleep(0.1)
        raise RuntimeError(f"the server does not listen:\n{self._output()[-4000:]}")

    def _output(self) -> str:
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")


def serve(repository: Path, *options: str, maas: Path | None = None) -> Server:
    """Start `maas serve` on a free port, and return when it is ready; `maas`: the command, where it is another's."""
    maas = maas or Path(sys.executable).with_name("maas")
    return Server.start(
        [maas, "serve", repository, "--grpc-port", "0", "--http-port", "0", "--log-format", "json", *options]
    )


def reference(name: str, *arguments: str | Path, policy: str) -> Server:
    """Start one of the servers in references.py under the given scheduling policy."""
    return reference_module("benchmarks.references", name, *arguments, policy=policy)


def reference_module(module: str, *arguments: str | Path, policy: str) -> Server:
    """Start a module that serves under the given scheduling policy."""
    return Server.start([sys.executable, "-m", module, policy, *arguments])


def counters(server: Server, model: str) -> model_pb2.Counters:
    """Return what the newest version of `model` counted so far."""
    with Client(server.target) as client:
        return client.status(model)[0].versions[0].counters


def _family(pid: int) -> list[int]:
    """Return `pid` and all its descendants."""
    found, waiting = [], [pid]
    while waiting:
        current = waiting.pop()
        found.append(current)
        for children in Path(f"/proc/{current}/task").glob("*/children"):
            with suppress(OSError):
                waiting.extend(map(int, children.read_text().split()))
    return found


def _cpu_ticks(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    # Past the command's name, which may hold blanks: user and system time, its own and that of children reaped.
    fields = stat.rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))


def _resident_pages(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
