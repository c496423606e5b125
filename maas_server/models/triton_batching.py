"""How a Triton model configuration batches, in the keys of a maas.yaml."""

from __future__ import annotations

from typing import Any

from maas_server._stubs.inference import model_config_pb2
from maas_server.models.findings import Findings

_MAX_DELAY_US = 60_000_000
_MAX_REQUEST_ROWS = 1024


def map_batching(message: model_config_pb2.ModelConfig, found: Findings, *, declared: bool) -> dict[str, Any]:
    """Return the `batching` section; `declared`: the configuration lists inputs or outputs."""
    size = message.max_batch_size
    section: dict[str, Any] = {}
    if size > 0:
        section["max_batch_size"] = size
        if size > _MAX_REQUEST_ROWS:
            section["max_request_rows"] = size
    elif declared:
        # Whole shapes, and no dimension of them said to count rows. Where nothing is listed either, the model decides.
        section["enabled"] = False
    if not message.HasField("dynamic_batching"):
        return section
    dynamic = message.dynamic_batching
    field = "dynamic_batching"
    if size <= 0:
        found.note(field, "max_batch_size is 0")
        return section
    wrong = [each for each in dynamic.preferred_batch_size if not 1 <= each <= size]
    if wrong:
        found.refuse(f"{field}.preferred_batch_size", f"expected 1 to max_batch_size, {size}, got {wrong[0]}")
    if dynamic.preferred_batch_size:
        section["preferred_batch_sizes"] = sorted(set(dynamic.preferred_batch_size))
    if dynamic.max_queue_delay_microseconds > _MAX_DELAY_US:
        found.refuse(
            f"{field}.max_queue_delay_microseconds",
            f"expected at most {_MAX_DELAY_US}, got {dynamic.max_queue_delay_microseconds}",
        )
    section["max_queue_delay_us"] = dynamic.max_queue_delay_microseconds
    _map_priorities(dynamic, section, found)
    if dynamic.HasField("default_queue_policy"):
        section["queue_policy"] = _queue_policy(dynamic.default_queue_policy)
    return section


def _map_priorities(dynamic: model_config_pb2.ModelDynamicBatching, section: dict[str, Any], found: Findings) -> None:
    levels, default = dynamic.priority_levels, dynamic.default_priority_level
    field = "dynamic_batching"
    if not levels:
        if default:
            found.refuse(f"{field}.default_priority_level", f"expected 0 without priority_levels, got {default}")
        if dynamic.priority_queue_policy:
            found.refuse(f"{field}.priority_queue_policy", "expected none without priority_levels")
        return
    section["priority_levels"] = levels
    if not 1 <= default <= levels:
        found.refuse(f"{field}.default_priority_level", f"expected 1 to {levels}, got {default}")
    section["default_priority"] = default
    wrong = [level for level in sorted(dynamic.priority_queue_policy) if not 1 <= level <= levels]
    if wrong:
        found.refuse(f"{field}.priority_queue_policy", f"expected levels from 1 to {levels}, got {wrong[0]}")
    if dynamic.priority_queue_policy:
        section["priority_policies"] = {
            level: _queue_policy(dynamic.priority_queue_policy[level])
            for level in sorted(dynamic.priority_queue_policy)
        }


def _queue_policy(policy: model_config_pb2.ModelQueuePolicy) -> dict[str, Any]:
    delay = policy.timeout_action == model_config_pb2.ModelQueuePolicy.DELAY
    return {
        "default_timeout_us": policy.default_timeout_microseconds,
        "allow_timeout_override": policy.allow_timeout_override,
        "timeout_action": "delay" if delay else "reject",
        "max_queue_size": policy.max_queue_size,
    }
