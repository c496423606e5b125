"""Instances, threads and ONNX Runtime's options of a Triton model configuration, in the keys of a maas.yaml."""

from __future__ import annotations

from typing import Any

from maas_server._stubs.inference import model_config_pb2
from maas_server.models.findings import Findings
from maas_server.models.instances import MAX_INSTANCES

_MAX_THREADS = 1024
# The numbers of `optimization.graph.level` as Triton's ONNX backend reads them.
_LEVELS = {-1: "basic", 0: "all", 1: "extended", 2: "none"}
# Session entries that are passed on. The others decide which files are read or written.
_SESSION_ENTRIES = (
    "session.disable_prepacking",
    "session.dynamic_block_base",
    "session.inter_op.allow_spinning",
    "session.intra_op.allow_spinning",
    "session.set_denormal_as_zero",
    "session.use_device_allocator_for_initializers",
)
_OURS = {
    "enable_mem_pattern": "the planner of memory patterns is off here: it keeps a plan for every shape it ever saw",
    "memory.enable_memory_arena_shrinkage": "the arena shrinks here whenever a peak is over",
}
_ONE_CPU = "models run on the CPU here"


def map_runtime(message: model_config_pb2.ModelConfig, found: Findings) -> dict[str, Any]:
    """Return `instances`, `threads` and `runner_options`."""
    options: dict[str, Any] = {}
    section: dict[str, Any] = {"runner_options": options}
    _map_instances(message, section, found)
    _map_optimization(message, options, found)
    for key in sorted(message.parameters):
        _map_parameter(key, message.parameters[key].string_value, section, found)
    for name, why in (
        ("cc_model_filenames", f"{_ONE_CPU}, from default_model_filename"),
        ("metric_tags", "metrics carry the model's name and version"),
    ):
        if getattr(message, name):
            found.note(name, why)
    if message.response_cache.enable:
        found.note("response_cache.enable", "every request is run")
    if message.HasField("model_metrics"):
        found.note("model_metrics", "all models have the same metrics")
    return section


def _map_instances(message: model_config_pb2.ModelConfig, section: dict[str, Any], found: Findings) -> None:
    groups = message.instance_group
    kinds = model_config_pb2.ModelInstanceGroup
    total = 0
    for index, group in enumerate(groups):
        field = f"instance_group[{index}]"
        if group.count < 0:
            found.refuse(f"{field}.count", f"expected 0 or more, got {group.count}")
        if group.passive:
            found.note(f"{field}.passive", "its instances would get no requests, so there are none")
            continue
        total += max(1, group.count)
        if group.kind in (kinds.KIND_GPU, kinds.KIND_MODEL):
            found.note(f"{field}.kind", _ONE_CPU)
        if group.gpus:
            found.note(f"{field}.gpus", _ONE_CPU)
        for name in ("secondary_devices", "profile", "host_policy"):
            if getattr(group, name):
                found.note(f"{field}.{name}", _ONE_CPU)
        if group.HasField("rate_limiter"):
            found.note(f"{field}.rate_limiter", "instances run whenever they have requests")
    if groups and not total:
        found.refuse("instance_group", "expected a group that is not passive")
    elif total > MAX_INSTANCES:
        found.refuse("instance_group", f"expected at most {MAX_INSTANCES} instances, got {total}")
    elif groups:
        section["instances"] = total


def _map_optimization(message: model_config_pb2.ModelConfig, options: dict[str, Any], found: Findings) -> None:
    optimization = message.optimization
    if optimization.HasField("graph"):
        level = optimization.graph.level
        if level not in _LEVELS:
            found.refuse("optimization.graph.level", f"expected one of {', '.join(map(str, _LEVELS))}, got {level}")
        else:
            options["optimization"] = _LEVELS[level]
    if optimization.priority:
        found.note("optimization.priority", "all models have the same priority")
    if optimization.HasField("cuda"):
        found.note("optimization.cuda", _ONE_CPU)
    accelerators = optimization.execution_accelerators
    for kind in ("gpu_execution_accelerator", "cpu_execution_accelerator"):
        for index, accelerator in enumerate(getattr(accelerators, kind)):
            found.note(
                f"optimization.execution_accelerators.{kind}[{index}]",
                f"{accelerator.name!r} is not used: ONNX Runtime's own CPU kernels run the model",
            )
    for name in ("input_pinned_memory", "output_pinned_memory", "gather_kernel_buffer_threshold"):
        set_here = getattr(optimization, name) if name.startswith("gather") else optimization.HasField(name)
        if set_here:
            found.note(f"optimization.{name}", _ONE_CPU)
    if optimization.eager_batching:
        found.note("optimization.eager_batching", "a batch is packed when it is closed")


def _map_parameter(key: str, value: str, section: dict[str, Any], found: Findings) -> None:
    field = f"parameters[{key}]"
    options = section["runner_options"]
    if key in ("intra_op_thread_count", "inter_op_thread_count"):
        threads = _number(value, 0, _MAX_THREADS, field, found)
        if key.startswith("inter"):
            options["inter_op_threads"] = threads
        elif threads:
            section["threads"] = threads
    elif key == "execution_mode":
        options["execution_mode"] = ("sequential", "parallel")[_number(value, 0, 1, field, found)]
    elif key == "enable_mem_arena":
        options["memory_arena"] = bool(_number(value, 0, 1, field, found))
    elif key in _SESSION_ENTRIES:
        options.setdefault("session_config", {})[key] = value
    else:
        found.note(field, _OURS.get(key, "nothing here reads it"))


def _number(value: str, low: int, high: int, field: str, found: Findings) -> int:
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= high:
        return int(text)
    found.refuse(field, f"expected a number from {low} to {high}, got {value[:80]!r}")
    return low
