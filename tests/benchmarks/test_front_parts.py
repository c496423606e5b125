"""What the benchmarks of the front measure with."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from benchmarks import components
from benchmarks.components import Components
from benchmarks.processes import SERVER_CORE, reference
from benchmarks.scenarios.front_where import parse_shares

CORE = "_core.cpython-311-x86_64-linux-gnu.so"
REPORT = f"""
# Samples: 2K of event 'cpu-clock'
#
    40.00%|[kernel.kallsyms]|[k] 0xffffffff81a0
    20.50%|{CORE}|[.] maas::Http2Session::Received(unsigned long)
     9.50%|{CORE}|[.] nghttp2_session_mem_recv
    10.00%|libonnxruntime.so.1.31.1|[.] 0x00000000004fa3c1
     5.00%|libc.so.6|[.] malloc
"""


@pytest.mark.parametrize(
    ("library", "symbol", "component"),
    [
        (CORE, "maas::EventLoop::Run()", "sockets"),
        (CORE, "maas::Http2Session::Received(std::span<std::byte const, 18446744073709551615ul>)", "HTTP/2"),
        (CORE, "nghttp2_hd_inflate_hd_nv", "HTTP/2"),
        (CORE, "maas::ServerCall::Answer(maas::Chunk)", "gRPC"),
        (CORE, "maas::LoopSink::Submit(maas::Request*)", "front"),
        (CORE, "maas::BatchQueue::Push(std::unique_ptr<maas::Entry>)", "queue"),
        (CORE, "maas::(anonymous namespace)::BatchQueue::Take(maas::Device*)", "queue"),
        (CORE, "maas::DecodePredictRequest(maas::WireReader*)", "decode"),
        (CORE, "operator new(unsigned long)", "C library"),
        ("libonnxruntime.so.1.31.1", "0x00000000004fa3c1", "run"),
        ("python3.11", "_PyEval_EvalFrameDefault", "Python"),
        ("libcrypto.so.3", "aes_gcm_enc_update", "TLS"),
        ("h2load", "main", "other"),
    ],
)
def test_a_symbol_belongs_to_a_component(library: str, symbol: str, component: str) -> None:
    assert Components().of(library, symbol) == component


def test_every_folder_of_the_core_is_some_component() -> None:
    folders = {path.name for path in components.SOURCES.iterdir() if path.is_dir()}
    # What all of them use is counted to nobody.
    assert folders - {"base"} == set(components.COMPONENT_OF_FOLDER)


def test_shares_are_summed_by_component() -> None:
    shares = parse_shares(REPORT)
    assert shares == pytest.approx({"kernel": 0.4, "HTTP/2": 0.3, "run": 0.1, "C library": 0.05})
    assert next(iter(shares)) == "kernel"


def test_the_floor_of_large_requests_takes_whole_messages_from_each_connection(
    monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    if SERVER_CORE not in os.sched_getaffinity(0):
        pytest.skip(f"core {SERVER_CORE}, which servers are measured on, is not to be had here")
    size = 100_000
    monkeypatch.chdir(root)
    with reference("receive", str(size), policy="SCHED_OTHER") as floor:
        with (
            socket.create_connection(("127.0.0.1", floor.port), 30) as one,
            socket.create_connection(("127.0.0.1", floor.port), 30) as two,
        ):
            one.sendall(bytes(size // 2))
            for _ in range(3):
                two.sendall(bytes(size))
                assert two.recv(1) == b"\1"
            one.sendall(bytes(size - size // 2))
            assert one.recv(1) == b"\1"
        with socket.create_connection(("127.0.0.1", floor.port), 30) as three:
            three.sendall(bytes(size))
            assert three.recv(1) == b"\1"
