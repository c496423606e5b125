"""Stubs of protocols that others defined get along with the packages that define them as well, in one process; and
the files that we ship for other languages need nothing else.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import google.rpc
import grpc_tools
import pytest
from google.protobuf import descriptor_pb2

OURS = """
from maas_server._stubs.inference import grpc_service_pb2
from maas_server._stubs.maas.v1 import predict_pb2
from maas_server._stubs.tensorflow_serving import model_service_pb2, prediction_service_pb2
"""
# Stands in for tritonclient and tensorflow, which put these names into the default pool.
THEIRS = """
import sys
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, wrappers_pb2

with open(sys.argv[1], "rb") as foreign:
    for file in descriptor_pb2.FileDescriptorSet.FromString(foreign.read()).file:
        descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
"""
CHECK = """
from google.protobuf import descriptor_pool

ours = grpc_service_pb2.ModelInferRequest.DESCRIPTOR
theirs = descriptor_pool.Default().FindMessageTypeByName("inference.ModelInferRequest")
assert ours.file.name == "inference/grpc_service.proto", ours.file.name
assert theirs.file.name == "foreign/inference/grpc_service.proto", theirs.file.name

response = prediction_service_pb2.GetModelMetadataResponse(model_spec={"name": "m", "version": {"value": 3}})
signatures = prediction_service_pb2.SignatureDefMap()
signatures.signature_def["serving_default"].method_name = "tensorflow/serving/predict"
response.metadata["signature_def"].Pack(signatures)
read = prediction_service_pb2.GetModelMetadataResponse.FromString(response.SerializeToString())
unpacked = prediction_service_pb2.SignatureDefMap()
assert read.metadata["signature_def"].Unpack(unpacked)
assert unpacked == signatures and read.model_spec.version.value == 3
"""


def protoc(shipped: Path, *arguments: str) -> str:
    """What protoc says to all that is shipped, compiled from its root with Google's files beside it."""
    includes = [
        shipped,
        Path(next(iter(google.rpc.__path__))).parents[1],
        Path(grpc_tools.__file__).parent / "_proto",
    ]
    files = sorted(str(path.relative_to(shipped)) for path in shipped.rglob("*.proto"))
    command = [sys.executable, "-m", "grpc_tools.protoc", *(f"-I{path}" for path in includes), *arguments, *files]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stderr


@pytest.fixture(scope="module")
def shipped(root: Path) -> Path:
    return root / "maas_server" / "protos"


@pytest.fixture(scope="module")
def foreign(shipped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same descriptors in files of other names, which one pool would not take beside ours."""
    path = tmp_path_factory.mktemp("foreign") / "descriptors"
    protoc(shipped, f"--descriptor_set_out={path}", "--include_imports")
    files = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes())
    renamed = descriptor_pb2.FileDescriptorSet()
    for file in files.file:
        if file.name.startswith(("inference/", "tensorflow_serving/")):
            file.name = f"foreign/{file.name}"
            for index, name in enumerate(file.dependency):
                if not name.startswith("google/"):
                    file.dependency[index] = f"foreign/{name}"
            renamed.file.append(file)
    assert len(renamed.file) > 2
    path.write_bytes(renamed.SerializeToString())
    return path


@pytest.mark.parametrize("program", [OURS + THEIRS + CHECK, THEIRS + OURS + CHECK], ids=["ours first", "theirs first"])
def test_packages_with_the_same_names_are_imported_in_the_same_process(program: str, foreign: Path, root: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", program, str(foreign)]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_what_is_shipped_compiles_by_itself(shipped: Path, root: Path, tmp_path: Path) -> None:
    names = {str(path.relative_to(shipped)) for path in shipped.rglob("*.proto")}
    assert names == {str(path.relative_to(root / "proto")) for path in (root / "proto").rglob("*.proto")}
    assert protoc(shipped, f"--descriptor_set_out={tmp_path / 'descriptors'}") == "", "no warnings"
    files = descriptor_pb2.FileDescriptorSet.FromString((tmp_path / "descriptors").read_bytes())
    assert {file.name for file in files.file} == names
