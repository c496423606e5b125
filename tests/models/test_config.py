from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_server.errors import ConfigError
from maas_server.models.config import ModelConfig
from maas_server.models.config_file import MAX_CONFIG_BYTES, parse_config, read_config
from maas_server.models.plan import QueuePlan, QueuePolicy


def parse(text: str) -> ModelConfig:
    return parse_config(text.encode(), "m/maas.yaml")


def test_an_empty_file_means_the_defaults() -> None:
    assert parse("") == parse("# nothing\n") == ModelConfig()
    assert ModelConfig().versions.latest == 1


@pytest.mark.parametrize(
    ("text", "us"), [("0", 0), ("500us", 500), ("200ms", 200_000), ('"1.5s"', 1_500_000), ("86400s", 86_400_000_000)]
)
def test_a_default_deadline_is_a_duration(text: str, us: int) -> None:
    assert parse(f"default_deadline: {text}").default_deadline == us


@pytest.mark.parametrize(
    "text",
    [
        *(
            "default_deadline: " + each
            for each in ("200", "0.5", "-1ms", "86401s", "soon", "true", ".inf", "null", "1m")
        ),
        *("weight: " + each for each in ("0", "-1", "1001", ".inf", ".nan", "heavy", "true", "null")),
    ],
)
def test_deadlines_without_a_unit_and_weights_out_of_range_are_refused(text: str) -> None:
    key = text.partition(":")[0]
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert [violation.field for violation in caught.value.violations] == [key]


def test_everything_can_be_said() -> None:
    config = parse(
        """
        runner: onnx
        runner_options: {optimization: basic}
        file: classifier.onnx
        versions: {latest: 2}
        labels: {stable: 3, v2.beta: 4}
        batching:
          enabled: true
          max_batch_size: 16
          max_queue_delay_us: 2ms
          max_queue_rows: 100
          max_request_rows: 50
          batch_axis: {state: 1}
          priority_levels: 3
          default_priority: 2
          queue_policy: {default_timeout_us: 100ms, allow_timeout_override: true}
          priority_policies: {"3": {timeout_action: delay, default_timeout_us: 5000, max_queue_size: 9}}
          preferred_batch_sizes: [16, 4, 8]
        instances: 2
        threads: 3
        default_deadline: 250ms
        weight: 2
        padding:
          - inputs: {ids: 1}
            values: {ids: 7}
            buckets: [8, 16]
            outputs: {y: 1}
            mask: mask
            lengths: lengths
        warmup: {inputs: {rate: 16000, ids: {low: 0, high: 9}, x: {shape: [1, 5]}}}
        """
    )
    assert config.batching.max_queue_delay_us == 2000
    assert config.batching.queue_plan() == QueuePlan(
        priority_levels=3,
        default_priority=2,
        policy=QueuePolicy(default_timeout_us=100_000, allow_timeout_override=True),
        priority_policies={3: QueuePolicy(default_timeout_us=5000, timeout_action="delay", max_queue_size=9)},
        preferred_batch_sizes=(4, 8, 16),
    )
    assert (config.default_deadline, config.weight) == (250_000, 2.0)
    assert config.labels == {"stable": 3, "v2.beta": 4}
    assert config.padding[0].buckets == (8, 16)
    assert config.warmup.inputs["rate"].value == 16000
    assert config.warmup.inputs["x"].shape == (1, 5)


@pytest.mark.parametrize(
    ("text", "latest", "everything", "specific"),
    [
        ("versions: {latest: 3}", 3, None, None),
        ("versions: all", None, True, None),
        ("versions: {all: true}", None, True, None),
        ("versions: [1, 3]", None, None, (1, 3)),
    ],
)
def test_versions_can_be_said_in_four_ways(
    text: str, latest: int | None, everything: bool | None, specific: tuple[int, ...] | None
) -> None:
    policy = parse(text).versions
    assert (policy.latest, policy.all, policy.specific) == (latest, everything, specific)


@pytest.mark.parametrize(
    ("text", "microseconds"), [("0", 0), ("250", 250), ("500us", 500), ("1.5ms", 1500), ("1 s", 1_000_000)]
)
def test_delays_are_microseconds_or_durations(text: str, microseconds: int) -> None:
    assert parse(f"batching: {{max_queue_delay_us: {text}}}").batching.max_queue_delay_us == microseconds


