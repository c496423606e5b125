"""Models named one by one, as TensorFlow Serving's models.config does: a name, a base path, versions, labels."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from maas_server._stubs.tensorflow_serving import model_server_config_pb2
from maas_server.errors import ConfigError, Violation
from maas_server.models.config import LABEL_PATTERN, ModelConfig, VersionPolicy
from maas_server.models.findings import Findings, NotHonoured
from maas_server.models.plain_files import read_plain
from maas_server.models.triton_config import parse_text

SERVED_SUFFIX = ".config"
MAX_SERVED_BYTES = 4 << 20

_MAX_NAME_BYTES = 128
_MAX_MODELS = 10_000
# What a models.config says of every model, TensorFlow's or not.
_PLATFORMS = ("", "tensorflow")


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One entry."""

    name: str
    base_path: Path
    versions: VersionPolicy | None = None
    """None: what the model's folder says, the newest one if it says nothing."""
    labels: Mapping[str, int] | None = None
    """None: what the model's folder says."""
    not_honoured: tuple[NotHonoured, ...] = field(default=())

    def overlay(self, config: ModelConfig) -> ModelConfig:
        """Return what the model's own configuration says, but for what is said here."""
        said = {"versions": self.versions, "labels": self.labels}
        return config.model_copy(update={key: value for key, value in said.items() if value is not None})


def is_model_name(name: str) -> bool:
    """Whether a model that is named in a configuration or a call may be called so; folders' names are narrower."""
    return 0 < len(name.encode(errors="replace")) <= _MAX_NAME_BYTES and name.isprintable() and name == name.strip()


def read_served(path: Path) -> tuple[ServedModel, ...]:
    """Read a models.config; relative base paths count from the file's folder.

    Raises:
        ConfigError: it cannot be read, or says something wrong.
    """
    try:
        data = read_plain(path, MAX_SERVED_BYTES)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    message = model_server_config_pb2.ModelServerConfig()
    parse_text(data, message, str(path), MAX_SERVED_BYTES)
    folder = path.parent.absolute()
    return served_models(message, str(path), lambda base: folder / base)


def served_models(
    message: model_server_config_pb2.ModelServerConfig, where: str, to_path: Callable[[str], Path]
) -> tuple[ServedModel, ...]:
    """Return the entries of a configuration; `where` names it in messages, `to_path` reads a base path.

    Raises:
        ConfigError: an entry is wrong; the violations name its fields.
    """
    found = Findings()
    if message.HasField("custom_model_config"):
        found.refuse("custom_model_config", "expected model_config_list")
    entries = message.model_config_list.config
    if len(entries) > _MAX_MODELS:
        raise ConfigError(f"{where}: expected at most {_MAX_MODELS} models, got {len(entries)}")
    models: dict[str, ServedModel] = {}
    for index, entry in enumerate(entries):
        at = f"model_config_list.config[{index}]"
        if not is_model_name(entry.name):
            found.refuse(f"{at}.name", f"expected 1 to {_MAX_NAME_BYTES} printable bytes, got {entry.name[:128]!r}")
        elif entry.name in models:
            found.refuse(f"{at}.name", f"{entry.name!r} is there twice")
        models[entry.name] = _served_model(entry, at, to_path, found)
    if found.violations:
        text = "; ".join(f"{each.field}: {each.description}" for each in found.violations)
        raise ConfigError(f"{where}: {text}", violations=found.violations)
    return tuple(models.values())


def absolute_path(base: str) -> Path:
    """Read a base path that has nothing to be relative to.

    Raises:
        ValueError: it is relative.
    """
    path = Path(base)
    if not path.is_absolute():
        raise ValueError("expected an absolute path")
    return path


def _served_model(
    entry: model_server_config_pb2.ModelConfig, at: str, to_path: Callable[[str], Path], found: Findings
) -> ServedModel:
    own = Findings()
    if entry.model_platform not in _PLATFORMS or entry.model_type == model_server_config_pb2.OTHER:
        platform = entry.model_platform or "OTHER"
        found.refuse(f"{at}.model_platform", f"expected none or 'tensorflow', got {platform!r}")
    elif entry.model_platform or entry.model_type:
        own.note("model_platform", "the version folders' model.onnx is served, whatever the platform is called")
    if entry.HasField("logging_config"):
        own.note("logging_config", "requests are not logged")
    base = entry.base_path
    path = Path(base)
    try:
        if not base or "\0" in base:
            raise ValueError("expected a path")
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", base):
            raise ValueError("expected a folder of a local file system")
        path = to_path(base)
    except ValueError as error:
        found.refuse(f"{at}.base_path", f"{error}, got {base[:256]!r}")
    return ServedModel(
        entry.name,
        path,
        _policy(entry.model_version_policy, f"{at}.model_version_policy", found),
        _labels(entry.version_labels, f"{at}.version_labels", found),
        tuple(own.notes),
    )


def _policy(
    policy: model_server_config_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy, at: str, found: Findings
) -> VersionPolicy | None:
    choice = policy.WhichOneof("policy_choice")
    if choice is None:
        return None
    if choice == "latest":
        return VersionPolicy(latest=policy.latest.num_versions or 1)
    if choice == "all":
        return VersionPolicy(all=True)
    versions: Sequence[int] = policy.specific.versions
    wrong = [version for version in versions if version < 1]
    if wrong or not versions:
        found.refuse(f"{at}.specific.versions", f"expected versions from 1 on, got {wrong[0] if wrong else 'none'}")
        return None
    return VersionPolicy(specific=tuple(dict.fromkeys(versions)))


def _labels(labels: Mapping[str, int], at: str, found: Findings) -> Mapping[str, int] | None:
    for label, version in labels.items():
        if len(label) > 128 or not re.fullmatch(LABEL_PATTERN, label):
            found.violations.append(
                Violation(at, f"expected letters, digits, '-', '_' and '.', not only digits, got {label[:128]!r}")
            )
        elif version < 1:
            found.refuse(f"{at}[{label}]", f"expected a version from 1 on, got {version}")
    return dict(labels) or None
