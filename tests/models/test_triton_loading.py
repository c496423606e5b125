"""A config.pbtxt against the model that it stands beside: real ONNX models, loaded as a server would."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from maas_server._stubs.inference import model_config_pb2
from maas_server.errors import LoadError
from maas_server.models import prober, warmup_runs
from maas_server.models.loader import LoadedVersion, load_version
from maas_server.models.repository import Repository
from maas_server.models.runner import Array, RunBatch
from tests.models import onnx_models
from tests.models.onnx_models import model, value

LINEAR = onnx_models.linear()
X = 'input { name: "x" data_type: TYPE_FP32 dims: [ 8 ] }'
Y = 'output { name: "y" data_type: TYPE_FP32 dims: [ 8 ] }'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "m"


def load(folder: Path, proto: onnx.ModelProto, triton: str, ours: str = "") -> LoadedVersion:
    """Load version 1 of the folder's model as its files say."""
    onnx_models.save(proto, folder / "1/model.onnx")
    (folder / "config.pbtxt").write_text(triton)
    if ours:
        (folder / "maas.yaml").write_text(ours)
    source = Repository(folder.parent, settle=0.0).scan().models["m"]
    assert source.error == ""
    return load_version(source.versions[1], source.config, folder=source.folder, triton=source.triton)


def refusal(folder: Path, proto: onnx.ModelProto, triton: str, ours: str = "") -> str:
    with pytest.raises(LoadError) as caught:
        load(folder, proto, triton, ours)
    return caught.value.message


def run(loaded: LoadedVersion, *inputs: Array) -> list[Array]:
    return list(loaded.runner.run(RunBatch(0, inputs, (None,) * len(loaded.plan.outputs))))


def test_a_batch_size_makes_the_first_dimension_the_batch(folder: Path) -> None:
    loaded = load(folder, LINEAR, f"max_batch_size: 16 {X} {Y}")
    assert loaded.plan.batching
    assert loaded.plan.max_batch_size == loaded.max_batch_size == 16
    assert loaded.plan.inputs[0].batch_axis == loaded.plan.outputs[0].batch_axis == 0
    assert loaded.signature.inputs[0].shape == (-1, 8)
    assert loaded.platform == "onnxruntime_onnx"
    assert model_config_pb2.ModelConfig.FromString(loaded.triton_config).name == "m"


def test_no_batch_size_means_whole_shapes(folder: Path) -> None:
    loaded = load(folder, LINEAR, (X + Y).replace("[ 8 ]", "[ -1, 8 ]"))
    assert not loaded.plan.batching
    assert (loaded.plan.inputs[0].batch_axis, loaded.plan.outputs[0].batch_axis) == (None, None)
    assert loaded.max_batch_size == 0
    assert loaded.signature.outputs[0].shape == (-1, 8)
    # As long as it likes: its size is the output's too, and no number of rows.
    assert loaded.plan.outputs[0].sources == ((0, 0), None)


def test_fixed_sizes_narrow_what_the_model_takes(folder: Path) -> None:
    loaded = load(folder, LINEAR, (X + Y).replace("[ 8 ]", "[ 2, 8 ]"))
    assert loaded.plan.inputs[0].shape == loaded.plan.outputs[0].shape == (2, 8)


def test_nothing_listed_is_the_models_own(folder: Path) -> None:
    loaded = load(folder, LINEAR, "")
    assert loaded.plan.batching
    assert loaded.max_batch_size == loaded.plan.max_batch_size
    assert load(folder, LINEAR, "max_batch_size: 4").plan.inputs[0].batch_axis == 0


@pytest.mark.parametrize(
    ("triton", "message"),
    [
        (X.replace("FP32", "INT64"), "input 'x': config.pbtxt says INT64, the model has FP32"),
        (f"max_batch_size: 4 {X.replace('8', '9')}", "says [-1, 9] (max_batch_size and dims), the model has [-1, 8]"),
        (f"max_batch_size: 4 {X.replace('8', '-1')}", "says [-1, -1] (max_batch_size and dims), the model has [-1, 8]"),
        (X, "input 'x': config.pbtxt says [8], the model has [-1, 8]"),
        (X.replace('"x"', '"z"'), "input 'z': config.pbtxt lists it, the model has 'x'"),
        (f"max_batch_size: 4 {Y.replace('8', '9')}", "output 'y': config.pbtxt says [-1, 9]"),
        (Y.replace('"y"', '"z"'), "output 'z': the model has 'y'"),
    ],
)
def test_a_difference_names_tensor_expected_and_actual(folder: Path, triton: str, message: str) -> None:
    assert message in refusal(folder, LINEAR, triton)


