"""Requests that need more memory than there is, in a process of their own whose memory is bounded."""

from __future__ import annotations

import subprocess
import sys
import textwrap

_SCRIPT = textwrap.dedent(
    """
    import os, resource, sys, tempfile
    from pathlib import Path

    from maas_server import _core
    from maas_server._stubs.inference import grpc_service_pb2 as pb
    from tests.core.conftest import make_version, raw_request

    SIZE = 1 << 30
    engine = _core.Engine()
    engine.set_route("m", {1: make_version()}, {}, 1, set())
    front = _core.Front(engine)
    with tempfile.NamedTemporaryFile(dir="/dev/shm", prefix="maas_test_") as file:
        os.truncate(file.name, SIZE)  # Takes no pages until somebody writes.
        engine.register_shared_memory("large", Path(file.name).name, 0, SIZE)
    request = pb.ModelInferRequest(model_name="m")
    tensor = request.inputs.add(name="x", datatype="FP32", shape=[1, SIZE // 4])
    tensor.parameters["shared_memory_region"].string_param = "large"
    tensor.parameters["shared_memory_byte_size"].int64_param = SIZE
    raw, future = request.SerializeToString(), object()
    before = sys.getrefcount(raw), sys.getrefcount(future)

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + SIZE // 4,) * 2)
    for _ in range(3):
        try:
            front.submit(_core.Protocol.MODEL_INFER, raw, _core.NEVER, future)
        except _core.CoreError as error:
            assert error.args[:2] == (8, "OUT_OF_MEMORY"), error.args
        else:
            raise AssertionError("it was accepted")
    assert (sys.getrefcount(raw), sys.getrefcount(future)) == before, "the core keeps what it refused"
    small = raw_request(1, 1)
    front.submit(_core.Protocol.PREDICT, small, _core.NEVER, future)
    print("goes on")
    """
)


def test_a_request_that_does_not_fit_is_refused_and_leaves_nothing_behind() -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "goes on\n", done.stderr
