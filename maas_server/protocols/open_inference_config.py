"""A model's configuration as Triton would tell it: of its config.pbtxt where it has one, else of how it is served."""

from __future__ import annotations

from collections.abc import Iterable

from maas_server._stubs.inference import model_config_pb2 as pb
from maas_server.models.registry import VersionView
from maas_server.models.runner import TensorInfo

_ONNX_RUNTIME = "onnxruntime_onnx"


def model_config(name: str, view: VersionView) -> pb.ModelConfig:
    """Return the configuration of a version that was loaded; what its config.pbtxt leaves out is filled in."""
    config = pb.ModelConfig.FromString(view.triton_config)
    served = _as_served(name, view)
    for field, value in served.ListFields():
        if not _is_set(config, field.name):
            # Of a field that is not set there is nothing to merge with, so this sets it.
            config.MergeFrom(pb.ModelConfig(**{field.name: value}))
    return config


def datatype(name: str) -> str:
    """Return Triton's value for a datatype of the Open Inference Protocol."""
    return f"TYPE_{'STRING' if name == 'BYTES' else name}"


def _is_set(config: pb.ModelConfig, field: str) -> bool:
    if field == "dynamic_batching":
        return config.WhichOneof("scheduling_choice") is not None
    return any(each.name == field for each, _ in config.ListFields())


def _as_served(name: str, view: VersionView) -> pb.ModelConfig:
    config = pb.ModelConfig(name=name, platform=view.platform, max_batch_size=view.max_batch_size)
    if view.platform == _ONNX_RUNTIME:
        config.backend = "onnxruntime"
        config.default_model_filename = "model.onnx"
    batched = view.max_batch_size > 0
    if view.signature is not None:
        config.input.extend(_inputs(view.signature.inputs, batched=batched))
        config.output.extend(
            pb.ModelOutput(name=info.name, data_type=datatype(info.datatype), dims=_dims(info, batched=batched))
            for info in view.signature.outputs
        )
    plan = view.plan
    if plan is not None:
        config.instance_group.add(name=f"{name}_0", kind=pb.ModelInstanceGroup.KIND_CPU, count=plan.instances)
        if plan.batching and batched:
            config.dynamic_batching.max_queue_delay_microseconds = plan.max_queue_delay_us
    return config


def _inputs(infos: Iterable[TensorInfo], *, batched: bool) -> Iterable[pb.ModelInput]:
    for info in infos:
        yield pb.ModelInput(
            name=info.name,
            data_type=datatype(info.datatype),
            dims=_dims(info, batched=batched),
            optional=info.optional,
        )


def _dims(info: TensorInfo, *, batched: bool) -> tuple[int, ...]:
    return info.shape[1:] if batched else info.shape
