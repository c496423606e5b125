"""A model loaded as a call says, not as the repository has it: with another configuration, or other files."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from maas_server.errors import InvalidRequest, LoadError, MaasError, Violation
from maas_server.models.files import files_below, fingerprint_of, is_version_name, printable
from maas_server.models.folder_config import FolderConfig, make_folder_config
from maas_server.models.sources import ModelSource, VersionSource
from maas_server.models.triton_config import parse_triton_json
from maas_server.models.triton_tensors import inside

_MAX_FILES = 1000
_MAX_PARTS = 5
_PREFIX = "maas-override-"


@dataclass(frozen=True, slots=True)
class LoadOverrides:
    """What a load request brings along."""

    config: str | None = None
    """An inference.ModelConfig as JSON, in place of what the model's folder says."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Contents by "<version>/<name>", in place of the model's folder. They need `config`."""


class PrivateFolder:
    """A folder of our own, readable by nobody else; it goes by `close`, or with the process."""

    def __init__(self) -> None:
        """Make the folder.

        Raises:
            OSError: there is no room for it.
        """
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._finalizer = weakref.finalize(self, shutil.rmtree, self.path, True)

    def close(self) -> None:
        """Remove the folder now. Blocks."""
        self._finalizer()


@dataclass(frozen=True, slots=True)
class Override:
    """What stands in place of a model's configuration, and of its files if it brought some."""

    config: FolderConfig
    side_fingerprint: str
    """Of the files on disk that `config` names, as they were when the call came."""
    folder: PrivateFolder | None = None
    versions: Mapping[int, VersionSource] | None = None
    """None: those of the repository."""

    def apply(self, name: str, disk: ModelSource | None) -> ModelSource | None:
        """Return the model as it is to be served; None: there is nothing to serve."""
        if self.folder is not None and self.versions is not None:
            return ModelSource(
                name,
                self.folder.path,
                self.config.config,
                dict(self.versions),
                triton=self.config.triton,
                side_fingerprint=self.side_fingerprint,
                named=None,
            )
        if disk is None:
            return None
        versions, error = self._versions_of(disk)
        config = self.config.config
        return replace(
            disk,
            config=config if disk.named is None else disk.named.overlay(config),
            versions=versions,
            error=error,
            triton=self.config.triton,
            side_fingerprint=self.side_fingerprint,
        )

    def _versions_of(self, disk: ModelSource) -> tuple[dict[int, VersionSource], str]:
        """Return the versions with the model file that the configuration names, and what is wrong if there are none."""
        file = self.config.config.file
        if file == disk.config.file:
            return disk.versions, "" if disk.versions else disk.error
        paths = {number: dict(version.files).get(file) for number, version in disk.versions.items()}
        versions = {number: replace(disk.versions[number], path=path) for number, path in paths.items() if path}
        return versions, "" if versions else f"no version: expected {disk.folder.name}/<version>/{file}"


def make_override(name: str, overrides: LoadOverrides, disk: ModelSource | None) -> Override:
    """Check what a call brought, and write its files. Blocks.

    Raises:
        InvalidRequest: a file's name is wrong, or there are files without a configuration.
        ConfigError: the configuration is wrong.
        LoadError: the files cannot be written.
    """
    if overrides.config is None:
        raise InvalidRequest(
            "files need the parameter config", violations=[Violation("parameters[config]", "required with files")]
        )
    where = f"the configuration of the call for {name!r}"
    message = parse_triton_json(overrides.config, where)
    names = (name,) if disk is None else (name, disk.folder.name)
    config = make_folder_config(message, names, where)
    if not overrides.files:
        side_files = [(each, disk.folder / each) for each in config.side_files()] if disk is not None else []
        return Override(config, fingerprint_of(side_files))
    _check_files(overrides.files)
    try:
        folder = PrivateFolder()
    except OSError as error:
        raise LoadError(f"the files of the call cannot be kept: {error.strerror or error}") from error
    try:
        for file, content in overrides.files.items():
            path = folder.path / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return Override(config, "", folder, _versions(name, folder, config.config.file))
    except OSError as error:
        folder.close()
        raise LoadError(f"the files of the call cannot be kept: {error.strerror or error}") from error
    except MaasError:
        folder.close()
        raise


def _check_files(files: Mapping[str, bytes]) -> None:
    if len(files) > _MAX_FILES:
        raise InvalidRequest(f"expected at most {_MAX_FILES} files, got {len(files)}")
    for file in files:
        # One folder level at least, the version's; or a file that the configuration names.
        if len(file) > 1024 or not inside(file) or not file.isprintable() or len(file.split("/")) > _MAX_PARTS:
            raise _wrong_file(file, "expected <version>/<name>")
        if any(other.startswith(f"{file}/") for other in files):
            raise _wrong_file(file, "it is a folder of another file")


def _versions(name: str, folder: PrivateFolder, model_file: str) -> dict[int, VersionSource]:
    versions = {}
    for root in sorted(folder.path.iterdir()):
        if root.is_dir() and is_version_name(root.name):
            path = root / model_file
            if not path.is_file():
                raise _wrong_file(f"{root.name}/{model_file}", "missing")
            files = files_below(root)
            version = int(root.name)
            versions[version] = VersionSource(name, version, path, files, fingerprint_of(files), private=folder)
    if not versions:
        raise InvalidRequest(f"expected a file <version>/{model_file}, got none")
    return versions


def _wrong_file(file: str, why: str) -> InvalidRequest:
    field_name = f"parameters[file:{printable(Path(file))[:128]}]"
    return InvalidRequest(f"{field_name}: {why}", violations=[Violation(field_name, why)])