def test_every_input_of_the_model_must_be_listed(folder: Path) -> None:
    ids = 'input { name: "ids" data_type: TYPE_INT64 dims: [ -1 ] }'
    text = refusal(folder, onnx_models.embedding(masked=True), f"max_batch_size: 4 {ids}")
    assert text == "input 'mask': the model has it, config.pbtxt does not list it"


@pytest.mark.parametrize("listed", ["", 'input { name: "x" data_type: TYPE_FP32 dims: [ 4 ] }'])
def test_a_model_of_fixed_size_takes_no_batch_size(folder: Path, listed: str) -> None:
    text = refusal(folder, onnx_models.fixed(), f"max_batch_size: 4 {listed}")
    assert "input 'x': max_batch_size wants a first dimension that varies, the model has [1, 4]" in text


def test_only_listed_outputs_are_given_in_their_order(folder: Path) -> None:
    nodes = [helper.make_node("Neg", ["x"], ["a"]), helper.make_node("Abs", ["x"], ["b"])]
    shape: list[int | str | None] = ["batch", 2]
    proto = model(
        [*nodes, helper.make_node("Exp", ["x"], ["c"])], [value("x", shape)], [value(n, shape) for n in "abc"]
    )
    outputs = "".join(f'output {{ name: "{name}" data_type: TYPE_FP32 dims: [ 2 ] }}' for name in "ba")
    loaded = load(folder, proto, f"max_batch_size: 4 {outputs}")
    assert [info.name for info in loaded.signature.outputs] == ["b", "a"]
    absolute, negative = run(loaded, np.array([[-1, 2]], np.float32))
    assert (absolute.tolist(), negative.tolist()) == ([[1, 2]], [[1, -2]])


def test_reshape_shows_clients_another_shape(folder: Path) -> None:
    reshaped = " ".join(
        f'{kind} {{ name: "{name}" data_type: TYPE_FP32 dims: [ {dims} ] reshape {{ shape: [ 8 ] }} }}'
        for kind, name, dims in (("input", "x", "2, 4"), ("output", "y", "8, 1"))
    )
    loaded = load(folder, LINEAR, f"max_batch_size: 4 {reshaped}")
    assert [info.shape for info in (*loaded.signature.inputs, *loaded.signature.outputs)] == [(-1, 2, 4), (-1, 8, 1)]
    assert (loaded.plan.inputs[0].shape, loaded.plan.inputs[0].wire_shape) == ((-1, 8), (-1, 2, 4))
    assert (loaded.plan.outputs[0].shape, loaded.plan.outputs[0].wire_shape) == ((-1, 8), (-1, 8, 1))
    assert loaded.plan.batching


@pytest.mark.parametrize("batch", [0, 4])
def test_a_tensor_of_no_dimensions_is_sent_with_one(folder: Path, batch: int) -> None:
    dims: list[str | int] = ["batch"] if batch else []
    proto = model([helper.make_node("Neg", ["x"], ["y"])], [value("x", dims)], [value("y", dims)])
    tensors = " ".join(
        f'{kind} {{ name: "{name}" data_type: TYPE_FP32 dims: [ 1 ] reshape {{ shape: [ ] }} }}'
        for kind, name in (("input", "x"), ("output", "y"))
    )
    loaded = load(folder, proto, f"max_batch_size: {batch} {tensors}")
    assert loaded.signature.inputs[0].shape == ((-1, 1) if batch else (1,))
    assert loaded.plan.inputs[0].shape == ((-1,) if batch else ())


def test_a_reshaped_tensor_cannot_be_padded_as_well(folder: Path) -> None:
    ids = 'input { name: "ids" data_type: TYPE_INT64 dims: [ -1, 1 ] reshape { shape: [ -1 ] } }'
    text = refusal(folder, onnx_models.tokens(), f"max_batch_size: 4 {ids}", "padding: [{inputs: {ids: 1}}]")
    assert text == "padding: 'ids' is reshaped by config.pbtxt, and cannot be padded as well"


