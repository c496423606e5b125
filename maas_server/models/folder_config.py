"""The configuration in a model's folder: a maas.yaml, a Triton config.pbtxt, or both.

Each thing is said once. Beside a config.pbtxt a maas.yaml may set what Triton's format has no field for, and nothing
else: of two files that say something different about one thing, whoever reads one of them would be wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maas_server._stubs.inference import model_config_pb2
from maas_server.errors import ConfigError, Violation
from maas_server.models.config import CONFIG_NAME, ModelConfig
from maas_server.models.config_file import read_config, read_document, validate_config
from maas_server.models.triton_config import TRITON_CONFIG_NAME, read_triton_config
from maas_server.models.triton_mapping import map_triton_config
from maas_server.models.triton_model import TritonModel

CONFIG_NAMES = (CONFIG_NAME, TRITON_CONFIG_NAME)

# What Triton's format cannot say. Where a section stands here, all of its keys may.
_BESIDE_TRITON = (
    "labels",
    "padding",
    "warmup",
    "output_labels",
    "batching.enabled",
    "batching.max_queue_rows",
    "batching.max_request_rows",
    "runner_options.session_config",
)
_TRITON_NAMES = {
    "file": "default_model_filename",
    "instances": "instance_group",
    "versions.latest": "version_policy.latest.num_versions",
    "batching.preferred_batch_sizes": "dynamic_batching.preferred_batch_size",
    "batching.max_queue_delay_us": "dynamic_batching.max_queue_delay_microseconds",
    "batching.priority_levels": "dynamic_batching.priority_levels",
    "batching.default_priority": "dynamic_batching.default_priority_level",
}


@dataclass(frozen=True, slots=True)
class FolderConfig:
    """How a model is to be served."""

    config: ModelConfig = field(default_factory=ModelConfig)
    triton: TritonModel | None = None
    """Set where a config.pbtxt was read."""

    def side_files(self) -> tuple[str, ...]:
        """Return the files in the model's folder that loading reads, apart from the versions' own."""
        triton = self.triton.side_files() if self.triton is not None else ()
        return (*self.config.output_labels.values(), *triton)


def read_folder_config(folder: Path, name: str) -> FolderConfig:
    """Read what is there of both files; `name`: what the model is served as.

    Raises:
        ConfigError: one of them is wrong, or both speak of the same thing.
    """
    ours, triton = (folder / each for each in CONFIG_NAMES)
    if not triton.exists():
        return FolderConfig(read_config(ours)) if ours.exists() else FolderConfig()
    message = read_triton_config(triton)
    document = read_document(ours) if ours.exists() else {}
    return make_folder_config(message, (name, folder.resolve().name), str(triton), document, str(ours))


def make_folder_config(
    message: model_config_pb2.ModelConfig,
    names: tuple[str, ...],
    where: str,
    document: dict[str, Any] | None = None,
    document_where: str = CONFIG_NAME,
) -> FolderConfig:
    """Return what a Triton configuration says, with what `document` (a maas.yaml's keys) adds to it.

    Raises:
        ConfigError: as `read_folder_config`.
    """
    mapped, triton = map_triton_config(message, names, where)
    _add(mapped, document or {}, document_where)
    return FolderConfig(validate_config(mapped, where, _TRITON_NAMES), triton)


def _add(mapped: dict[str, Any], document: dict[str, Any], where: str) -> None:
    violations: list[Violation] = []
    for key, value in document.items():
        parts = {f"{key}.{part}": (key, part) for part in value} if _has_parts(key) and isinstance(value, dict) else {}
        for path in parts or [key]:
            if path not in _BESIDE_TRITON:
                violations.append(Violation(path, f"{TRITON_CONFIG_NAME} is there, and says it, or leaves it out"))
    if not violations:
        _merge(mapped, document, "", violations)
    if violations:
        text = "; ".join(f"{each.field}: {each.description}" for each in violations)
        raise ConfigError(f"{where}: {text}", violations=violations)


def _has_parts(key: str) -> bool:
    return any(path.startswith(f"{key}.") for path in _BESIDE_TRITON)


def _merge(mapped: dict[str, Any], document: dict[str, Any], prefix: str, violations: list[Violation]) -> None:
    for key, value in document.items():
        path = f"{prefix}{key}"
        there = mapped.get(key)
        if path == "warmup" and isinstance(value, bool):
            mapped[key] = value
        elif isinstance(there, dict) and isinstance(value, dict):
            _merge(there, value, f"{path}.", violations)
        elif key in mapped:
            violations.append(Violation(path, f"{TRITON_CONFIG_NAME} says {there!r} of it already"))
        else:
            mapped[key] = value
