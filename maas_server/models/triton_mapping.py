"""Turns a Triton model configuration into ours.

Three things can become of a field: it is honoured; it is named as not honoured, when nothing that a client is answered
depends on it; or the configuration is refused, when something does.
"""

from __future__ import annotations

from typing import Any

from maas_server._stubs.inference import model_config_pb2
from maas_server.errors import ConfigError
from maas_server.models.declared import to_model_shape
from maas_server.models.findings import Findings
from maas_server.models.triton_batching import map_batching
from maas_server.models.triton_model import ONNX_BACKEND, ONNX_PLATFORM, TritonModel
from maas_server.models.triton_runtime import map_runtime
from maas_server.models.triton_tensors import declared_tensors, inside, warmup_samples

_SUPPORTED = f'platform "{ONNX_PLATFORM}" or backend "{ONNX_BACKEND}"'
_MAX_BATCH = 65536


def map_triton_config(
    message: model_config_pb2.ModelConfig, names: tuple[str, ...], where: str
) -> tuple[dict[str, Any], TritonModel]:
    """Return what a maas.yaml would say, and what it could not.

    `names`: what the model may call itself, the name that it is served by first. `where` names the file in messages.

    Raises:
        ConfigError: it cannot be served as it says; the violations name the fields.
    """
    found = Findings()
    _check_name(message, names, found)
    _check_backend(message, found)
    _check_refused(message, found)
    batched = message.max_batch_size > 0
    if not 0 <= message.max_batch_size <= _MAX_BATCH:
        found.refuse("max_batch_size", f"expected 0 to {_MAX_BATCH}, got {message.max_batch_size}")
    inputs = declared_tensors("input", message.input, batched=batched, refuse=found.refuse)
    outputs = declared_tensors("output", message.output, batched=batched, refuse=found.refuse)
    for index, tensor in enumerate((*message.input, *message.output)):
        _check_tensor(tensor, index, len(message.input), found)
    warmups = warmup_samples(message.model_warmup, max(0, message.max_batch_size), found.refuse)
    document: dict[str, Any] = {
        "file": message.default_model_filename or "model.onnx",
        **_versions(message, found),
        **_labels(message, found),
        **map_runtime(message, found),
        "batching": map_batching(message, found, declared=bool(inputs or outputs)),
    }
    if outputs:
        document["runner_options"]["outputs"] = [each.name for each in outputs]
    if found.violations:
        text = "; ".join(f"{each.field}: {each.description}" for each in found.violations)
        raise ConfigError(f"{where}: {text}", violations=found.violations)
    known = {each.name: each for each in inputs}
    hints: dict[str, Any] = {}
    for sample in warmups:
        for each in sample.inputs:
            declared, wire = known.get(each.name), (1, *each.shape) if batched else each.shape
            if declared is not None and len(declared.wire_shape) == len(wire):
                hints.setdefault(each.name, {"shape": list(to_model_shape(declared, wire))})
    if hints:
        document["warmup"] = {"inputs": hints}
    completed = _completed(message, names[0])
    model = TritonModel(
        message=completed.SerializeToString(deterministic=True),
        load_key=_load_key(completed),
        max_batch_size=message.max_batch_size,
        inputs=inputs,
        outputs=outputs,
        warmups=warmups,
        not_honoured=tuple(found.notes),
    )
    return document, model


def _check_name(message: model_config_pb2.ModelConfig, names: tuple[str, ...], found: Findings) -> None:
    if message.name and message.name not in names:
        found.refuse("name", f"expected {names[-1]!r}, as its folder is called, got {message.name!r}")


def _check_backend(message: model_config_pb2.ModelConfig, found: Findings) -> None:
    for field, value, expected in (
        ("platform", message.platform, ONNX_PLATFORM),
        ("backend", message.backend, ONNX_BACKEND),
    ):
        if value not in ("", expected):
            found.refuse(field, f"{value!r} is not served here, only {_SUPPORTED}")
    if message.runtime:
        found.note("runtime", "ONNX Runtime runs all models")