def test_labels_name_the_elements_of_an_output(folder: Path) -> None:
    folder.mkdir()
    (folder / "classes.txt").write_text("cat\n\ndog, or fox\n", encoding="utf-8")
    labelled = Y.replace("dims", 'label_filename: "classes.txt" dims')
    assert load(folder, LINEAR, f"max_batch_size: 4 {X} {labelled}").plan.outputs[0].labels == (
        "cat",
        "",
        "dog, or fox",
    )
    loaded = load(folder, LINEAR, "", "output_labels: {y: classes.txt}")
    assert loaded.plan.outputs[0].labels == ("cat", "", "dog, or fox")
    assert refusal(folder, LINEAR, "", "output_labels: {z: classes.txt}").startswith(
        "output_labels.z: the model has no"
    )
    assert "nothing.txt: No such file" in refusal(folder, LINEAR, "", "output_labels: {y: nothing.txt}")


class TestWarmUp:
    """Samples run before a version is AVAILABLE, on the data that they name."""

    @staticmethod
    def sample(fill: str, *, dims: str = "8", count: int = 1, rows: int = 0, datatype: str = "TYPE_FP32") -> str:
        data = f'inputs {{ key: "x" value {{ data_type: {datatype} dims: [ {dims} ] {fill} }} }}'
        return f'max_batch_size: 4 model_warmup {{ name: "s" batch_size: {rows} count: {count} {data} }}'

    @pytest.fixture
    def runs(self, monkeypatch: pytest.MonkeyPatch) -> list[Array]:
        """The inputs of every run on a sample."""
        seen: list[Array] = []
        plain = prober.run

        def remember(runner: object, inputs: tuple[Array, ...], outputs: int) -> list[Array]:
            seen.append(inputs[0])
            return plain(runner, inputs, outputs)  # type: ignore[arg-type]

        monkeypatch.setattr(warmup_runs, "run", remember)
        return seen

    def test_zeros_run_as_often_as_asked(self, folder: Path, runs: list[Array]) -> None:
        load(folder, LINEAR, self.sample("zero_data: true", count=3, rows=2))
        assert [(array.shape, array.any()) for array in runs] == [((2, 8), np.False_)] * 3

    def test_random_data_is_the_same_each_time(self, folder: Path, runs: list[Array]) -> None:
        for _ in range(2):
            load(folder, LINEAR, self.sample("random_data: true"))
        assert runs[0].shape == (1, 8)
        assert runs[0].any()
        assert np.array_equal(runs[0], runs[1])

    def test_data_come_from_a_file(self, folder: Path, runs: list[Array]) -> None:
        (folder / "warmup").mkdir(parents=True)
        data = np.arange(8, dtype=np.float32)
        data.tofile(folder / "warmup/x.bin")
        reshaped = X.replace("[ 8 ]", "[ 2, 4 ] reshape { shape: [ 8 ] }")
        load(folder, LINEAR, reshaped + self.sample('input_data_file: "x.bin"', dims="2, 4", rows=2))
        assert np.array_equal(runs[0], [data, data])

    def test_strings_come_with_their_lengths(self, folder: Path, runs: list[Array]) -> None:
        (folder / "warmup").mkdir(parents=True)
        (folder / "warmup/x.bin").write_bytes(struct.pack("<I", 2) + b"ab")
        load(folder, onnx_models.strings(), self.sample('input_data_file: "x.bin"', dims="", datatype="TYPE_STRING"))
        assert runs[0].tolist() == [b"ab"]
        for content, message in (
            (b"\1\0\0", "got the end in element 0"),
            (b"\0\0\0\0!", "expected 4 bytes for 1 elem"),
        ):
            (folder / "warmup/x.bin").write_bytes(content)
            sample = self.sample('input_data_file: "x.bin"', dims="", datatype="TYPE_STRING")
            assert message in refusal(folder, onnx_models.strings(), sample)

    @pytest.mark.parametrize("datatype", ["TYPE_BF16", "TYPE_STRING"])
    @pytest.mark.parametrize("fill", ["zero_data: true", "random_data: true"])
    def test_datatypes_that_numpy_lacks(self, folder: Path, runs: list[Array], datatype: str, fill: str) -> None:
        proto, dims = (onnx_models.bfloat16(), "3") if datatype == "TYPE_BF16" else (onnx_models.strings(), "")
        load(folder, proto, self.sample(fill, dims=dims, datatype=datatype))
        assert len(runs) == 1

    @pytest.mark.parametrize(
        ("sample", "message"),
        [
            (("zero_data: true", "9", "TYPE_FP32"), "input 'x': it has shape [1, 9], expected [-1, 8]"),
            (("zero_data: true", "8", "TYPE_INT64"), "input 'x': it says INT64, the model has FP32"),
            (('input_data_file: "none"', "8", "TYPE_FP32"), "warmup/none: No such file"),
            (('input_data_file: "short"', "8", "TYPE_FP32"), "warmup/short: expected 32 bytes, got 3"),
        ],
    )
    def test_a_sample_that_does_not_fit_is_told(self, folder: Path, sample: tuple[str, str, str], message: str) -> None:
        (folder / "warmup").mkdir(parents=True)
        (folder / "warmup/short").write_bytes(b"abc")
        fill, dims, datatype = sample
        assert message in refusal(folder, LINEAR, self.sample(fill, dims=dims, datatype=datatype))

    def test_a_sample_names_the_models_inputs(self, folder: Path) -> None:
        text = self.sample("zero_data: true")
        assert "the model has no input 'z'" in refusal(folder, LINEAR, text.replace('"x"', '"z"'))
        empty = 'max_batch_size: 4 model_warmup { name: "s" }'
        assert "it has no input 'x'" in refusal(folder, LINEAR, empty)

    def test_a_sample_that_the_model_refuses_fails_the_load(self, folder: Path) -> None:
        (folder / "warmup").mkdir(parents=True)
        np.array([1000], np.int64).tofile(folder / "warmup/x.bin")
        table = onnx_models.weights("table", 10, 4)
        gather = helper.make_node("Gather", ["table", "x"], ["y"])
        proto = model([gather], [value("x", ["batch", 1], TensorProto.INT64)], [value("y", ["batch", 1, 4])], [table])
        text = refusal(folder, proto, self.sample('input_data_file: "x.bin"', dims="1", datatype="TYPE_INT64"))
        assert text.startswith("model_warmup 's': the model does not run on it: ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("{execution_mode: both}", "expected one of sequential, parallel, got 'both'"),
        ("{inter_op_threads: -1}", "expected a number from 0 to 1024, got -1"),
        ("{memory_arena: 3}", "expected true or false, got 3"),
        ("{outputs: []}", "expected a list of different outputs"),
        ("{outputs: [y, y]}", "expected a list of different outputs"),
        ("{outputs: [z]}", "output 'z': the model has 'y'"),
        ("{other: 1}", "the onnx runner takes optimization, execution_mode"),
    ],
)
def test_options_of_the_runner_are_checked(tmp_path: Path, options: str, message: str) -> None:
    onnx_models.save(LINEAR, tmp_path / "m/1/model.onnx")
    (tmp_path / "m/maas.yaml").write_text(f"runner_options: {options}")
    source = Repository(tmp_path, settle=0.0).scan().models["m"]
    with pytest.raises(LoadError) as caught:
        load_version(source.versions[1], source.config)
    assert message in caught.value.message


def test_every_option_of_the_runner_runs(folder: Path) -> None:
    parameters = {
        "intra_op_thread_count": "2",
        "inter_op_thread_count": "0",
        "execution_mode": "1",
        "enable_mem_arena": "0",
        "session.set_denormal_as_zero": "1",
    }
    text = "".join(f'parameters {{ key: "{key}" value {{ string_value: "{v}" }} }}' for key, v in parameters.items())
    loaded = load(folder, onnx_models.scaled(2.0), f"max_batch_size: 4 optimization {{ graph {{ level: 2 }} }} {text}")
    for _ in range(2):
        (y,) = run(loaded, np.array([[1, 2, 3, 4]], np.float32))
        assert y.tolist() == [[2, 4, 6, 8]]
