"""Records what real clients send, for the fuzzer of the compiled front to start from.

    python -m scripts.record_front_seeds

serves a small model, puts itself between it and each client that this machine has, and writes what the client sent to
tests/golden/front/<client>/message.bin. Foreign clients are made ready by `make -f tests/foreign/Makefile`; those that
are missing keep the record that they have.
"""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeAlias

import grpc
import numpy as np
import onnx
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from onnx import TensorProto, helper

from maas_server._stubs.inference import grpc_service_pb2
from maas_server._stubs.tensorflow_serving import prediction_service_pb2, tensor_pb2
from maas_server.client import Client
from tests.integration.serving import ServeProcess

ROOT = Path(__file__).resolve().parents[1]
SEEDS = ROOT / "tests/golden/front"
FOREIGN = ROOT / ".venv/foreign"
BUILT = ROOT / "build/foreign"
# The fuzzer reads from the end how the bytes are cut: into pieces of 257, and all is answered after each.
CUT = b"@" * 8
# The setting by which grpcio's server takes binary header fields as they are. The compiled front takes them as text.
BINARY_FIELDS, TEXT_FIELDS = b"\xfe\x03\0\0\0\1", b"\xfe\x03\0\0\0\0"
MOST_BYTES = 16 << 10
LIMIT_SECONDS = 60

ROW = np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 64)
MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
MODEL_STREAM_INFER = "/inference.GRPCInferenceService/ModelStreamInfer"
HEALTH = "/grpc.health.v1.Health/Check"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]

TRITON = """
import queue, sys
import numpy as np
import tritonclient.grpc as triton

client = triton.InferenceServerClient(sys.argv[1])
image = triton.InferInput("image", [1, 64], "FP32").set_data_from_numpy(np.zeros((1, 64), np.float32))
client.is_server_live(), client.is_server_ready(), client.is_model_ready("digits", "1")
client.infer("digits", [image], client_timeout=30, compression_algorithm="gzip")
answers = queue.Queue()
client.start_stream(lambda result, error: answers.put(error))
for number in range(3):
    client.async_stream_infer("digits", [image], request_id=str(number))
for _ in range(3):
    answers.get(timeout=30)
client.stop_stream()
client.close()
"""


class Recorder:
    """Stands between clients and a server, and keeps what each client sent."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.sent: list[bytearray] = []
        self._carrying: list[threading.Thread] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Wait until all is kept of what was sent by clients that have gone."""
        self._listening.close()
        for thread in self._carrying:
            thread.join(LIMIT_SECONDS)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._server_port))
            sent = bytearray()
            self.sent.append(sent)
            self._carrying.append(threading.Thread(target=_carry, args=(client, server, sent), daemon=True))
            self._carrying[-1].start()
            threading.Thread(target=_carry, args=(server, client, bytearray()), daemon=True).start()


def _carry(source: socket.socket, target: socket.socket, kept: bytearray) -> None:
    try:
        while data := source.recv(65536):
            kept += data
            target.sendall(data.replace(BINARY_FIELDS, TEXT_FIELDS))
        target.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()


class Caller:
    """grpcio's client, with bytes in and out."""

    def __init__(self, target: str, compression: grpc.Compression | None = None) -> None:
        self._channel = grpc.insecure_channel(target, compression=compression)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def unary(self, path: str, request: Message | None = None, metadata: Metadata = ()) -> grpc.StatusCode:
        """Call a method, and return how it ended."""
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(path)
        message = b"" if request is None else request.SerializeToString()
        _, call = method.with_call(message, timeout=LIMIT_SECONDS, metadata=metadata)
        code: grpc.StatusCode = call.code()
        return code

    def stream(self, path: str, requests: Iterator[bytes]) -> Any:
        method: grpc.StreamStreamMultiCallable[bytes, bytes] = self._channel.stream_stream(path)
        return method(requests, timeout=LIMIT_SECONDS)


def infer_request() -> grpc_service_pb2.ModelInferRequest:
    tensor = grpc_service_pb2.ModelInferRequest.InferInputTensor(name="image", datatype="FP32", shape=[1, 64])
    return grpc_service_pb2.ModelInferRequest(model_name="digits", inputs=[tensor], raw_input_contents=[ROW.tobytes()])


def maas_client(target: str) -> None:
    with Client(target) as client:
        client.predict("digits", {"image": ROW})
        client.predict("digits", {"image": ROW}, quantize="int8")
        client.status("digits")


def maas_stream(target: str) -> None:
    with Client(target) as client, client.stream() as stream:
        for _ in range(4):
            stream.submit("digits", {"image": ROW}).result()


def gzip(target: str) -> None:
    with Caller(target, grpc.Compression.Gzip) as caller:
        caller.unary(MODEL_INFER, infer_request())


def metadata(target: str) -> None:
    sent = (("tenant", "someone"), ("trace-bin", bytes(range(32))), ("long", "x" * 500))
    with Caller(target) as caller:
        for _ in range(3):  # The second names what the first has said already.
            caller.unary(HEALTH, metadata=sent)
            caller.unary(MODEL_INFER, infer_request(), metadata=sent)