@pytest.mark.parametrize(
    ("text", "field", "guess"),
    [
        ("batchin: {}", "batchin", "batching"),
        ("batching: {max_batch_sise: 8}", "batching.max_batch_sise", "max_batch_size"),
        ("padding: [{inputs: {ids: 1}, bucket: [8]}]", "padding.0.bucket", "buckets"),
        ("warmup: {inputs: {x: {shap: [1]}}}", "warmup.inputs.x.shap", "shape"),
        ("versions: {lastest: 1}", "versions.lastest", "latest"),
    ],
)
def test_an_unknown_key_names_the_closest_known_one(text: str, field: str, guess: str) -> None:
    with pytest.raises(ConfigError, match=f"did you mean '{guess}'") as caught:
        parse(text)
    assert field in [violation.field for violation in caught.value.violations]
    assert caught.value.message.startswith("m/maas.yaml: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", r"m/maas\.yaml:1:6: "),
        ("instances: 1\ninstances: 2", r"m/maas\.yaml:2:1: 'instances' is there twice"),
        ("runner_options: {a: &x [1], b: *x}", "anchors and aliases are not allowed"),
        ("on: 1", "expected a name as key, got True"),
        ("!!python/object:os.system {}", "could not determine a constructor"),
        ("- 1", "expected a mapping of keys, got list"),
        ("[" * 5000, "not usable YAML"),
        ("instances: " + "1" * 5000, "not usable YAML"),
        ("runner: 2024-02-31", "not usable YAML: ValueError"),
        ("runner: !!bool x", "not usable YAML: KeyError"),
        ("runner: !!timestamp x", "not usable YAML: AttributeError"),
        ("instances: 0", "instances: .* got 0"),
        ("instances: true", "instances: .* got True"),
        ("instances: 2.5", "instances: .* got 2.5"),
        ("file: ../../etc/passwd", "file: "),
        ("labels: {'12': 3}", "labels.12"),
        ("labels: {stable: 0}", "labels.stable"),
        ("versions: {latest: 1, all: true}", "expected one of"),
        ("versions: []", "versions"),
        ("versions: [9223372036854775808]", "versions"),
        ("batching: {max_queue_delay_us: 2 minutes}", "expected microseconds, or a duration"),
        ("batching: {enabled: maybe}", "batching.enabled"),
        ("batching: {default_priority: 2}", "default_priority: expected 1 to priority_levels, 1, got 2"),
        ("batching: {priority_levels: 2, default_priority: 3}", "expected 1 to priority_levels, 2, got 3"),
        ("batching: {priority_levels: 2, priority_policies: {'3': {}}}", "expected levels from 1 to .*2, got 3"),
        ("batching: {priority_policies: {'0': {}}}", "batching.priority_policies.0"),
        ("batching: {priority_policies: {high: {}}}", "batching.priority_policies.high"),
        ("batching: {queue_policy: {timeout_action: drop}}", "batching.queue_policy.timeout_action"),
        ("batching: {queue_policy: {default_timeout_us: 2 days}}", "expected microseconds, or a duration"),
        ("batching: {queue_policy: {max_queue_sise: 2}}", "max_queue_size"),
        ("batching: {priority_policies: {'1': {max_queue_sise: 2}}}", "max_queue_size"),
        ("batching: {max_batch_size: 8, preferred_batch_sizes: [4, 16]}", "1 to max_batch_size, 8, got 16"),
        ("batching: {preferred_batch_sizes: [0]}", "batching.preferred_batch_sizes.0"),
        ("batching: {batch_axis: {x: -1}}", "batching.batch_axis.x"),
        ("padding: [{inputs: {ids: 1}, buckets: [8, 4]}]", "buckets must ascend"),
        ("padding: [{inputs: {ids: 1}, values: {idx: 4}}]", "values names 'idx'"),
        ("padding: [{inputs: {}}]", "padding.0.inputs"),
        ("warmup: {inputs: {x: {low: 1}}}", "low and high go together"),
        ("warmup: {inputs: {x: {low: 2, high: 1}}}", "low <= high"),
        ("warmup: {inputs: {x: .nan}}", "warmup.inputs.x"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(text)


def test_large_and_unreadable_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "maas.yaml"
    path.write_bytes(b"#" * (MAX_CONFIG_BYTES + 1))
    with pytest.raises(ConfigError, match="expected at most"):
        read_config(path)
    path.write_bytes(b"runner: \xff")
    with pytest.raises(ConfigError, match="not UTF-8 at byte 8"):
        read_config(path)
    with pytest.raises(ConfigError, match="No such file"):
        read_config(tmp_path / "none.yaml")


@given(st.one_of(st.binary(max_size=200), st.text("{}[]:&*!|>-'\" \n\tabc019#%@", max_size=80).map(str.encode)))
def test_no_bytes_do_anything_but_parse_or_raise_config_error(data: bytes) -> None:
    message = "maas.yaml"
    try:
        parse_config(data, "maas.yaml")
    except ConfigError as error:
        message = error.message
    assert message.startswith("maas.yaml")


def test_labels_and_version_policy_need_no_reload() -> None:
    base = parse("instances: 2")
    assert base.load_key() == parse("instances: 2\nlabels: {a: 1}\nversions: all").load_key()
    assert base.load_key() != parse("instances: 3").load_key()
