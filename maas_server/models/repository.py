"""What is on disk: models, their versions and their configuration, each visible once it is complete and stable.

    PATH/model.onnx                        a file: model `model`, version 1
    PATH = .../digits                      a model's folder: digits/1/model.onnx, or digits/model.onnx as version 1
    PATH/digits/3/model.onnx               a repository, with an optional PATH/digits/maas.yaml

Symbolic links are followed, as mounted volumes are full of them: whoever can write the repository is trusted with
what it points at. Names that start with a dot or an underscore, or end in .tmp, .part, .partial or ~, are left alone.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from maas_server.errors import ConfigError, LoadError
from maas_server.models.config import CONFIG_NAME, ModelConfig
from maas_server.models.config_file import read_config

MODEL_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
MODEL_FILE = "model.onnx"

_MODEL_NAME = re.compile(MODEL_NAME_PATTERN)
_VERSION = re.compile(r"[1-9][0-9]{0,18}")
_CHANGING = "its files are still changing"
_CONFIG_CHANGING = f"{CONFIG_NAME} is still changing"
_MAX_FILES = 10_000
_MAX_DEPTH = 4


@dataclass(frozen=True, slots=True)
class VersionSource:
    """The files of one version."""

    model: str
    version: int
    path: Path
    """The model file that the runner is given."""
    files: tuple[tuple[str, Path], ...] = field(repr=False)
    """Every file of the version with its name inside the version's folder, sorted."""
    fingerprint: str = field(repr=False)
    """Names, sizes, times and inodes: any change of a file changes it."""


@dataclass(frozen=True, slots=True)
class ModelSource:
    """One model as the last scan saw it."""

    name: str
    config: ModelConfig
    """The last good one while `error` is set."""
    versions: dict[int, VersionSource]
    pending: dict[int, str] = field(default_factory=dict)
    """Versions that are not visible yet, and what each waits for."""
    error: str = ""
    """Why the configuration cannot be used."""

    def settling(self) -> bool:
        """Whether something will count as soon as it kept still for long enough."""
        return _CHANGING in self.pending.values() or self.error == _CONFIG_CHANGING


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The repository at one instant."""

    models: dict[str, ModelSource]
    rejected: tuple[tuple[str, str], ...] = ()
    """Paths that are no models or versions, and why."""


@dataclass(slots=True)
class _Watched:
    """Something on disk that must keep still before it counts."""

    fingerprint: str
    since: float


class Repository:
    """Scans one path. Not thread-safe: one caller at a time, on a thread that may block."""

    def __init__(self, path: Path, *, settle: float = 1.0, now: Callable[[], float] = time.time) -> None:
        """`settle`: seconds for which files must not change before they count; `now` is compared with file times."""
        self.path = path
        self.settle = settle
        self._now = now
        self._watched: dict[str, _Watched] = {}
        self._settled_versions: dict[tuple[str, int], VersionSource] = {}
        self._settled_configs: dict[str, tuple[ModelConfig, str]] = {}
        self._missing: dict[tuple[str, int], float] = {}

    def scan(self) -> Snapshot:
        """Return what can be served now, and what cannot with the reason.

        A version whose files change stays as it was until the new ones are stable, and one whose files are gone
        stays for `settle` seconds, so that replacing a folder never looks like removing it.

        Raises:
            ConfigError: the path does not exist, cannot be read, or is no place for models.
        """
        now = self._now()
        rejected: list[tuple[str, str]] = []
        models: dict[str, ModelSource] = {}
        seen: set[tuple[str, int]] = set()
        for name, folder in self._model_folders(rejected):
            try:
                models[name] = self._scan_model(name, folder, now, seen, rejected)
            # One model that cannot be read must not hide the others, nor take its own versions out of service.
            except (OSError, LoadError) as error:
                kept = {source.version: source for source in self._settled_versions.values() if source.model == name}
                seen.update((name, version) for version in kept)
                models[name] = ModelSource(name, self._config_of(name), kept, {}, str(error))
        for key, source in list(self._settled_versions.items()):
            if key in seen:
                self._missing.pop(key, None)
            elif now - self._missing.setdefault(key, now) >= self.settle:
                del self._settled_versions[key], self._missing[key]
            else:
                name, version = key
                model = models.setdefault(name, ModelSource(name, self._config_of(name), {}))
                model.versions[version] = source
        return Snapshot(dict(sorted(models.items())), tuple(rejected))

    def _config_of(self, name: str) -> ModelConfig:
        return self._settled_configs.get(name, (ModelConfig(), ""))[0]

    def _model_folders(self, rejected: list[tuple[str, str]]) -> Iterator[tuple[str, Path]]:
        try:
            if self.path.is_file():
                yield self._file_name(), self.path
                return
            entries = _entries(self.path)
        except OSError as error:
            raise ConfigError(f"{self.path}: {error.strerror or error}") from error
        if any(_is_version(entry) or entry.name in (MODEL_FILE, CONFIG_NAME) for entry in entries):
            name = self.path.resolve().name
            if not _MODEL_NAME.fullmatch(name):
                raise ConfigError(
                    f"{self.path}: a model's name is its folder's, and {name!r} does not match {MODEL_NAME_PATTERN}"
                )
            yield name, self.path
            return
        for entry in entries:
            if not entry.is_dir():
                continue
            if _MODEL_NAME.fullmatch(entry.name):
                yield entry.name, entry
            else:
                rejected.append((_printable(entry), f"a model's name must match {MODEL_NAME_PATTERN}"))

    def _file_name(self) -> str:
        name = self.path.stem
        if self.path.suffix != ".onnx" or not _MODEL_NAME.fullmatch(name):
            raise ConfigError(f"{self.path}: expected a file <name>.onnx whose name matches {MODEL_NAME_PATTERN}")
        return name

    def _scan_model(
        self, name: str, folder: Path, now: float, seen: set[tuple[str, int]], rejected: list[tuple[str, str]]
    ) -> ModelSource:
        if folder.is_file():
            config, error = ModelConfig(), ""
            candidates = {1: (folder, folder)}
        else:
            config, error = self._config(name, folder / CONFIG_NAME, now)
            candidates = _version_folders(folder, config.file, rejected)
        versions: dict[int, VersionSource] = {}
        pending: dict[int, str] = {}
        for version, (root, path) in candidates.items():
            key = (name, version)
            files = _files(root)
            if not path.is_file():
                pending[version] = f"waits for {path.name}"
            else:
                seen.add(key)
                fingerprint = fingerprint_of(files)
                settled = self._settled_versions.get(key)
                # A new name for the model file in the configuration changes the path and no file.
                if settled is not None and settled.fingerprint == fingerprint and settled.path == path:
                    pass
                elif self._is_stable(str(root), fingerprint, [file for _, file in files], now):
                    self._settled_versions[key] = VersionSource(name, version, path, files, fingerprint)
                else:
                    pending[version] = _CHANGING
            if key in self._settled_versions and key in seen:
                versions[version] = self._settled_versions[key]
        if not candidates and not error:
            error = f"no version: expected {name}/<version>/{config.file}"
        return ModelSource(name, config, versions, pending, error)

    def _config(self, name: str, path: Path, now: float) -> tuple[ModelConfig, str]:
        """Return the model's configuration and what is wrong with it; the last settled one while the file changes."""
        if path.exists() and self._is_stable(str(path), fingerprint_of([(path.name, path)]), [path], now):
            try:
                self._settled_configs[name] = (read_config(path), "")
            except ConfigError as error:
                self._settled_configs[name] = (self._config_of(name), error.message)
        elif not path.exists():
            self._settled_configs.pop(name, None)
        elif name not in self._settled_configs:
            return ModelConfig(), _CONFIG_CHANGING
        return self._settled_configs.get(name, (ModelConfig(), ""))

    def _is_stable(self, key: str, fingerprint: str, files: Sequence[Path], now: float) -> bool:
        """Whether files kept still for `settle` seconds, by their own times or by when this scanner first saw them."""
        watched = self._watched.get(key)
        if watched is None or watched.fingerprint != fingerprint:
            watched = self._watched[key] = _Watched(fingerprint, now)
        # Change times too: copying with `cp -p` sets old modification times on new files.
        newest = max((_newest_change(file) for file in files), default=now)
        return now - newest >= self.settle or now - watched.since >= self.settle