def cancelled(target: str) -> None:
    goes_on = threading.Event()

    def requests() -> Iterator[bytes]:
        yield infer_request().SerializeToString()
        goes_on.wait(LIMIT_SECONDS)

    with Caller(target) as caller:
        call = caller.stream(MODEL_STREAM_INFER, requests())
        next(call)
        call.cancel()
        goes_on.set()
        # When it is answered, what was sent before it has been read.
        caller.unary(HEALTH)


def health_and_reflection(target: str) -> None:
    asked = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    with Caller(target) as caller:
        caller.unary(HEALTH, health_pb2.HealthCheckRequest(service="digits"))
        list(caller.stream(REFLECTION, iter([asked])))


def tensorflow(target: str) -> None:
    image = tensor_pb2.TensorProto(dtype=tensor_pb2.DT_FLOAT, tensor_content=ROW.tobytes())
    for size in ROW.shape:
        image.tensor_shape.dim.add().size = size
    request = prediction_service_pb2.PredictRequest(inputs={"image": image})
    request.model_spec.name = "digits"
    with Caller(target) as caller:
        caller.unary("/tensorflow.serving.PredictionService/Predict", request)


def run(command: list[str | Path], target: str, numbers: str = "") -> None:
    arguments = [str(part).replace("TARGET", target) for part in command]
    subprocess.run(
        arguments, input=numbers, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=True, cwd=ROOT
    )


def h2load(target: str) -> None:
    message = infer_request().SerializeToString()
    with tempfile.NamedTemporaryFile() as body:
        body.write(b"\0" + struct.pack(">I", len(message)) + message)
        body.flush()
        fields = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
        url = f"http://TARGET{MODEL_INFER}"
        run(["h2load", "-n", "8", "-c", "1", "-m", "4", "-d", body.name, *fields, url], target)


def foreign() -> dict[str, Callable[[str], None]]:
    """The clients in other languages, and those with an environment of their own, that are here."""
    numbers = " ".join("0" for _ in range(64))
    protos: list[str | Path] = [ROOT / "proto", Path(sysconfig.get_path("purelib"))]
    curl: list[str | Path] = [FOREIGN / "buf/bin/buf", "curl", "--protocol", "grpc", "--http2-prior-knowledge"]
    node = [FOREIGN / "node/bin/node", "tests/foreign/node/client.js", "TARGET", "digits", *protos]
    commands: dict[str, list[str | Path]] = {
        "triton": [FOREIGN / "triton/bin/python", "-c", TRITON, "TARGET"],
        "buf": [*curl, "--data", '{"service": "digits"}', "http://TARGET/grpc.health.v1.Health/Check"],
        "cpp": [BUILT / "cpp/client", "TARGET", "digits"],
        "go": [BUILT / "go/client", "TARGET", "digits"],
        "java": ["java", "-cp", f"{BUILT}/java:{BUILT}/java/jars/*", "Client", "TARGET", "digits"],
        "node": ["env", f"NODE_PATH={FOREIGN / 'node/node_modules'}", *node],
    }
    there = {
        "triton": (FOREIGN / "triton/bin/python").exists(),
        "buf": (FOREIGN / "buf/bin/buf").exists(),
        "java": (BUILT / "java").exists() and shutil.which("java") is not None,
        "node": (FOREIGN / "node/node_modules").exists(),
    }
    clients: dict[str, Callable[[str], None]] = {}
    for name, command in commands.items():
        if there.get(name, Path(command[0]).exists()):
            clients[name] = partial(run, command, numbers=numbers)
    if shutil.which("h2load"):
        clients["h2load"] = h2load
    return clients


def digits() -> onnx.ModelProto:
    """The interface of the demo's model, which the foreign clients' programs know."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 64])
    label = helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"])
    probabilities = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10])
    weights = helper.make_tensor("w", TensorProto.FLOAT, [64, 10], np.linspace(-1, 1, 640).tolist())
    nodes = [
        helper.make_node("MatMul", ["image", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(nodes, "digits", [image], [label, probabilities], [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def record(name: str, client: Callable[[str], None], server_port: int) -> None:
    """Write the longest of the conversations that a client has."""
    recorder = Recorder(server_port)
    try:
        client(f"127.0.0.1:{recorder.port}")
    finally:
        recorder.close()
    sent = bytes(max(recorder.sent, key=len))
    if len(sent) > MOST_BYTES:
        raise RuntimeError(f"{name} sent {len(sent)} bytes, which is no seed")
    path = SEEDS / name / "message.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(sent + CUT)
    sys.stdout.write(f"{name}: {len(sent)} bytes\n")


def main() -> None:
    """Record every client that is here."""
    ours = (maas_client, maas_stream, gzip, cancelled, metadata, health_and_reflection, tensorflow)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "digits/1/model.onnx"
        model.parent.mkdir(parents=True)
        onnx.save(digits(), model)
        server = ServeProcess((folder, "--drain-delay", "0", "--settle", "0"))
        try:
            server.start()
            for client in ours:
                record(client.__name__, client, server.port)
            for name, foreigner in foreign().items():
                record(name, foreigner, server.port)
        finally:
            server.kill()


if __name__ == "__main__":
    main()
