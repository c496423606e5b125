"""`maas predict`."""

from __future__ import annotations

import json
from pathlib import Path

import grpc
import numpy as np
import pytest

from maas_server._stubs.maas.v1 import model_pb2, predict_pb2, tensor_pb2
from tests.cli.conftest import Maas
from tests.client.fake_server import FakeServer, echo, error_status

ROW = [[0.0, 1.0, 2.0, 3.0]]


def sent(server: FakeServer, name: str = "image") -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    (request,) = server.requests
    (tensor,) = (each for each in request.inputs if each.name == name)
    assert tensor.datatype == tensor_pb2.FP32
    return np.frombuffer(tensor.data, np.float32).reshape(tensor.shape)


@pytest.mark.parametrize("text", ["image=[[0, 1, 2, 3]]", "[[0, 1, 2, 3]]"])
def test_json_text_is_cast_to_the_models_datatype(maas: Maas, server: FakeServer, text: str) -> None:
    result = maas("predict", "digits", "--input", text)
    assert result.exit_code == 0
    np.testing.assert_array_equal(sent(server), ROW)
    assert result.output.splitlines()[0] == (
        "digits:3  batch of 4, queued 1.500 ms, run 0.250 ms, in all 1.900 ms (predicted 2.000)"
    )
    assert "image  float32 [1, 4]" in result.output
    assert "[[0. 1. 2. 3.]]" in result.output


def test_files_are_read(maas: Maas, server: FakeServer, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array(ROW, np.float64))
    (tmp_path / "x.json").write_text(json.dumps(ROW))
    for value in (f"image={tmp_path}/x.npy", f"image=@{tmp_path}/x.json", f"@{tmp_path}/x.json"):
        assert maas("predict", "digits", "--input", value).exit_code == 0
        np.testing.assert_array_equal(sent(server), ROW)
        server.requests.clear()


def test_a_document_on_standard_input_is_read(maas: Maas, server: FakeServer) -> None:
    assert maas("predict", "digits", "--json", "-", stdin=json.dumps({"image": ROW})).exit_code == 0
    np.testing.assert_array_equal(sent(server), ROW)


def test_a_priority_is_sent(maas: Maas, server: FakeServer) -> None:
    assert maas("predict", "digits", "--input", json.dumps(ROW), "--priority", "3").exit_code == 0
    assert server.requests[0].priority == 3
    assert maas("predict", "digits", "--input", json.dumps(ROW), "--priority", "-1").exit_code == 2


def test_a_server_that_predicted_nothing_is_not_said_to_have(maas: Maas, server: FakeServer) -> None:
    def unpredicted(request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        response = echo(request)
        response.receipt.predicted_ns = 0
        return response

    server.behaviour = unpredicted
    head = maas("predict", "digits", "--input", json.dumps(ROW)).output.splitlines()[0]
    assert head == "digits:3  batch of 4, queued 1.500 ms, run 0.250 ms"


def test_the_answer_comes_as_json(maas: Maas) -> None:
    result = maas("predict", "digits", "--input", json.dumps(ROW), "--format", "json")
    answer = json.loads(result.output)
    assert answer["outputs"] == {"image": ROW}
    assert (answer["model"], answer["version"], answer["receipt"]["batch_size"]) == ("digits", 3, 4)
    assert (answer["receipt"]["predicted_seconds"], answer["receipt"]["total_seconds"]) == (0.002, 0.0019)


def test_the_answer_is_written_as_npy(maas: Maas, tmp_path: Path) -> None:
    maas("predict", "digits", "--input", json.dumps(ROW), "--npy", str(tmp_path / "out"))
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "image.npy"), ROW)


def test_strings_go_in_and_come_out(maas: Maas, server: FakeServer) -> None:
    signature = server.models["digits"].versions[0].signature
    signature.inputs[0].CopyFrom(model_pb2.TensorSignature(name="text", datatype=tensor_pb2.BYTES, shape=[-1]))
    result = maas("predict", "digits", "--input", 'text=["a", "ä"]', "--format", "json")
    assert json.loads(result.output)["outputs"] == {"text": ["a", "ä"]}


