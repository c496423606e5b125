"""A config.pbtxt as text: what is read of it, what is refused, and what is named as not honoured."""

from __future__ import annotations

from pathlib import Path

import pytest

from maas_server._stubs.inference import model_config_pb2
from maas_server.errors import ConfigError
from maas_server.models.config import ModelConfig
from maas_server.models.folder_config import FolderConfig, make_folder_config, read_folder_config
from maas_server.models.triton_config import (
    MAX_TRITON_CONFIG_BYTES,
    parse_triton_config,
    parse_triton_json,
    read_triton_config,
)

X = 'input { name: "x" data_type: TYPE_FP32 dims: [ 4 ] }'
Y = 'output { name: "y" data_type: TYPE_FP32 dims: [ 4 ] }'


def read(text: str, name: str = "m") -> FolderConfig:
    return make_folder_config(parse_triton_config(text.encode(), "config.pbtxt"), (name,), "config.pbtxt")


def config(text: str) -> ModelConfig:
    return read(text).config


def ignored(text: str) -> list[str]:
    triton = read(text).triton
    assert triton is not None
    return [each.field for each in triton.not_honoured]


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return caught.value.message


@pytest.mark.parametrize(
    "text", ["", 'backend: "onnxruntime"', 'platform: "onnxruntime_onnx"', 'name: "m" backend: "onnxruntime"']
)
def test_models_of_onnx_runtime_are_served(text: str) -> None:
    found = read(text)
    assert found.config.file == "model.onnx"
    assert found.triton is not None
    message = model_config_pb2.ModelConfig.FromString(found.triton.message)
    assert (message.name, message.backend, message.platform) == ("m", "onnxruntime", "onnxruntime_onnx")
    assert message.version_policy.latest.num_versions == 1


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('platform: "tensorrt_plan"', "platform"),
        ('platform: "ensemble"', "platform"),
        ('backend: "python"', "backend"),
        ("ensemble_scheduling { step { model_name: 'a' } }", "ensemble_scheduling"),
        ("sequence_batching { state { input_name: 'x' output_name: 'y' } }", "sequence_batching"),
        ("sequence_batching { control_input { name: 'START' } }", "sequence_batching"),
        ("sequence_batching { iterative_sequence: true }", "sequence_batching"),
        ("model_transaction_policy { decoupled: true }", "model_transaction_policy.decoupled"),
        ("batch_input { kind: BATCH_ELEMENT_COUNT target_name: 'n' }", "batch_input"),
        ("batch_output { target_name: 'n' }", "batch_output"),
        ("model_operations { op_library_filename: 'x.so' }", "model_operations.op_library_filename"),
        ("model_repository_agents { agents { name: 'checksum' } }", "model_repository_agents"),
        ("input { name: 'x' data_type: TYPE_FP32 dims: 4 allow_ragged_batch: true }", "input[0].allow_ragged_batch"),
        ("input { name: 'x' data_type: TYPE_FP32 dims: 4 is_shape_tensor: true }", "input[0].is_shape_tensor"),
        (
            "output { name: 'x' data_type: TYPE_FP32 dims: 4 is_non_linear_format_io: true }",
            "output[0].is_non_linear_format_io",
        ),
    ],
)
def test_what_would_change_answers_is_refused(text: str, field: str) -> None:
    assert refusal(text).startswith(f"config.pbtxt: {field}: ")


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("runtime: 'x.so'", ["runtime"]),
        ("sequence_batching { oldest { max_candidate_sequences: 4 } }", ["sequence_batching"]),
        ("dynamic_batching { }", ["dynamic_batching"]),
        (
            "instance_group { kind: KIND_GPU gpus: [0] profile: 'p' host_policy: 'h' rate_limiter { priority: 1 } }",
            [f"instance_group[0].{name}" for name in ("kind", "gpus", "profile", "host_policy", "rate_limiter")],
        ),
        ("instance_group [{ passive: true }, { count: 1 }]", ["instance_group[0].passive"]),
        ("optimization { cuda { graphs: true } }", ["optimization.cuda"]),
        (
            "optimization { execution_accelerators { gpu_execution_accelerator { name: 'tensorrt' } } }",
            ["optimization.execution_accelerators.gpu_execution_accelerator[0]"],
        ),
        (
            "optimization { execution_accelerators { cpu_execution_accelerator { name: 'openvino' } } }",
            ["optimization.execution_accelerators.cpu_execution_accelerator[0]"],
        ),
        (
            """optimization { priority: PRIORITY_MAX eager_batching: true gather_kernel_buffer_threshold: 1
            input_pinned_memory { enable: false } }""",
            [
                "optimization.priority",
                "optimization.input_pinned_memory",
                "optimization.gather_kernel_buffer_threshold",
                "optimization.eager_batching",
            ],
        ),
        (
            """parameters { key: 'mine' value { string_value: '1' } }
            parameters { key: 'enable_mem_pattern' value { string_value: '1' } }""",
            ["parameters[enable_mem_pattern]", "parameters[mine]"],
        ),
        ("cc_model_filenames { key: '7.5' value: 'a.onnx' }", ["cc_model_filenames"]),
        ("metric_tags { key: 'a' value: 'b' }", ["metric_tags"]),
        ("response_cache { enable: true }", ["response_cache.enable"]),
        ("model_metrics { }", ["model_metrics"]),
        ("input { name: 'x' data_type: TYPE_FP32 dims: 4 optional: true }", ["input[0].optional"]),
        ("input { name: 'x' data_type: TYPE_FP32 format: FORMAT_NCHW dims: [3, 2, 2] }", []),
        ("max_batch_size: 4 dynamic_batching { preserve_ordering: true }", []),
    ],
)
def test_what_changes_no_answer_is_named(text: str, fields: list[str]) -> None:
    assert ignored(text) == fields


