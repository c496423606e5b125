"""What loading finds out about models of different kinds."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import onnx
import pytest

from maas_server.errors import LoadError
from maas_server.models.config import ModelConfig
from maas_server.models.loader import Defaults, close_runner, digest_files, load_version, make_runner
from maas_server.models.onnx_runner import OnnxRunner
from maas_server.models.plan import QueuePlan, VersionPlan
from maas_server.models.runner import ENTRY_POINT_GROUP, Array, RunBatch, RunnerOptions, Signature
from tests.models import onnx_models
from tests.models.conftest import LoadModel, source_of


def batch_axes(plan: VersionPlan) -> tuple[list[int | None], list[int | None]]:
    return [each.batch_axis for each in plan.inputs], [each.batch_axis for each in plan.outputs]


@pytest.mark.parametrize("name", ["batch", "N", "anything", None])
def test_a_leading_dimension_counts_rows_whatever_its_name(load: LoadModel, name: str | None) -> None:
    plan = load(onnx_models.linear(name)).plan
    assert batch_axes(plan) == ([0], [0])
    assert plan.batching
    assert plan.outputs[0].sources == ((0, 0), None)
    assert 0 <= plan.row_difference < 1e-5
    assert plan.max_batch_size >= 8


def test_rows_may_lie_along_another_dimension(load: LoadModel) -> None:
    plan = load(onnx_models.recurrent()).plan
    assert batch_axes(plan) == ([0, 1, None], [0, 1])
    assert plan.batching
    assert plan.outputs[1].shape == (2, -1, 6)
    assert plan.outputs[1].sources == (None, (0, 0), None)


def test_batch_axes_can_be_configured(load: LoadModel) -> None:
    plan = load(onnx_models.recurrent(), "batching: {batch_axis: {input: 0, state: 1, output: 0, stateN: 1}}").plan
    assert batch_axes(plan) == ([0, 1, None], [0, 1])
    assert plan.batching


def test_configured_batch_axes_that_runs_contradict_turn_batching_off(load: LoadModel) -> None:
    plan = load(onnx_models.recurrent(), "batching: {batch_axis: {input: 0, state: 1, output: 1}}").plan
    assert not plan.batching
    assert "says 1 for output 'output', runs say 0" in plan.batching_reason


@pytest.mark.parametrize(
    ("proto", "reason"),
    [
        (onnx_models.dynamically_quantized(), "a row's answer depends on its neighbours"),
        (onnx_models.batch_mean(), "a row's answer depends on its neighbours"),
        (onnx_models.fixed(), "every dimension of its inputs is fixed"),
        (onnx_models.summed(), "no output has the rows that go in"),
        (onnx_models.nonzero(), "output 'y' changes shape with the number of rows"),
    ],
    ids=["dynamically_quantized", "batch_mean", "fixed", "summed", "nonzero"],
)
def test_rows_that_cannot_be_batched_are_not(load: LoadModel, proto: onnx.ModelProto, reason: str) -> None:
    loaded = load(proto)
    plan = loaded.plan
    assert not plan.batching
    assert reason in plan.batching_reason
    assert plan.max_batch_size == 1
    assert batch_axes(plan) == ([None], [None])
    assert plan.curve


def test_a_row_moved_by_its_neighbours_is_measured(load: LoadModel) -> None:
    assert load(onnx_models.dynamically_quantized()).plan.row_difference > 0.01


def test_insisting_on_batching_makes_the_reason_a_load_error(load: LoadModel) -> None:
    with pytest.raises(LoadError, match=r"batching\.enabled is true, but a row's answer depends"):
        load(onnx_models.dynamically_quantized(), "batching: {enabled: true}")
    assert load(onnx_models.linear(), "batching: {enabled: true}").plan.batching


def test_batching_can_be_turned_off(load: LoadModel) -> None:
    plan = load(onnx_models.linear(), "batching: {enabled: false}").plan
    assert not plan.batching
    assert plan.batching_reason == "turned off by the configuration"
    assert batch_axes(plan) == ([0], [0])


def test_strings_batch_too(load: LoadModel) -> None:
    plan = load(onnx_models.strings()).plan
    assert plan.batching
    assert plan.row_difference == 0


def test_ids_stay_small_enough_for_a_small_vocabulary(load: LoadModel) -> None:
    plan = load(onnx_models.embedding(masked=False, vocabulary=2)).plan
    assert plan.batching


def test_output_shapes_come_from_runs_where_the_file_gives_none(load: LoadModel) -> None:
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    proto = onnx_models.model([node], [onnx_models.value("x", ["batch", 4])], [onnx_models.unranked("y")])
    loaded = load(proto)
    assert loaded.plan.outputs[0].shape == (-1, 4)
    assert loaded.plan.outputs[0].sources == ((0, 0), None)
    assert loaded.signature.outputs[0].shape == (-1, 4)


def test_output_shapes_that_the_file_gives_wrong_are_not_believed(load: LoadModel) -> None:
    node = onnx.helper.make_node("Shape", ["x"], ["s"])
    reshape = onnx.helper.make_node("Reshape", ["x", "s"], ["y"])
    proto = onnx_models.model(
        [node, reshape], [onnx_models.value("x", ["batch", 4])], [onnx_models.value("y", ["batch", 9])]
    )
    assert load(proto).plan.outputs[0].shape == (-1, -1)


def test_free_dimensions_of_outputs_follow_the_inputs(load: LoadModel) -> None:
    plan = load(onnx_models.tokens()).plan
    assert plan.outputs[0].sources == ((0, 0), (0, 1), None)


MASKED = "padding: [{inputs: {ids: 1}, mask: mask, buckets: [8, 16]}]"


def test_a_masked_model_may_be_padded(load: LoadModel) -> None:
    loaded = load(onnx_models.embedding(masked=True), MASKED)
    plan = loaded.plan
    assert plan.pad_groups == ((8, 16),)
    ids, mask = plan.inputs
    assert (ids.pad_group, ids.pad_axis, ids.auto_fill) == (0, 1, "none")
    assert (mask.pad_group, mask.pad_axis, mask.auto_fill) == (0, 1, "mask")
    assert [info.optional for info in loaded.signature.inputs] == [False, True]
    assert plan.outputs[0].pad_axis is None
    assert plan.batching
    assert plan.batching_reason == ""


def test_outputs_as_long_as_the_input_are_cut_back(load: LoadModel) -> None:
    plan = load(onnx_models.tokens(), "padding: [{inputs: {ids: 1}, buckets: [8]}]").plan
    assert (plan.outputs[0].pad_group, plan.outputs[0].pad_axis) == (0, 1)
    assert plan.batching_reason == ""


def test_padding_that_changes_answers_is_dropped(load: LoadModel) -> None:
    loaded = load(onnx_models.embedding(masked=False), "padding: [{inputs: {ids: 1}, buckets: [8]}]")
    plan = loaded.plan
    assert plan.pad_groups == ()
    assert plan.inputs[0].pad_axis is None
    assert plan.batching
    assert plan.batching_reason.startswith("padding is off: padding changes the answer")
    assert not loaded.signature.inputs[0].optional


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("padding: [{inputs: {idx: 1}}]", "padding.0.inputs: the model has no 'idx'; it has ids"),
        ("padding: [{inputs: {ids: 2}}]", "expected a dimension that varies, got 2"),
        ("padding: [{inputs: {ids: 1}}, {inputs: {ids: 1}}]", "padding.1: input 'ids' is in another group"),
        ("padding: [{inputs: {ids: 1}, value: 0.5}]", "padding value that INT64 can hold, got 0.5"),
        ("padding: [{inputs: {ids: 1}, mask: m}]", "padding.0.mask: the model has no 'm'"),
        ("padding: [{inputs: {ids: 1}, outputs: {y: 7}}]", "padding.0.outputs.y: the output has 3 dimensions"),
        ("batching: {batch_axis: {x: 0}}", "batching.batch_axis.x: the model has no such tensor; it has ids, y"),
        ("batching: {batch_axis: {ids: 3}}", "expected a dimension that varies, got 3"),
        ("warmup: {inputs: {z: 1}}", "warmup.inputs.z: the model has no such tensor; it has ids"),
        ("runner: absent", "'absent' is not registered; known are onnx"),
    ],
)
def test_configuration_that_does_not_fit_the_model_is_named(load: LoadModel, config: str, message: str) -> None:
    with pytest.raises(LoadError) as caught:
        load(onnx_models.tokens(), config)
    assert message in caught.value.message


def test_a_model_that_refuses_every_example_is_served_unbatched(load: LoadModel) -> None:
    # Reshape to 7 x 11 fits none of the sizes that are tried.
    node = onnx.helper.make_node("Reshape", ["x", "s"], ["y"])
    shape = onnx_models.constant("s", [7, 11], int)
    proto = onnx_models.model([node], [onnx_models.value("x", ["n"])], [onnx_models.value("y", [7, 11])], [shape])
    plan = load(proto).plan
    assert not plan.batching
    assert "no example inputs were accepted (name some under warmup.inputs)" in plan.batching_reason
    assert plan.row_difference == -1
    assert plan.curve == ()
    hinted = load(proto, "warmup: {inputs: {x: {shape: [77]}}}").plan
    assert hinted.curve


def test_warm_up_can_be_turned_off(load: LoadModel) -> None:
    plan = load(onnx_models.linear(), "warmup: false").plan
    assert not plan.batching
    assert "warm-up is off" in plan.batching_reason


def test_limits_come_from_the_configuration_then_from_the_defaults(tmp_path: Path) -> None:
    source = source_of(onnx_models.save(onnx_models.linear(), tmp_path / "model.onnx"))
    defaults = Defaults(threads=1, max_batch_size=6, max_queue_rows=77)
    plan = load_version(source, ModelConfig(), defaults=defaults).plan
    assert (plan.max_batch_size, plan.max_queue_rows, plan.max_request_rows) == (6, 77, 1024)
    config = ModelConfig.model_validate(
        {"batching": {"max_batch_size": 3, "max_queue_rows": 5, "max_request_rows": 9, "max_queue_delay_us": "1ms"}}
    )
    plan = load_version(source, config, defaults=defaults).plan
    assert (plan.max_batch_size, plan.max_queue_rows, plan.max_request_rows) == (3, 5, 9)
    assert plan.max_queue_delay_us == 1000
    assert plan.queue == QueuePlan()
    assert [point.rows for point in plan.curve] == [1, 2, 3]


def test_priorities_come_from_the_configuration(load: LoadModel) -> None:
    plan = load(onnx_models.linear(), "batching: {priority_levels: 3, default_priority: 2}").plan
    assert (plan.queue.priority_levels, plan.queue.default_priority) == (3, 2)


def test_the_digest_of_one_file_is_its_own(tmp_path: Path, load: LoadModel) -> None:
    loaded = load(onnx_models.linear())
    expected = hashlib.sha256((tmp_path / "model.onnx").read_bytes()).hexdigest()
    assert loaded.digest == f"sha256:{expected}"
    listing = f"{expected}  b\n{expected}  a\n"
    files = (("b", tmp_path / "model.onnx"), ("a", tmp_path / "model.onnx"))
    assert digest_files(files) == f"sha256:{hashlib.sha256(listing.encode()).hexdigest()}"


def test_files_that_change_while_they_are_loaded_are_not_served(tmp_path: Path) -> None:
    path = onnx_models.save(onnx_models.linear(), tmp_path / "model.onnx")
    source = source_of(path)

    class ChangesFile(OnnxRunner):
        def load(self, path: Path, options: RunnerOptions) -> None:
            super().load(path, options)
            path.write_bytes(path.read_bytes() + b"\x00")

    with pytest.raises(LoadError, match="changed while it was loaded"):
        load_version(source, ModelConfig(), find_runner=lambda _: ChangesFile())


def test_a_runner_that_raises_anything_is_closed_and_told(tmp_path: Path) -> None:
    closed = []

    class Broken(OnnxRunner):
        def load(self, path: Path, options: RunnerOptions) -> None:
            raise ZeroDivisionError("seven")

        def close(self) -> None:
            closed.append(True)

    source = source_of(onnx_models.save(onnx_models.linear(), tmp_path / "model.onnx"))
    with pytest.raises(LoadError, match="ZeroDivisionError: seven"):
        load_version(source, ModelConfig(), find_runner=lambda _: Broken())
    assert closed == [True]


class Exits(OnnxRunner):
    """Ends the program in the method called `where`, if it may."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self._where = where

    def load(self, path: Path, options: RunnerOptions) -> None:
        self._exit("load")
        super().load(path, options)

    def signature(self) -> Signature:
        self._exit("signature")
        return super().signature()

    def run(self, batch: RunBatch) -> Sequence[Array]:
        self._exit("run")
        return super().run(batch)

    def describe(self) -> str:
        self._exit("describe")
        return super().describe()

    def close(self) -> None:
        raise SystemExit(4)

    def _exit(self, where: str) -> None:
        if where == self._where:
            raise SystemExit(3)