def test_quantized_values_travel_as_integers(maas: Maas, server: FakeServer) -> None:
    options = ("--quantize", "int8", "--output", "image", "--quantize-outputs", "uint8")
    result = maas("predict", "digits", "--input", json.dumps(ROW), *options)
    (request,) = server.requests
    assert request.inputs[0].datatype == tensor_pb2.INT8
    assert request.outputs[0].quantize.datatype == tensor_pb2.UINT8
    assert "(sent as int8)" in result.output


def test_a_version_or_label_is_asked_for(maas: Maas, server: FakeServer) -> None:
    maas("predict", "digits", "--input", json.dumps(ROW), "--version", "2")
    maas("predict", "digits", "--input", json.dumps(ROW), "--label", "stable")
    assert [(each.version, each.label) for each in server.requests] == [(2, ""), (0, "stable")]


def test_an_error_of_the_server_is_one_message_with_its_fields(maas: Maas, server: FakeServer) -> None:
    server.behaviour = lambda _: error_status(
        grpc.StatusCode.INVALID_ARGUMENT,
        "the request does not fit",
        violations=(("inputs[image].shape", "expected [-1, 4], got [1, 5]"),),
        reason="WRONG_SHAPE",
    )
    result = maas("predict", "digits", "--input", "[[1, 2, 3, 4, 5]]")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "Error: the request does not fit (WRONG_SHAPE)",
        "  inputs[image].shape: expected [-1, 4], got [1, 5]",
    ]


def test_an_unknown_model_is_an_error(maas: Maas) -> None:
    result = maas("predict", "letters", "--input", "[1]")
    assert result.exit_code == 1
    assert "letters" in result.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [(["--version", "9"], "digits has no version 9"), (["--label", "canary"], "digits has no label canary")],
)
def test_a_version_or_label_that_is_not_there_is_an_error(maas: Maas, args: list[str], message: str) -> None:
    result = maas("predict", "digits", "--input", "[1]", *args)
    assert result.exit_code == 1
    assert result.stderr == f"Error: {message} (NOT_FOUND)\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--input", "image=[[1, 2"], "expected FILE.npy, @FILE.json or JSON"),
        (["--input", "image=none.npy"], "No such file"),
        (["--input", "image=@none.json"], "No such file"),
        (["--input", "image=[[1], [2, 3]]"], "inhomogeneous"),
        (["--input", 'image=["a"]'], "could not convert"),
        (["--json", "none.json"], "none.json"),
        (["--version", "1", "--label", "a"], "exclude each other"),
        (["--quantize-outputs", "int8"], "needs --output"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_sent(
    maas: Maas, server: FakeServer, args: list[str], message: str
) -> None:
    result = maas("predict", "digits", *args)
    assert result.exit_code == 2
    assert message in result.stderr
    assert server.requests == []


@pytest.mark.parametrize(
    ("datatype", "text"),
    [(tensor_pb2.INT64, "[1.5]"), (tensor_pb2.UINT8, "[300]"), (tensor_pb2.UINT8, "[-1]"), (tensor_pb2.BOOL, "[0.5]")],
)
def test_a_cast_that_would_lose_more_than_precision_is_refused(
    maas: Maas, server: FakeServer, datatype: tensor_pb2.DataType, text: str
) -> None:
    server.models["digits"].versions[0].signature.inputs[0].datatype = datatype
    result = maas("predict", "digits", "--input", text)
    assert result.exit_code == 2
    assert server.requests == []


def test_a_model_with_several_inputs_wants_names(maas: Maas, server: FakeServer) -> None:
    signature = server.models["digits"].versions[0].signature
    signature.inputs.add(name="mask", datatype=tensor_pb2.FP32, shape=[-1])
    result = maas("predict", "digits", "--input", "[1]")
    assert result.exit_code == 2
    assert "image, mask" in result.stderr