def test_batching_is_taken_over() -> None:
    batching = config(
        f"""max_batch_size: 8 {X} {Y}
        dynamic_batching {{
          preferred_batch_size: [ 8, 4 ] max_queue_delay_microseconds: 500 priority_levels: 3 default_priority_level: 2
          default_queue_policy {{
            timeout_action: DELAY default_timeout_microseconds: 100 allow_timeout_override: true max_queue_size: 9
          }}
          priority_queue_policy {{ key: 1 value {{ max_queue_size: 5 }} }}
        }}"""
    ).batching
    assert batching.enabled == "auto"
    assert batching.max_batch_size == 8
    assert batching.max_queue_delay_us == 500
    said = batching.model_dump()
    assert said["preferred_batch_sizes"] == (4, 8)
    assert (said["priority_levels"], said["default_priority"]) == (3, 2)
    policy = {"default_timeout_us": 100, "allow_timeout_override": True, "timeout_action": "delay", "max_queue_size": 9}
    assert said["queue_policy"] == policy
    assert list(said["priority_policies"]) == [1]
    assert said["priority_policies"][1]["max_queue_size"] == 5
    assert said["priority_policies"][1]["timeout_action"] == "reject"


def test_a_batch_size_of_zero_means_whole_shapes_and_no_batching() -> None:
    found = read(f"max_batch_size: 0 {X} {Y}")
    assert found.config.batching.enabled is False
    assert found.triton is not None
    assert found.triton.inputs[0].shape == (4,)


def test_a_configuration_without_tensors_leaves_batching_to_the_model() -> None:
    assert config('backend: "onnxruntime"').batching.enabled == "auto"


