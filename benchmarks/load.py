"""Load from h2load, and the check that every one of its requests was answered well."""

from __future__ import annotations

import re
import struct
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.methods import PREDICT
from benchmarks.models import Model
from benchmarks.processes import LOAD_CORE, Server, counters
from maas_server._stubs.maas.v1 import predict_pb2

# 64 requests in flight.
CONNECTIONS, STREAMS = 4, 16
_FRAME_HEAD = 5


@dataclass(frozen=True)
class Call:
    """One RPC as h2load sends it over and over."""

    method: str
    body: Path
    requests: int = 1
    """Requests to the model that the body carries."""
    reply_bytes: tuple[int, int] = (0, 0)
    """Fewest and most bytes of DATA frames, or of a body of HTTP/1.1, that a good answer can take."""
    http1: bool = False
    """Whether it is a POST over HTTP/1.1, without gRPC."""

    @classmethod
    def write(
        cls, folder: Path, method: str, messages: Iterable[bytes], *, requests: int = 1, reply: tuple[int, int]
    ) -> Self:
        """Write the framed messages of one RPC below `folder`."""
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as body:
            for message in messages:
                body.write(b"\0" + struct.pack(">I", len(message)) + message)
        return cls(method, Path(body.name), requests, (reply[0] + _FRAME_HEAD, reply[1] + _FRAME_HEAD))

    @classmethod
    def predict(cls, folder: Path, model: Model, request: predict_pb2.PredictRequest | None = None) -> Self:
        """Write a Predict of `request`, or of one row of floats, below `folder`."""
        request = model.request() if request is None else request
        return cls.write(folder, PREDICT, [request.SerializeToString()], reply=model.reply_bytes(request))

    @classmethod
    def write_http1(cls, folder: Path, path: str, content: bytes, *, reply: tuple[int, int]) -> Self:
        """Write the body of a POST below `folder`."""
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as body:
            body.write(content)
        return cls(path, Path(body.name), reply_bytes=reply, http1=True)


@dataclass(frozen=True)
class Load:
    """What one burst of load cost."""

    cpu_us: float
    """CPU time of the server per request. Unit: microseconds."""
    per_second: float
    """Requests answered per second of wall time."""


def burst(
    server: Server,
    call: Call,
    rpcs: int,
    *,
    model: str | None = None,
    connections: int = CONNECTIONS,
    streams: int = STREAMS,
) -> Load:
    """Send `rpcs` calls and return what they cost.

    Raises:
        RuntimeError: an answer is missing, or is not a good one: by HTTP status, by its size, and for one of our
            servers by its own count of the requests to `model` that succeeded.
    """
    succeeded = counters(server, model).succeeded if model else 0
    cpu = server.cpu_seconds()
    report = _h2load(server, call, rpcs, min(connections, rpcs), streams)
    cpu = server.cpu_seconds() - cpu
    check_report(report, call, rpcs)
    requests = rpcs * call.requests
    if model and (answered := counters(server, model).succeeded - succeeded) != requests:
        raise RuntimeError(f"{answered} of {requests} requests to {model} succeeded")
    return Load(cpu / requests * 1e6, requests / seconds_of(report))


def _h2load(server: Server, call: Call, rpcs: int, connections: int, streams: int) -> str:
    command = ["taskset", "-c", str(LOAD_CORE), "h2load"]
    command += ["-n", str(rpcs), "-c", str(connections), "-m", str(streams), "-d", str(call.body)]
    grpc = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
    command += ["--h1", "-H", "content-type: application/octet-stream"] if call.http1 else grpc
    return subprocess.run(
        [*command, f"http://{server.target}{call.method}"], capture_output=True, text=True, check=True
    ).stdout


def check_report(report: str, call: Call, rpcs: int) -> None:
    """Read in what h2load printed whether all went well.

    Raises:
        RuntimeError: RPCs failed, or the bytes of the answers do not add up.
    """
    found = re.search(r"\((\d+)\) data", report)
    fewest, most = (size * rpcs for size in call.reply_bytes)
    if f" {rpcs} succeeded" not in report or found is None or not fewest <= int(found[1]) <= most:
        raise RuntimeError(f"not every answer is good ({fewest} to {most} bytes expected):\n{report}")


def seconds_of(report: str) -> float:
    """Return how long the burst took, from what h2load printed."""
    found = re.search(r"finished in ([\d.]+)(us|ms|s)", report)
    if found is None:
        raise RuntimeError(f"h2load says not how long it took:\n{report}")
    return float(found[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[found[2]]
