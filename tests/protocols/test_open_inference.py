"""What is said of models by the Open Inference Protocol, from views alone."""

from __future__ import annotations

import pytest

from maas_server._stubs.inference import model_config_pb2 as config_pb
from maas_server.errors import NotFound, Unavailable
from maas_server.models.host import BatchSize, Counters
from maas_server.models.plan import VersionPlan
from maas_server.models.registry import NOT_LOADED, ModelView, State, VersionView
from maas_server.models.runner import Signature, TensorInfo
from maas_server.protocols.open_inference import repository_index, serving_versions
from maas_server.protocols.open_inference_config import datatype, model_config
from maas_server.protocols.open_inference_statistics import model_statistics

SIGNATURE = Signature(
    (TensorInfo("ids", "INT64", (-1, -1)), TensorInfo("mask", "INT64", (-1, -1), optional=True)),
    (TensorInfo("text", "BYTES", (-1, 3)),),
)


def plan(**fields: object) -> VersionPlan:
    values: dict[str, object] = {"model": "m", "version": 3, "inputs": (), "outputs": (), **fields}
    return VersionPlan(**values)  # type: ignore[arg-type]


def served(**fields: object) -> VersionView:
    values: dict[str, object] = {
        "version": 3,
        "state": State.AVAILABLE,
        "signature": SIGNATURE,
        "plan": plan(instances=2, max_queue_delay_us=700),
        "platform": "onnxruntime_onnx",
        "max_batch_size": 16,
        **fields,
    }
    return VersionView(**values)  # type: ignore[arg-type]


MODEL = ModelView(
    "m",
    versions=(
        VersionView(5, State.LOADING),
        VersionView(4, State.AVAILABLE),
        VersionView(3, State.AVAILABLE),
        VersionView(2, State.UNLOADING),
        VersionView(1, State.END, "it does not load"),
    ),
    labels={"old": 3},
    default_version=4,
)


@pytest.mark.parametrize(("version", "numbers"), [("", [4, 3]), ("3", [3]), ("04", [4]), ("old", [3])])
def test_versions_are_named_by_numbers_or_labels(version: str, numbers: list[int]) -> None:
    assert [each.version for each in serving_versions(MODEL, version)] == numbers


@pytest.mark.parametrize(("version", "state"), [("5", "LOADING"), ("2", "UNLOADING"), ("1", "END")])
def test_a_version_that_does_not_serve_says_what_it_does(version: str, state: str) -> None:
    with pytest.raises(Unavailable, match=state):
        serving_versions(MODEL, version)


@pytest.mark.parametrize("version", ["6", "new", "+3", "3.0"])
def test_a_version_that_is_not_there_is_not_found(version: str) -> None:
    with pytest.raises(NotFound):
        serving_versions(MODEL, version)


def test_the_index_has_triton_s_states() -> None:
    views = (
        MODEL,
        ModelView("new", versions=(VersionView(1, State.END, NOT_LOADED),)),
        ModelView("wrong", reason="config.pbtxt does not parse"),
        ModelView("waiting", versions=(VersionView(1, State.START, "it settles"),)),
        ModelView("odd", reason="unknown field", versions=(VersionView(1, State.END, NOT_LOADED),)),
    )
    entries = [
        (each.name, each.version, each.state, each.reason) for each in repository_index(views, ready=False).models
    ]
    assert entries == [
        ("m", "1", "UNAVAILABLE", "it does not load"),
        ("m", "2", "UNLOADING", ""),
        ("m", "3", "READY", ""),
        ("m", "4", "READY", ""),
        ("m", "5", "LOADING", ""),
        ("new", "", "", ""),
        ("wrong", "", "UNAVAILABLE", "config.pbtxt does not parse"),
        ("waiting", "1", "LOADING", "it settles"),
        ("odd", "", "UNAVAILABLE", "unknown field"),
    ]
    assert [each.version for each in repository_index(views, ready=True).models] == ["3", "4"]