def fingerprint_of(files: Sequence[tuple[str, Path]]) -> str:
    """Return a text that changes whenever a file is written, replaced, added or removed."""
    parts = []
    for name, path in files:
        try:
            stat = path.stat()
        except OSError:
            parts.append(f"{name}:gone")
            continue
        parts.append(f"{name}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}:{stat.st_dev}:{stat.st_ino}")
    return "\n".join(parts)


def _newest_change(path: Path) -> float:
    try:
        stat = path.stat()
    except OSError:
        return float("inf")
    return max(stat.st_mtime, stat.st_ctime)


def _entries(folder: Path) -> list[Path]:
    """Return the folder's entries that count, sorted."""
    return sorted(entry for entry in folder.iterdir() if not _is_temporary(entry.name))


def _is_temporary(name: str) -> bool:
    return name.startswith((".", "_")) or name.endswith((".tmp", ".part", ".partial", "~"))


def _is_version(entry: Path) -> bool:
    return _VERSION.fullmatch(entry.name) is not None and int(entry.name) < 2**63 and entry.is_dir()


def _version_folders(folder: Path, file: str, rejected: list[tuple[str, str]]) -> dict[int, tuple[Path, Path]]:
    """Return the version's root and model file per version; a model file beside no version folder is version 1."""
    try:
        entries = _entries(folder)
    except OSError as error:
        rejected.append((_printable(folder), error.strerror or str(error)))
        return {}
    versions = {int(entry.name): (entry, entry / file) for entry in entries if _is_version(entry)}
    for entry in entries:
        if entry.is_dir() and not _is_version(entry) and entry.name.isascii() and entry.name.isdigit():
            rejected.append((_printable(entry), "a version is a positive integer below 2^63 without leading zeros"))
    if not versions and (folder / file).is_file():
        return {1: (folder, folder / file)}
    return versions


def _files(root: Path) -> tuple[tuple[str, Path], ...]:
    """Return every file below `root` (or `root` itself), by name; the configuration is not the version's."""
    if root.is_file():
        return ((root.name, root),)
    found: list[tuple[str, Path]] = []
    for folder, folders, names in os.walk(root):
        depth = len(Path(folder).relative_to(root).parts)
        folders[:] = sorted(name for name in folders if not _is_temporary(name)) if depth < _MAX_DEPTH else []
        for name in names:
            # A download in progress beside the model counts: the version is not complete while it changes.
            if not name.startswith(".") and not (depth == 0 and name == CONFIG_NAME):
                path = Path(folder) / name
                found.append((str(path.relative_to(root)), path))
        if len(found) > _MAX_FILES:
            raise LoadError(f"{root}: expected at most {_MAX_FILES} files in a version")
    return tuple(sorted(found))


def _printable(path: Path) -> str:
    return str(path).encode(errors="backslashreplace").decode()[:512]
