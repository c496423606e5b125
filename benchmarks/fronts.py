"""Our server behind either of its fronts, on one core each."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.load import Call, Load, burst
from benchmarks.models import Model
from benchmarks.processes import Server, serve
from maas_server import compiled_front

# The one that is measured, and the one that it is compared with.
COMPILED, GRPCIO = "compiled", "grpcio"
# 64 requests in flight.
CONNECTIONS, STREAMS = 8, 8


class Fronts(NamedTuple):
    """Two servers of the same models."""

    compiled: Server
    grpcio: Server


@contextmanager
def both(repository: Path) -> Iterator[Fronts]:
    """Start a server with each front.

    Raises:
        RuntimeError: there is no compiled front in this build.
    """
    with compiled(repository) as ours, serve(repository, "--front", GRPCIO) as reference:
        yield Fronts(ours, reference)


def compiled(repository: Path) -> Server:
    """Start a server with the compiled front.

    Raises:
        RuntimeError: there is none in this build.
    """
    if missing := compiled_front.available():
        raise RuntimeError(missing)
    return serve(repository, "--front", COMPILED)


def saturate(server: Server, call: Call, rpcs: int, model: Model) -> Load:
    """Send `rpcs` calls with 64 in flight, and return what they cost.

    Raises:
        RuntimeError: an answer is missing, or is not a good one.
    """
    return burst(server, call, rpcs, model=model.name, connections=CONNECTIONS, streams=STREAMS)


@contextmanager
def open_files(wanted: int) -> Iterator[None]:
    """Let this process, and those that it starts, open so many files.

    Raises:
        RuntimeError: the system does not let it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise RuntimeError(f"{wanted} open files are needed, and the hard limit is {hard}: ulimit -Hn {wanted}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