def test_a_configuration_is_made_of_how_the_version_is_served() -> None:
    config = model_config("m", served())
    expected = config_pb.ModelConfig(
        name="m",
        platform="onnxruntime_onnx",
        backend="onnxruntime",
        default_model_filename="model.onnx",
        max_batch_size=16,
        input=[
            config_pb.ModelInput(name="ids", data_type="TYPE_INT64", dims=[-1]),
            config_pb.ModelInput(name="mask", data_type="TYPE_INT64", dims=[-1], optional=True),
        ],
        output=[config_pb.ModelOutput(name="text", data_type="TYPE_STRING", dims=[3])],
        dynamic_batching=config_pb.ModelDynamicBatching(max_queue_delay_microseconds=700),
        instance_group=[config_pb.ModelInstanceGroup(name="m_0", kind="KIND_CPU", count=2)],
    )
    assert config == expected


def test_without_batches_shapes_are_whole() -> None:
    config = model_config("m", served(max_batch_size=0, platform="torch", plan=plan(batching=False)))
    assert [list(each.dims) for each in config.input] == [[-1, -1], [-1, -1]]
    assert [list(each.dims) for each in config.output] == [[-1, 3]]
    assert not config.HasField("dynamic_batching")
    assert (config.platform, config.backend, config.default_model_filename) == ("torch", "", "")


def test_a_configuration_that_was_read_is_told_as_it_is_and_filled_up() -> None:
    read = config_pb.ModelConfig(
        name="m",
        backend="onnxruntime",
        max_batch_size=16,
        default_model_filename="best.onnx",
        output=[config_pb.ModelOutput(name="text", data_type="TYPE_STRING", dims=[3], label_filename="labels.txt")],
        version_policy=config_pb.ModelVersionPolicy(all=config_pb.ModelVersionPolicy.All()),
        sequence_batching=config_pb.ModelSequenceBatching(max_sequence_idle_microseconds=5),
    )
    config = model_config("m", served(triton_config=read.SerializeToString()))
    assert config.default_model_filename == "best.onnx"
    assert [each.label_filename for each in config.output] == ["labels.txt"]
    assert config.version_policy.HasField("all")
    # One choice of three: what was read stands.
    assert config.WhichOneof("scheduling_choice") == "sequence_batching"
    assert [each.name for each in config.input] == ["ids", "mask"]
    assert config.instance_group[0].count == 2
    assert config.platform == "onnxruntime_onnx"


def test_every_datatype_has_a_value_of_triton_s() -> None:
    names = ("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64")
    for name in (*names, "FP16", "FP32", "FP64", "BF16", "BYTES"):
        assert config_pb.DataType.Value(datatype(name))


def test_statistics_are_the_counters_in_triton_s_words() -> None:
    counters = Counters(
        accepted=18,
        succeeded=10,
        failed=1,
        cancelled=2,
        expired=3,
        rejected=4,
        batches=5,
        rows=20,
        run_ns=500,
        queue_ns=1000,
        succeeded_ns=9000,
        failed_ns=10,
        cancelled_ns=20,
        expired_ns=30,
        requests_pack_ns=70,
        requests_run_ns=700,
        requests_answer_ns=7,
        last_unix_ms=1234,
        batch_sizes=(BatchSize(2, 3, 30, 300, 3), BatchSize(7, 2, 20, 200, 2)),
    )
    told = model_statistics("m", served(counters=counters))
    assert (told.name, told.version, told.last_inference) == ("m", "3", 1234)
    assert (told.inference_count, told.execution_count) == (20, 5)
    stats = {field.name: (value.count, value.ns) for field, value in told.inference_stats.ListFields()}
    assert stats == {
        "success": (10, 9000),
        "fail": (10, 60),
        "queue": (10, 1000),
        "compute_input": (10, 70),
        "compute_infer": (10, 700),
        "compute_output": (10, 7),
        "cache_hit": (0, 0),
        "cache_miss": (0, 0),
    }
    batches = [
        (
            each.batch_size,
            each.compute_input.count,
            each.compute_input.ns,
            each.compute_infer.ns,
            each.compute_output.ns,
        )
        for each in told.batch_stats
    ]
    assert batches == [(2, 3, 30, 300, 3), (7, 2, 20, 200, 2)]