def test_rows_of_one_request_reach_the_batch_size() -> None:
    assert config("max_batch_size: 2000").batching.max_request_rows == 2000
    assert config("max_batch_size: 8").batching.max_request_rows == 1024


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size: -1", "max_batch_size: expected 0 to 65536, got -1"),
        ("max_batch_size: 4 dynamic_batching { preferred_batch_size: 8 }", "expected 1 to max_batch_size, 4, got 8"),
        ("max_batch_size: 4 dynamic_batching { preferred_batch_size: 0 }", "got 0"),
        ("max_batch_size: 4 dynamic_batching { max_queue_delay_microseconds: 99999999999 }", "expected at most"),
        ("max_batch_size: 4 dynamic_batching { priority_levels: 2 }", "default_priority_level: expected 1 to 2, got 0"),
        ("max_batch_size: 4 dynamic_batching { priority_levels: 2 default_priority_level: 3 }", "got 3"),
        ("max_batch_size: 4 dynamic_batching { default_priority_level: 1 }", "expected 0 without priority_levels"),
        (
            """max_batch_size: 4 dynamic_batching { priority_levels: 1 default_priority_level: 1
            priority_queue_policy { key: 0 value { } } }""",
            "expected levels from 1 to 1, got 0",
        ),
        (
            "max_batch_size: 4 dynamic_batching { priority_queue_policy { key: 1 value { } } }",
            "without priority_levels",
        ),
        ("instance_group { count: 100 }", "expected at most 64 instances, got 100"),
        ("instance_group { count: -1 }", "instance_group[0].count: expected 0 or more"),
        ("instance_group { passive: true }", "expected a group that is not passive"),
        ("optimization { graph { level: 7 } }", "optimization.graph.level: expected one of -1, 0, 1, 2, got 7"),
        ("parameters { key: 'execution_mode' value { string_value: '2' } }", "expected a number from 0 to 1, got '2'"),
        ("parameters { key: 'intra_op_thread_count' value { string_value: 'a' } }", "got 'a'"),
        ("version_policy { specific { versions: [0] } }", "expected versions from 1 on, got 0"),
        ("version_policy { specific { } }", "got none"),
        ("input { data_type: TYPE_FP32 dims: 4 }", "input[0].name: required"),
        (X + X, "'x' is there twice"),
        ("input { name: 'x' dims: 4 }", "input[0].data_type: required for input 'x'"),
        ("input { name: 'x' data_type: TYPE_FP32 dims: -2 }", "input[0].dims: expected -1 or a size"),
        ("input { name: 'x' data_type: TYPE_FP32 dims: 0 }", "got 0"),
        ("output { name: 'y' data_type: TYPE_FP32 dims: 4 reshape { shape: [5] } }", "the same number of elements"),
        (
            "output { name: 'y' data_type: TYPE_FP32 dims: 4 reshape { shape: [-1] } }",
            "0 dimensions vary in [4], and 1",
        ),
        ("output { name: 'y' data_type: TYPE_FP32 dims: 4 label_filename: '../l' }", "expected a file in the model's"),
        ("output { name: 'y' data_type: TYPE_FP32 dims: 4 label_filename: '/l' }", "got '/l'"),
        ("model_warmup { batch_size: 9 }", "model_warmup[0].batch_size: expected at most 1, got 9"),
        (
            "model_warmup { inputs { key: 'x' value { data_type: TYPE_FP32 dims: -1 zero_data: true } } }",
            "a size from 1",
        ),
        ("model_warmup { inputs { key: 'x' value { data_type: TYPE_FP32 } } }", "expected one of zero_data"),
        (
            "model_warmup { inputs { key: 'x' value { data_type: TYPE_FP32 input_data_file: '../x' } } }",
            "expected a path below warmup/",
        ),
        ('name: "other"', "name: expected 'm', as its folder is called, got 'other'"),
        ('default_model_filename: "../model.onnx"', "default_model_filename"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(text: str, message: str) -> None:
    assert message in refusal(text)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        read("platform: 'x' ensemble_scheduling { } max_batch_size: -1")
    assert [each.field for each in caught.value.violations] == ["platform", "ensemble_scheduling", "max_batch_size"]


def test_instances_versions_threads_and_options_are_taken_over() -> None:
    found = config(
        """default_model_filename: "net.onnx" version_policy { specific { versions: [ 3, 5 ] } }
        instance_group [ { count: 2 kind: KIND_CPU }, { kind: KIND_AUTO } ] optimization { graph { level: -1 } }
        parameters { key: "intra_op_thread_count" value { string_value: "3" } }
        parameters { key: "inter_op_thread_count" value { string_value: "2" } }
        parameters { key: "execution_mode" value { string_value: "1" } }
        parameters { key: "enable_mem_arena" value { string_value: "0" } }
        parameters { key: "session.disable_prepacking" value { string_value: "1" } }"""
    )
    assert (found.file, found.instances, found.threads) == ("net.onnx", 3, 3)
    assert found.versions.specific == (3, 5)
    assert found.runner_options == {
        "optimization": "basic",
        "inter_op_threads": 2,
        "execution_mode": "parallel",
        "memory_arena": False,
        "session_config": {"session.disable_prepacking": "1"},
    }
    assert config("version_policy { all { } }").versions.all
    assert config("version_policy { latest { num_versions: 2 } }").versions.latest == 2


@pytest.mark.parametrize(("level", "name"), [(-1, "basic"), (0, "all"), (1, "extended"), (2, "none")])
def test_optimization_levels_are_numbered_as_tritons_backend_numbers_them(level: int, name: str) -> None:
    assert config(f"optimization {{ graph {{ level: {level} }} }}").runner_options == {"optimization": name}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'name: "m"\nmax_batch: 4\n', 'config.pbtxt:2:1: Message type "inference.ModelConfig" has no field named'),
        (b"\n\ninput [ {", "config.pbtxt:3:"),
        (b'max_batch_size: "x"', "config.pbtxt:1:17: "),
        (b'name: "\xff"', "config.pbtxt: not UTF-8 at byte 7"),
        (b"name: 'm'\n\0", "config.pbtxt:2: a NUL byte is in it"),
        (b"max_batch_size: 99999999999", "Value out of range"),
        (b"#" * (MAX_TRITON_CONFIG_BYTES + 1), "config.pbtxt: expected at most 1048576 bytes"),
    ],
)
def test_broken_text_is_told_with_its_place(text: bytes, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_triton_config(text, "config.pbtxt")
    assert caught.value.message.startswith(message) or message in caught.value.message


def test_a_file_that_cannot_be_read_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_triton_config(tmp_path / "config.pbtxt")
    with pytest.raises(ConfigError, match="Is a directory"):
        read_triton_config(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"), [("{", "c: "), ('{"nothing": 1}', 'no field named "nothing"'), (" " * (1 << 20) + "{}", "c: ")]
)
def test_json_is_as_strict(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_triton_json(text, "c")
    assert parse_triton_json('{"max_batch_size": 4}', "c").max_batch_size == 4


class TestBesideAMaasYaml:
    """What a maas.yaml beside a config.pbtxt may say."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "m"
        self.folder.mkdir()

    def read(self, triton: str, ours: str) -> ModelConfig:
        (self.folder / "config.pbtxt").write_text(triton)
        (self.folder / "maas.yaml").write_text(ours)
        return read_folder_config(self.folder, "m").config

    def test_it_adds_what_triton_has_no_field_for(self) -> None:
        found = self.read(
            "max_batch_size: 4",
            "{labels: {stable: 3}, batching: {enabled: true, max_queue_rows: 9}, "
            "warmup: {inputs: {x: 1}}, runner_options: {session_config: {a: b}}}",
        )
        assert found.labels == {"stable": 3}
        assert (found.batching.enabled, found.batching.max_queue_rows) == (True, 9)
        assert found.batching.max_batch_size == 4
        assert found.warmup.inputs["x"].value == 1
        assert found.runner_options == {"session_config": {"a": "b"}}

    @pytest.mark.parametrize(
        ("ours", "field"),
        [
            ("instances: 2", "instances"),
            ("batching: {max_batch_size: 2}", "batching.max_batch_size"),
            ("versions: all", "versions"),
            ("runner: other", "runner"),
            ("batching: {enabled: true}", "batching.enabled"),
            ("output_labels: {y: b.txt}", "output_labels.y"),
        ],
    )
    def test_nothing_is_said_twice(self, ours: str, field: str) -> None:
        text = f"{X} output {{ name: 'y' data_type: TYPE_FP32 dims: 4 label_filename: 'a.txt' }}"
        with pytest.raises(ConfigError) as caught:
            self.read(text, ours)
        assert [each.field for each in caught.value.violations] == [field]

    def test_warm_up_can_be_turned_off(self) -> None:
        sample = "model_warmup { inputs { key: 'x' value { data_type: TYPE_FP32 dims: 4 zero_data: true } } }"
        assert self.read(X + sample, "").warmup.inputs["x"].shape == (4,)
        assert not self.read(X + sample, "warmup: false").warmup.enabled

    def test_each_file_alone_is_enough(self) -> None:
        assert read_folder_config(self.folder, "m") == FolderConfig()
        (self.folder / "maas.yaml").write_text("instances: 2")
        assert read_folder_config(self.folder, "m").config.instances == 2
        (self.folder / "maas.yaml").unlink()
        (self.folder / "config.pbtxt").write_text("instance_group { count: 3 }")
        assert read_folder_config(self.folder, "m").config.instances == 3
