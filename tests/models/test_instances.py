"""`instances` of a maas.yaml, and what becomes of a version that asks for a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from maas_server.errors import ConfigError, LoadError
from maas_server.models.config import ModelConfig
from maas_server.models.config_file import parse_config
from maas_server.models.instances import GpuInstances, Instances, count_instances
from maas_server.models.loader import load_version
from maas_server.models.runner import Runner
from tests.models import onnx_models
from tests.models.conftest import LoadModel, source_of


def parse(text: str) -> ModelConfig:
    return parse_config(f"instances: {text}".encode(), "m/maas.yaml")


@pytest.mark.parametrize(
    ("text", "instances", "count"),
    [
        ("1", 1, 1),
        ("64", 64, 64),
        ("{cpu: 3}", 3, 3),
        ("{gpu: 2}", GpuInstances(2), 2),
        ("{gpu: [0, 2]}", GpuInstances({0: 1, 2: 1}), 2),
        ('{gpu: {"2": 2, "0": 1}}', GpuInstances({2: 2, 0: 1}), 3),
    ],
)
def test_a_number_is_of_the_cpu_and_a_mapping_says_of_what(text: str, instances: Instances, count: int) -> None:
    found = parse(text).instances
    assert found == instances
    assert count_instances(found) == count


def test_equal_wishes_need_no_reload_and_others_do() -> None:
    assert parse("2").load_key() == parse("{cpu: 2}").load_key()
    assert parse("{gpu: [0, 2]}").load_key() == parse('{gpu: {"0": 1, "2": 1}}').load_key()
    keys = {parse(text).load_key() for text in ("2", "{gpu: 2}", "{gpu: [0, 2]}", "{gpu: [0, 1]}")}
    assert len(keys) == 4
    config = parse("{gpu: [0, 2]}")
    assert ModelConfig.model_validate(config.model_dump()) == config


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", "expected 1 to 64 instances of the CPU, {cpu: N} or {gpu: ...}, got 0"),
        ("65", "expected 1 to 64 instances"),
        ("true", "expected 1 to 64 instances .* got True"),
        ("many", "expected 1 to 64 instances .* got 'many'"),
        ("null", "expected 1 to 64 instances .* got None"),
        ("[1]", "expected 1 to 64 instances .* got .1."),
        ("{}", "expected either {cpu: N} or {gpu: ...}, got {}"),
        ("{cpu: 1, gpu: 1}", "expected either {cpu: N} or {gpu: ...}, got"),
        ("{gpus: 1}", "expected either {cpu: N} or {gpu: ...}, got"),
        ("{cpu: 0}", "cpu: expected 1 to 64 instances, got {'cpu': 0}"),
        ("{cpu: [0]}", "cpu: expected 1 to 64 instances, got"),
        ("{gpu: 0}", "gpu: expected 1 to 64 instances, a list of devices, or a mapping of devices to numbers, got"),
        ("{gpu: all}", "gpu: expected 1 to 64 instances, a list"),
        ("{gpu: []}", "gpu: expected one or more different devices"),
        ("{gpu: {}}", "gpu: expected one or more different devices"),
        ("{gpu: [1, 1]}", "gpu: expected one or more different devices"),
        ('{gpu: {"1": 1, "01": 1}}', "gpu: expected one or more different devices"),
        ("{gpu: [-1]}", "gpu: expected devices by their indices"),
        ("{gpu: [true]}", "gpu: expected devices by their indices"),
        ("{gpu: [1.0]}", "gpu: expected devices by their indices"),
        ("{gpu: [1000]}", "gpu: expected devices by their indices"),
        ("{gpu: {first: 1}}", "gpu: expected devices by their indices"),
        ('{gpu: {"0": 0}}', "gpu: 0: expected 1 to 64 instances"),
        ('{gpu: {"0": 33, "1": 32}}', "gpu: expected at most 64 instances"),
        ("{gpu: {0: 1}}", "expected a name as key, got 0"),
    ],
)
def test_what_is_wrong_is_named(text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=rf"^m/maas\.yaml.*: {expected}"):
        parse(text)


def test_instances_of_the_cpu_reach_the_plan(load: LoadModel) -> None:
    assert load(onnx_models.fixed(), "instances: {cpu: 3}").plan.instances == 3


@pytest.mark.parametrize(("text", "count"), [("{gpu: 1}", 1), ("{gpu: [0, 3]}", 2)])
def test_a_version_that_asks_for_a_gpu_is_refused_before_anything_is_read(
    tmp_path: Path, text: str, count: int
) -> None:
    def no_runner(name: str) -> Runner:
        raise AssertionError("nothing may be loaded")

    path = tmp_path / "model.onnx"
    path.write_bytes(b"")
    with pytest.raises(LoadError) as caught:
        load_version(source_of(path), parse(text), find_runner=no_runner)
    assert caught.value.message == (
        f"instances.gpu: expected instances on the CPU, got {count} on a GPU: this build has no runner for GPUs; "
        f"`instances: {count}` runs as many on the CPU"
    )
