"""Our files say the same on the wire as those of the clients that people have; what they leave out is listed here.

The foreign side is what scripts/record_descriptors.py saw in the clients' own packages.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.descriptor import FileDescriptor

from maas_server._stubs.inference import grpc_service_pb2
from maas_server._stubs.tensorflow_serving import model_service_pb2, prediction_service_pb2
from scripts.record_descriptors import RECORDED, listing, roots

OURS: dict[str, tuple[FileDescriptor, ...]] = {
    "inference": (grpc_service_pb2.DESCRIPTOR,),
    "tensorflow_serving": (prediction_service_pb2.DESCRIPTOR, model_service_pb2.DESCRIPTOR),
}

COMPOSITE = "describes composite tensors, which only TensorFlow has; a signature of ours never holds one"

STREAM = (
    "rpc inference.GRPCInferenceService.ModelStreamInfer"
    " stream inference.ModelInferRequest -> stream inference.ModelStreamInferResponse"
)

# A field, message or enum of theirs, with all that is below it.
LEFT_OUT: dict[str, dict[str, str]] = {
    "inference": {},
    "tensorflow_serving": {
        "tensorflow.TensorInfo.composite_tensor": COMPOSITE,
        "tensorflow.TensorInfo.CompositeTensor": COMPOSITE,
        "tensorflow.TypeSpecProto": COMPOSITE,
        "tensorflow.StructuredValue": COMPOSITE,
        "tensorflow.NoneValue": COMPOSITE,
        "tensorflow.ListValue": COMPOSITE,
        "tensorflow.TupleValue": COMPOSITE,
        "tensorflow.DictValue": COMPOSITE,
        "tensorflow.PairValue": COMPOSITE,
        "tensorflow.NamedTupleValue": COMPOSITE,
        "tensorflow.TensorSpecProto": COMPOSITE,
        "tensorflow.BoundedTensorSpecProto": COMPOSITE,
    },
}


def ours(record: str) -> set[str]:
    return set(listing(roots(OURS[record], RECORDED[record][2])))


def theirs(record: str, golden: Path) -> set[str]:
    lines = (golden / "descriptors" / f"{record}.txt").read_text().splitlines()
    return {line for line in lines if not line.startswith("#")}


def is_below(line: str, name: str) -> bool:
    subject = line.split()[1]
    return subject == name or subject.startswith(f"{name}.")


@pytest.mark.parametrize("record", OURS)
def test_every_field_is_the_foreign_one_and_only_what_is_listed_is_missing(record: str, golden: Path) -> None:
    foreign = theirs(record, golden)
    wanted = {line for line in foreign if not any(is_below(line, name) for name in LEFT_OUT[record])}
    assert sorted(ours(record) - wanted) == [], "these are not theirs"
    assert sorted(wanted - ours(record)) == [], "these are missing"


@pytest.mark.parametrize(("record", "name"), [(record, name) for record in LEFT_OUT for name in LEFT_OUT[record]])
def test_what_is_listed_as_left_out_is_theirs_and_not_ours(record: str, name: str, golden: Path) -> None:
    assert any(is_below(line, name) for line in theirs(record, golden))
    assert not any(is_below(line, name) for line in ours(record))


@pytest.mark.parametrize(
    ("record", "line"),
    [
        ("inference", "field inference.InferParameter.uint64_param = 5 uint64 oneof parameter_choice"),
        ("inference", "field inference.InferTensorContents.fp32_contents = 6 repeated packed float"),
        ("inference", "message inference.ModelInferRequest.ParametersEntry map entry"),
        ("inference", "message inference.ServerLiveRequest"),
        ("inference", "value inference.DataType.TYPE_BF16 = 14"),
        ("inference", STREAM),
        ("tensorflow_serving", "field tensorflow.serving.PredictRequest.client_id = 6 optional bytes"),
        (
            "tensorflow_serving",
            "field tensorflow.serving.ModelConfig.model_type = 3 tensorflow.serving.ModelType deprecated",
        ),
        (
            "tensorflow_serving",
            "field tensorflow.serving.ModelSpec.version = 2 google.protobuf.Int64Value oneof version_choice",
        ),
        ("tensorflow_serving", "value tensorflow.serving.ModelVersionStatus.State.AVAILABLE = 30"),
    ],
)
def test_a_line_tells_all_that_decides_about_the_wire(record: str, line: str, golden: Path) -> None:
    assert line in ours(record)
    assert line in theirs(record, golden)


def test_every_call_that_clients_know_is_there() -> None:
    assert sum(line.startswith("rpc ") for line in ours("inference")) == 20
    assert sum(line.startswith("rpc ") for line in ours("tensorflow_serving")) == 7
