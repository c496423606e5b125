from __future__ import annotations

import itertools
import random
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from maas_server.errors import InvalidRequest, LoadError
from maas_server.models.onnx_runner import OnnxRunner
from maas_server.models.runner import Array, RunBatch, RunnerOptions, TensorInfo
from tests.models import onnx_models


def loaded(tmp_path: Path, proto: onnx.ModelProto, **options: object) -> OnnxRunner:
    runner = OnnxRunner()
    runner.load(onnx_models.save(proto, tmp_path / "model.onnx"), RunnerOptions(options=options))
    return runner


def test_runs_into_the_memory_it_is_given(tmp_path: Path) -> None:
    runner = loaded(tmp_path, onnx_models.scaled(3.0))
    x, y = np.ones((2, 4), np.float32), np.zeros((2, 4), np.float32)
    batch = RunBatch(7, (x,), (y,))
    outputs = runner.run(batch)
    assert outputs is batch.outputs
    assert (y == 3).all()
    x[:] = 5
    runner.run(batch)
    assert (y == 15).all()


def test_forgotten_keys_are_bound_anew(tmp_path: Path) -> None:
    runner = loaded(tmp_path, onnx_models.scaled(3.0))
    first = RunBatch(1, (np.ones((2, 4), np.float32),), (np.zeros((2, 4), np.float32),))
    runner.run(first)
    runner.forget([1])
    y = np.zeros((1, 4), np.float32)
    runner.run(RunBatch(1, (np.full((1, 4), 2, np.float32),), (y,)))
    assert (y == 6).all()


def test_key_zero_keeps_nothing(tmp_path: Path) -> None:
    runner = loaded(tmp_path, onnx_models.scaled(3.0))
    for rows in (1, 3):
        y = np.zeros((rows, 4), np.float32)
        runner.run(RunBatch(0, (np.ones((rows, 4), np.float32),), (y,)))
        assert (y == 3).all()


def test_outputs_of_unknown_shape_stay_as_they_are_when_the_next_run_comes(tmp_path: Path) -> None:
    runner = loaded(tmp_path, onnx_models.nonzero())
    x = np.ones((2, 4), np.float32)
    batch = RunBatch(1, (x,), (None,))
    first = runner.run(batch)[0]
    before = first.copy()
    x[0] = 0
    second = runner.run(batch)[0]
    assert first.shape == (2, 8)
    assert second.shape == (2, 4)
    np.testing.assert_array_equal(first, before)


def test_outputs_keep_their_places_whichever_of_them_have_memory(tmp_path: Path) -> None:
    nodes = [helper.make_node("Mul", ["x", f"f{index}"], [f"y{index}"]) for index in range(3)]
    proto = onnx_models.model(
        nodes,
        [onnx_models.value("x", [2])],
        [onnx_models.value(f"y{index}", [2]) for index in range(3)],
        [onnx_models.constant(f"f{index}", index, np.float32) for index in range(3)],
    )
    runner = loaded(tmp_path, proto)
    x = np.ones(2, np.float32)
    for known in itertools.product((False, True), repeat=3):
        batch = RunBatch(0, (x,), tuple(np.empty(2, np.float32) if each else None for each in known))
        assert [output.tolist() for output in runner.run(batch)] == [[0, 0], [1, 1], [2, 2]]