@pytest.mark.parametrize("where", ["load", "signature", "run", "describe"])
def test_a_runner_cannot_end_the_program(tmp_path: Path, where: str) -> None:
    source = source_of(onnx_models.save(onnx_models.linear(), tmp_path / "model.onnx"))
    with pytest.raises(LoadError, match="SystemExit: 3"):
        load_version(source, ModelConfig(), find_runner=lambda _: Exits(where))


def test_a_runner_that_cannot_be_closed_is_closed_all_the_same(tmp_path: Path) -> None:
    source = source_of(onnx_models.save(onnx_models.linear(), tmp_path / "model.onnx"))
    close_runner(Exits("close"), source)


def test_a_runner_must_describe_itself_in_words(tmp_path: Path) -> None:
    class Mute(OnnxRunner):
        def describe(self) -> str:
            return None  # type: ignore[return-value]  # That is the point.

    source = source_of(onnx_models.save(onnx_models.linear(), tmp_path / "model.onnx"))
    with pytest.raises(LoadError, match="expected str"):
        load_version(source, ModelConfig(), find_runner=lambda _: Mute())


def test_packages_register_runners_by_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    group = ENTRY_POINT_GROUP
    entries = metadata.EntryPoints(
        [
            metadata.EntryPoint("other", "maas_server.models.onnx_runner:OnnxRunner", group),
            metadata.EntryPoint("broken", "maas_server.models.nowhere:Runner", group),
        ]
    )
    monkeypatch.setattr(metadata, "entry_points", lambda *, group: entries.select(group=group))
    assert isinstance(make_runner("other"), OnnxRunner)
    with pytest.raises(LoadError, match="cannot be made"):
        make_runner("broken")
    with pytest.raises(LoadError, match="known are broken, onnx, other"):
        make_runner("third")


def test_without_onnxruntime_a_model_says_what_to_install_and_other_runners_go_on() -> None:
    script = """
import sys
sys.modules["onnxruntime"] = None
from importlib import metadata
from maas_server.errors import LoadError
from maas_server.models import loader
entry = metadata.EntryPoint("other", "builtins:object", loader.ENTRY_POINT_GROUP)
metadata.entry_points = lambda *, group: metadata.EntryPoints([entry])
print(type(loader.make_runner("other")).__name__)
try:
    loader.make_runner("onnx")
except LoadError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    made, refused = done.stdout.splitlines()
    assert made == "object"
    assert 'pip install "maas-server[cpu]"' in refused