def _check_refused(message: model_config_pb2.ModelConfig, found: Findings) -> None:
    """Refuse what would change answers if it were left out."""
    if message.HasField("ensemble_scheduling"):
        found.refuse("ensemble_scheduling", "ensembles are not served: the steps would not run")
    if message.HasField("sequence_batching"):
        sequence = message.sequence_batching
        if sequence.control_input or sequence.state or sequence.iterative_sequence:
            found.refuse(
                "sequence_batching", "state and control inputs of sequences are not kept here; send them with requests"
            )
        else:
            found.note("sequence_batching", "without state and control inputs it decides only where requests run")
    if message.model_transaction_policy.decoupled:
        found.refuse("model_transaction_policy.decoupled", "each request is answered once here")
    for name in ("batch_input", "batch_output"):
        if getattr(message, name):
            found.refuse(name, "ragged batches are not made here; padding groups in maas.yaml batch rows of any length")
    if message.model_operations.op_library_filename:
        found.refuse("model_operations.op_library_filename", "libraries of custom operators are not loaded")
    if message.model_repository_agents.agents:
        found.refuse("model_repository_agents", "what agents do to a model's files is not done here")


def _check_tensor(tensor: Any, number: int, inputs: int, found: Findings) -> None:
    field = f"input[{number}]" if number < inputs else f"output[{number - inputs}]"
    if tensor.is_shape_tensor:
        found.refuse(f"{field}.is_shape_tensor", "ONNX Runtime has no shape tensors")
    if tensor.is_non_linear_format_io:
        found.refuse(f"{field}.is_non_linear_format_io", "tensors are taken in row-major order only")
    if number >= inputs:
        return
    if tensor.allow_ragged_batch:
        found.refuse(
            f"{field}.allow_ragged_batch",
            "ragged batches are not made here; padding groups in maas.yaml batch rows of any length",
        )
    if tensor.optional:
        found.note(f"{field}.optional", "the model needs every input; a request without it is refused")


def _versions(message: model_config_pb2.ModelConfig, found: Findings) -> dict[str, Any]:
    policy = message.version_policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "latest":
        return {"versions": {"latest": policy.latest.num_versions or 1}}
    if choice == "all":
        return {"versions": {"all": True}}
    if choice == "specific":
        versions = list(policy.specific.versions)
        wrong = [version for version in versions if version < 1]
        if wrong or not versions:
            text = f"expected versions from 1 on, got {wrong[0] if wrong else 'none'}"
            found.refuse("version_policy.specific.versions", text)
        return {"versions": {"specific": versions}}
    return {}


def _labels(message: model_config_pb2.ModelConfig, found: Findings) -> dict[str, Any]:
    labels = {}
    for index, output in enumerate(message.output):
        if output.label_filename:
            labels[output.name] = output.label_filename
            if not inside(output.label_filename):
                found.refuse(
                    f"output[{index}].label_filename",
                    f"expected a file in the model's folder, got {output.label_filename!r}",
                )
    return {"output_labels": labels} if labels else {}


def _completed(message: model_config_pb2.ModelConfig, name: str) -> model_config_pb2.ModelConfig:
    completed = model_config_pb2.ModelConfig()
    completed.CopyFrom(message)
    completed.name = name
    completed.platform = ONNX_PLATFORM
    completed.backend = ONNX_BACKEND
    completed.default_model_filename = message.default_model_filename or "model.onnx"
    if message.version_policy.WhichOneof("policy_choice") is None:
        completed.version_policy.latest.num_versions = 1
    return completed


def _load_key(message: model_config_pb2.ModelConfig) -> str:
    policy_free = model_config_pb2.ModelConfig()
    policy_free.CopyFrom(message)
    policy_free.ClearField("version_policy")
    return policy_free.SerializeToString(deterministic=True).hex()