@pytest.mark.parametrize("bound", [True, False])
def test_bf16_travels_as_its_bits(tmp_path: Path, bound: bool) -> None:
    runner = loaded(tmp_path, onnx_models.bfloat16())
    x = (np.array([[1, -2, 0.5]], np.float32).view(np.uint32) >> 16).astype(np.uint16)
    out = np.zeros((1, 3), np.uint16) if bound else None
    (y,) = runner.run(RunBatch(0, (x,), (out,)))
    back = (y.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(back, [[2, -4, 1]])


def test_strings_travel_as_bytes(tmp_path: Path) -> None:
    runner = loaded(tmp_path, onnx_models.strings())
    x = np.array([b"plain", "größer".encode(), b"", b"nul\0nul"], object)
    (y,) = runner.run(RunBatch(0, (x,), (None,)))
    assert y.tolist() == x.tolist()


def test_strings_that_are_no_text_are_the_callers_fault(tmp_path: Path) -> None:
    runner = loaded(tmp_path, onnx_models.strings())
    with pytest.raises(InvalidRequest, match="element 1 is not UTF-8"):
        runner.run(RunBatch(0, (np.array([b"a", b"\xff"], object),), (None,)))


def test_an_index_out_of_range_is_the_callers_fault_and_harms_nothing(tmp_path: Path) -> None:
    runner = loaded(tmp_path, onnx_models.tokens())
    with pytest.raises(InvalidRequest, match="out of data bounds"):
        runner.run(RunBatch(0, (np.array([[999]]),), (np.zeros((1, 1, 4), np.float32),)))
    (y,) = runner.run(RunBatch(0, (np.array([[1]]),), (None,)))
    assert y.shape == (1, 1, 4)


def test_an_output_that_does_not_fit_its_memory_is_not_the_callers_fault(tmp_path: Path) -> None:
    runner = loaded(tmp_path, onnx_models.scaled(3.0))
    with pytest.raises(RuntimeError):
        runner.run(RunBatch(0, (np.ones((2, 4), np.float32),), (np.zeros((1, 4), np.float32),)))


def test_tensors_without_elements_pass(tmp_path: Path) -> None:
    runner = loaded(tmp_path, onnx_models.scaled(3.0))
    (y,) = runner.run(RunBatch(0, (np.zeros((0, 4), np.float32),), (np.zeros((0, 4), np.float32),)))
    assert y.shape == (0, 4)


def test_the_signature_keeps_names_and_marks_what_varies(tmp_path: Path) -> None:
    runner = loaded(tmp_path, onnx_models.recurrent())
    signature = runner.signature()
    assert signature.inputs == (
        TensorInfo("input", "FP32", (-1, 6)),
        TensorInfo("state", "FP32", (2, -1, 6)),
        TensorInfo("rate", "INT64", ()),
    )
    named = loaded(tmp_path, onnx_models.embedding(masked=True)).signature()
    assert named.inputs[0] == TensorInfo("ids", "INT64", (-1, -1), ("batch", "sequence"))


def test_says_what_runs_the_model(tmp_path: Path) -> None:
    runner = loaded(tmp_path, onnx_models.fixed())
    name, version, provider = runner.describe().split()
    assert (name, provider) == ("onnxruntime", "CPUExecutionProvider")
    assert version[0].isdigit()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimisation": "all"}, "optimisation: not known"),
        ({"optimization": "most"}, "expected one of none, basic"),
        ({"session_config": 3}, "expected a mapping"),
    ],
)
def test_unknown_runner_options_are_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(LoadError, match=message):
        loaded(tmp_path, onnx_models.fixed(), **options)


def test_runner_options_reach_the_session(tmp_path: Path) -> None:
    options = {"optimization": "none", "session_config": {"session.disable_prepacking": 1}}
    runner = loaded(tmp_path, onnx_models.fixed(), **options)
    (y,) = runner.run(RunBatch(0, (-np.ones((1, 4), np.float32),), (None,)))
    assert (y == 0).all()


def test_sequences_cannot_be_served(tmp_path: Path) -> None:
    node = helper.make_node("SequenceConstruct", ["x"], ["y"])
    output = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    proto = onnx_models.model([node], [onnx_models.value("x", [2])], [output])
    with pytest.raises(LoadError, match=r"output 'y' is a seq\(tensor\(float\)\)"):
        loaded(tmp_path, proto)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x09", bytes(1000), b"\xff" * 64])
def test_files_that_are_no_models_say_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(LoadError, match=r"cannot load model\.onnx: "):
        OnnxRunner().load(path, RunnerOptions())


def test_a_missing_file_and_a_folder_are_load_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(LoadError):
            OnnxRunner().load(path, RunnerOptions())


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_file_loads_or_says_why(tmp_path: Path, seed: int) -> None:
    choose = random.Random(seed)
    content = bytearray(onnx_models.embedding(masked=True).SerializeToString())
    if seed % 2:
        del content[choose.randrange(len(content)) :]
    else:
        for _ in range(3):
            content[choose.randrange(len(content))] ^= 1 << choose.randrange(8)
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    runner = OnnxRunner()
    message = ""
    try:
        runner.load(path, RunnerOptions())
    except LoadError as error:
        message = error.message
    assert message.startswith(("ONNX Runtime cannot load", "input", "output")) or runner.signature().outputs
    assert len(message) < 600


@pytest.mark.parametrize("location", ["../outside.bin", "{absolute}", "link.bin"])
def test_external_data_outside_the_models_folder_is_refused(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "1"
    folder.mkdir()
    outside = tmp_path / "outside.bin"
    outside.write_bytes(np.arange(16, dtype=np.float32).tobytes())
    (folder / "link.bin").symlink_to(outside)
    path = onnx_models.save(external(location.format(absolute=outside)), folder / "model.onnx")
    with pytest.raises(LoadError, match="xternal data"):
        OnnxRunner().load(path, RunnerOptions())


def test_external_data_beside_the_model_is_read(tmp_path: Path) -> None:
    matrix: Array = np.eye(4, dtype=np.float32) * 2
    (tmp_path / "weights.bin").write_bytes(matrix.tobytes())
    runner = loaded(tmp_path, external("weights.bin"))
    (y,) = runner.run(RunBatch(0, (np.ones((1, 4), np.float32),), (None,)))
    assert (y == 2).all()


def external(location: str) -> onnx.ModelProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 4], data_location=TensorProto.EXTERNAL)
    for key, content in (("location", location), ("offset", "0"), ("length", "64")):
        tensor.external_data.add(key=key, value=content)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    return onnx_models.model(
        [node], [onnx_models.value("x", ["batch", 4])], [onnx_models.value("y", ["batch", 4])], [tensor]
    )
