"""What is on disk: models, their versions and their configuration, each visible once it is complete and stable.

    PATH/model.onnx                        a file: model `model`, version 1
    PATH = .../digits                      a model's folder: digits/1/model.onnx, or digits/model.onnx as version 1
    PATH/digits/3/model.onnx               a repository, with an optional maas.yaml or config.pbtxt in PATH/digits
    PATH = .../models.config               exactly the models that the file names, wherever they are

Symbolic links are followed, as mounted volumes are full of them: whoever can write the repository is trusted with
what it points at. Names that start with a dot or an underscore, or end in .tmp, .part, .partial or ~, are left alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from maas_server.errors import ConfigError, LoadError
from maas_server.models.files import (
    Files,
    entries,
    files_below,
    fingerprint_of,
    is_version,
    newest_change,
    printable,
    version_folders,
)
from maas_server.models.folder_config import CONFIG_NAMES, FolderConfig, read_folder_config
from maas_server.models.served import SERVED_SUFFIX, ServedModel, read_served
from maas_server.models.sources import ModelSource, Snapshot, VersionSource

MODEL_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
MODEL_FILE = "model.onnx"

_MODEL_NAME = re.compile(MODEL_NAME_PATTERN)
_CHANGING = "its files are still changing"
_CONFIG_CHANGING = "its configuration is still changing"
_FOREIGN_FILES = {"saved_model.pb": "a SavedModel, which is not served: convert it to ONNX"}


@dataclass(slots=True)
class _Watched:
    """Something on disk that must keep still before it counts."""

    fingerprint: str
    since: float


@dataclass(frozen=True, slots=True)
class _SettledConfig:
    fingerprint: str
    config: FolderConfig
    """The last good one while `error` is set."""
    error: str = ""


_NO_CONFIG = _SettledConfig("", FolderConfig())


class Repository:
    """Scans one path. Not thread-safe: one caller at a time, on a thread that may block."""

    def __init__(self, path: Path, *, settle: float = 1.0, now: Callable[[], float] = time.time) -> None:
        """`settle`: seconds for which files must not change before they count; `now` is compared with file times."""
        self.path = path
        self.settle = settle
        self._now = now
        self._watched: dict[str, _Watched] = {}
        self._settled_versions: dict[tuple[str, int], VersionSource] = {}
        self._settled_configs: dict[str, _SettledConfig] = {}
        self._missing: dict[tuple[str, int], float] = {}
        self._last: dict[str, ModelSource] = {}
        self._served: tuple[ServedModel, ...] | None = None
        """None: all models below the path."""
        self._served_fingerprint = ""
        self._roots: set[Path] = set() if path.suffix == SERVED_SUFFIX else {path}

    def serve(self, models: Sequence[ServedModel]) -> None:
        """From the next scan on serve exactly these, until PATH, if it is a models.config, changes."""
        before = {each.name: each.base_path for each in self._served or ()}
        self._served = tuple(models)
        same = {each.name for each in models if before.get(each.name) == each.base_path}
        # What is served no more is gone at once: somebody said so, and no folder is being replaced.
        self._settled_versions = {key: each for key, each in self._settled_versions.items() if key[0] in same}
        self._settled_configs = {name: each for name, each in self._settled_configs.items() if name in same}

    def holds(self, path: Path) -> bool:
        """Whether `path` is below PATH, or below a base path that PATH, a models.config, names."""
        try:
            resolved = path.resolve()
            return any(resolved.is_relative_to(root.resolve()) for root in self._roots)
        # A cycle of links is a RuntimeError up to Python 3.12.
        except (OSError, RuntimeError):
            return False

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
        self._read_served(now, rejected)
        for name, folder, served in self._places(rejected):
            try:
                models[name] = self._scan_model(name, folder, served, now, seen, rejected)
            # One model that cannot be read must not hide the others, nor take its own versions out of service.
            except (OSError, LoadError) as error:
                kept = {source.version: source for source in self._settled_versions.values() if source.model == name}
                seen.update((name, version) for version in kept)
                config = self._settled_configs.get(name, _NO_CONFIG).config
                models[name] = _source(name, folder, config, served, kept, {}, str(error))
        for key, source in list(self._settled_versions.items()):
            if key in seen:
                self._missing.pop(key, None)
            elif now - self._missing.setdefault(key, now) >= self.settle:
                del self._settled_versions[key], self._missing[key]
            else:
                name, version = key
                gone = replace(self._last[name], versions={}, pending={}, error="", settling=False)
                models.setdefault(name, gone).versions[version] = source
        self._last = models
        return Snapshot(dict(sorted(models.items())), tuple(rejected))

    def _read_served(self, now: float, rejected: list[tuple[str, str]]) -> None:
        """Read PATH anew if it is a models.config that changed; one that went wrong leaves everything as it is."""
        if self.path.suffix != SERVED_SUFFIX or self.path.is_dir():
            return
        fingerprint = fingerprint_of([(self.path.name, self.path)])
        first = not self._served_fingerprint
        if fingerprint == self._served_fingerprint:
            return
        if not first and not self._is_stable(str(self.path), fingerprint, [self.path], now):
            return
        try:
            models = read_served(self.path)
        except ConfigError as error:
            if first:
                raise
            rejected.append((printable(self.path), error.message))
            return
        self._served_fingerprint = fingerprint
        self._roots = {each.base_path for each in models}
        self.serve(models)

    def _places(self, rejected: list[tuple[str, str]]) -> Iterator[tuple[str, Path, ServedModel | None]]:
        if self._served is not None:
            yield from ((each.name, each.base_path, each) for each in self._served)
            return
        try:
            if self.path.is_file():
                yield self._file_name(), self.path, None
                return
            found = entries(self.path)
        except OSError as error:
            raise ConfigError(f"{self.path}: {error.strerror or error}") from error
        if any(is_version(entry) or entry.name in (MODEL_FILE, *CONFIG_NAMES) for entry in found):
            name = self.path.resolve().name
            if not _MODEL_NAME.fullmatch(name):
                raise ConfigError(
                    f"{self.path}: a model's name is its folder's, and {name!r} does not match {MODEL_NAME_PATTERN}"
                )
            yield name, self.path, None
            return
        for entry in found:
            if not entry.is_dir():
                continue
            if _MODEL_NAME.fullmatch(entry.name):
                yield entry.name, entry, None
            else:
                rejected.append((printable(entry), f"a model's name must match {MODEL_NAME_PATTERN}"))

    def _file_name(self) -> str:
        name = self.path.stem
        if self.path.suffix != ".onnx" or not _MODEL_NAME.fullmatch(name):
            raise ConfigError(
                f"{self.path}: expected a folder, a models.config, or a file <name>.onnx whose name matches "
                f"{MODEL_NAME_PATTERN}"
            )
        return name

    def _scan_model(
        self,
        name: str,
        folder: Path,
        served: ServedModel | None,
        now: float,
        seen: set[tuple[str, int]],
        rejected: list[tuple[str, str]],
    ) -> ModelSource:
        if served is not None and not folder.is_dir():
            return _source(name, folder, FolderConfig(), served, {}, {}, f"base_path {printable(folder)} is no folder")
        if folder.is_file():
            settled = _NO_CONFIG
            candidates = {1: (folder, folder)}
        else:
            settled = self._config(name, folder, now)
            candidates = version_folders(folder, settled.config.config.file, rejected)
        versions: dict[int, VersionSource] = {}
        pending: dict[int, str] = {}
        for version, (root, path) in candidates.items():
            key = (name, version)
            files = files_below(root)
            if not path.is_file():
                pending[version] = _waits_for(path.name, files)
            else:
                seen.add(key)
                self._settle_version(key, root, path, files, now, pending)
            if key in self._settled_versions and key in seen:
                versions[version] = self._settled_versions[key]
        error = settled.error
        if not candidates and not error:
            error = f"no version: expected {folder.name}/<version>/{settled.config.config.file}"
        return _source(name, folder, settled.config, served, versions, pending, error)

    def _settle_version(
        self, key: tuple[str, int], root: Path, path: Path, files: Files, now: float, pending: dict[int, str]
    ) -> None:
        fingerprint = fingerprint_of(files)
        settled = self._settled_versions.get(key)
        # A new name for the model file in the configuration changes the path and no file.
        if settled is not None and settled.fingerprint == fingerprint and settled.path == path:
            return
        name, version = key
        if self._is_stable(str(root), fingerprint, [file for _, file in files], now):
            self._settled_versions[key] = VersionSource(name, version, path, files, fingerprint)
        else:
            pending[version] = _CHANGING

    def _config(self, name: str, folder: Path, now: float) -> _SettledConfig:
        """Return the model's configuration and what is wrong with it; the last settled one while a file changes."""
        files = [(each, folder / each) for each in CONFIG_NAMES if (folder / each).exists()]
        if not files:
            self._settled_configs.pop(name, None)
            return _NO_CONFIG
        fingerprint = fingerprint_of(files)
        settled = self._settled_configs.get(name)
        if settled is not None and settled.fingerprint == fingerprint:
            return settled
        if self._is_stable(f"{folder}\0", fingerprint, [path for _, path in files], now):
            last = settled or _NO_CONFIG
            try:
                settled = _SettledConfig(fingerprint, read_folder_config(folder, name))
            except ConfigError as error:
                settled = _SettledConfig(fingerprint, last.config, error.message)
            self._settled_configs[name] = settled
        return settled or _SettledConfig("", FolderConfig(), _CONFIG_CHANGING)

    def _is_stable(self, key: str, fingerprint: str, files: Sequence[Path], now: float) -> bool:
        """Whether files kept still for `settle` seconds, by their own times or by when this scanner first saw them."""
        watched = self._watched.get(key)
        if watched is None or watched.fingerprint != fingerprint:
            watched = self._watched[key] = _Watched(fingerprint, now)
        # Change times too: copying with `cp -p` sets old modification times on new files.
        newest = max((newest_change(file) for file in files), default=now)
        return now - newest >= self.settle or now - watched.since >= self.settle


def _source(
    name: str,
    folder: Path,
    config: FolderConfig,
    served: ServedModel | None,
    versions: dict[int, VersionSource],
    pending: dict[int, str],
    error: str,
) -> ModelSource:
    ours = config.config if served is None else served.overlay(config.config)
    side_files = [(each, folder / each) for each in config.side_files()]
    return ModelSource(
        name,
        folder,
        ours,
        versions,
        pending,
        error,
        settling=_CHANGING in pending.values() or error == _CONFIG_CHANGING,
        triton=config.triton,
        side_fingerprint=fingerprint_of(side_files),
        named=served,
    )


def _waits_for(file: str, files: Files) -> str:
    foreign = next((f"; it has {name}, {why}" for name, why in _FOREIGN_FILES.items() if name in dict(files)), "")
    return f"waits for {file}{foreign}"
