"""What a session on a GPU is asked for, and how it is seen whether that came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnxruntime as ort
import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as ort_c

from maas_server.errors import LoadError
from maas_server.models.config_file import parse_config
from maas_server.models.cuda_options import CPU, CUDA, TENSORRT, Provider, check_providers, gpu_providers
from tests.models import onnx_models

PLACE = {"device_id": "1", "user_compute_stream": "4096"}
DEFAULTS = {**PLACE, "cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"}


def providers(text: str = "") -> tuple[Provider, ...]:
    config = parse_config(f"runner_options: {{{text}}}".encode(), "maas.yaml")
    return gpu_providers(config.runner_options, device=1, stream=4096)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("", [(CUDA, DEFAULTS)]),
        ("optimization: all", [(CUDA, DEFAULTS)]),
        ("providers: [CUDAExecutionProvider]", [(CUDA, DEFAULTS)]),
        ("providers: [{CUDAExecutionProvider: }]", [(CUDA, DEFAULTS)]),
        ("providers: [CUDAExecutionProvider, CPUExecutionProvider]", [(CUDA, DEFAULTS), (CPU, {})]),
        (
            "providers: [{TensorrtExecutionProvider: {trt_fp16_enable: true}}, CUDAExecutionProvider]",
            [(TENSORRT, {**PLACE, "trt_fp16_enable": "True"}), (CUDA, DEFAULTS)],
        ),
    ],
)
def test_providers_stand_in_the_order_of_the_configuration(
    text: str, asked: Sequence[tuple[str, Mapping[str, str]]]
) -> None:
    assert [(each.name, each.options) for each in providers(text)] == asked


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("cudnn_conv_algo_search: EXHAUSTIVE", "EXHAUSTIVE"),
        ("arena_extend_strategy: kNextPowerOfTwo", "kNextPowerOfTwo"),
        ("gpu_mem_limit: 8589934592", "8589934592"),
        ("use_tf32: false", "0"),
        ("use_tf32: 1", "1"),
        ("enable_cuda_graph: true", "1"),
        ("tunable_op_max_tuning_duration_ms: 5", "5"),
    ],
)
def test_options_of_the_model_take_the_place_of_the_defaults(option: str, value: str) -> None:
    ((_, found),) = [(each.name, each.options) for each in providers(f"providers: [{{{CUDA}: {{{option}}}}}]")]
    name = option.partition(":")[0]
    assert found == {**DEFAULTS, name: value}


def test_graphs_and_the_precision_of_tf32_are_onnx_runtimes_own_unless_said() -> None:
    (cuda,) = providers()
    assert not {"enable_cuda_graph", "use_tf32", "gpu_mem_limit"} & cuda.options.keys()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("providers: CUDAExecutionProvider", "expected a list of execution providers, got 'CUDA"),
        ("providers: []", r"expected a list of execution providers, got \[\]"),
        ("providers: ", "expected a list of execution providers, got None"),
        ("providers: [3]", "expected a name, or a name with a mapping of options, got 3"),
        ("providers: [{CUDAExecutionProvider: 3}]", "expected a name, or a name with a mapping of options"),
        ("providers: [{a: {}, b: {}}]", "expected a name, or a name with a mapping of options"),
        ("providers: [CUDAExecutionProvider, {CUDAExecutionProvider: {}}]", "CUDAExecutionProvider is there twice"),
        ("providers: [CPUExecutionProvider]", "CPUExecutionProvider at most behind them, got CPUExecutionProvider$"),
        ("providers: [CPUExecutionProvider, CUDAExecutionProvider]", "at most behind them, got CPU.*, CUDA"),
        ("providers: [OpenVINOExecutionProvider]", "at most behind them, got OpenVINOExecutionProvider"),
        ("providers: [CUDAExecutionProvider, {CPUExecutionProvider: {a: 1}}]", "CPU.*: expected no options, got a"),
    ],
)
def test_providers_that_cannot_be_had_are_refused(text: str, message: str) -> None:
    with pytest.raises(LoadError, match=rf"^runner_options\.providers.*{message}"):
        providers(text)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("cudnn_conv_algo: HEURISTIC", "cudnn_conv_algo: not known; it takes arena_extend_strategy, .*, use_tf32"),
        ("cudnn_conv_algo_search: heuristic", "expected one of EXHAUSTIVE, HEURISTIC, DEFAULT, got 'heuristic'"),
        ("cudnn_conv_algo_search: 1", "expected one of EXHAUSTIVE, HEURISTIC, DEFAULT, got 1"),
        ("arena_extend_strategy: 0", "expected one of kNextPowerOfTwo, kSameAsRequested, got 0"),
        ("gpu_mem_limit: 0", "gpu_mem_limit: expected a number from 1 to 18446744073709551615, got 0"),
        ("gpu_mem_limit: 8GiB", "got '8GiB'"),
        ("gpu_mem_limit: true", "got True"),
        ("use_tf32: 2", "use_tf32: expected true or false, got 2"),
        ("use_tf32: 'no'", "use_tf32: expected true or false, got 'no'"),
        ("enable_cuda_graph: 1.0", "enable_cuda_graph: expected true or false, got 1.0"),
        ("device_id: 1", "device_id: not the model's to set: `instances` says which"),
        ("user_compute_stream: 1", "user_compute_stream: not the model's to set: sessions run on the server's"),
        ("has_user_compute_stream: 0", "has_user_compute_stream: not the model's to set"),
        ("do_copy_in_default_stream: false", "do_copy_in_default_stream: not the model's to set"),
        ("gpu_external_alloc: 1", "gpu_external_alloc: not the model's to set: it is an address"),
    ],
)
def test_options_that_are_wrong_or_the_servers_own_are_refused(option: str, message: str) -> None:
    with pytest.raises(LoadError, match=rf"^runner_options\.providers\.{CUDA}\..*{message}"):
        providers(f"providers: [{{{CUDA}: {{{option}}}}}]")


@pytest.mark.parametrize("option", ["device_id: 1", "user_compute_stream: 1", "trt_engine_cache_path: [a]"])
def test_tensorrt_takes_plain_values_and_not_the_servers_own(option: str) -> None:
    with pytest.raises(LoadError, match=rf"^runner_options\.providers\.{TENSORRT}\.{option.partition(':')[0]}: "):
        providers(f"providers: [{{{TENSORRT}: {{{option}}}}}]")


@pytest.mark.parametrize(
    ("asked", "got"), [([CUDA], [CUDA, CPU]), ([CUDA], [CUDA]), ([CUDA, CPU], [CUDA, CPU]), ([CPU], [CPU])]
)
def test_a_session_with_what_was_asked_for_passes(asked: list[str], got: list[str]) -> None:
    check_providers(asked, got, "m.onnx")


@pytest.mark.parametrize(
    ("asked", "got", "message"),
    [
        ([CUDA], [CPU], f"runs m.onnx without {CUDA}, on {CPU}: it is not served so; `maas doctor` says what"),
        ([CUDA, CPU], [CPU], f"without {CUDA}, on {CPU}: it is not served so"),
        ([TENSORRT, CUDA], [CUDA, CPU], f"without {TENSORRT}, on {CUDA}, {CPU}: it is not served so"),
        ([TENSORRT, CUDA], [CPU], f"without {TENSORRT}, {CUDA}, on {CPU}: it is not served so"),
        ([CUDA], [], f"without {CUDA}, on nothing"),
        ([CUDA], [CPU, CUDA], f"runs m.onnx on {CPU}, {CUDA}, not on {CUDA} as asked"),
        ([CUDA], [TENSORRT, CUDA, CPU], f"not on {CUDA} as asked"),
    ],
)
def test_a_session_without_what_was_asked_for_is_refused(asked: list[str], got: list[str], message: str) -> None:
    with pytest.raises(LoadError, match=message):
        check_providers(asked, got, "m.onnx")


@pytest.mark.skipif(CUDA in ort.get_available_providers(), reason="this ONNX Runtime has the provider")
def test_onnx_runtime_without_the_provider_falls_back_silently_and_that_is_seen() -> None:
    asked = providers()
    session: Any = ort_c.InferenceSession(_quiet(), onnx_models.fixed().SerializeToString(), False, False)
    names = [each.name for each in asked]
    session.initialize_session(names, [dict(each.options) for each in asked], set())
    with pytest.raises(LoadError, match=f"without {CUDA}, on {CPU}"):
        check_providers(names, session.get_providers(), "m.onnx")


def _quiet() -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return options
