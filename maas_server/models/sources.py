"""Where versions come from: the files and the configuration of models, as a scan or a call gave them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from maas_server.models.config import ModelConfig
from maas_server.models.findings import NotHonoured
from maas_server.models.served import ServedModel
from maas_server.models.triton_model import TritonModel


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
    private: object = field(default=None, repr=False, compare=False)
    """The folder of a call that the files are in; None: they are the repository's."""


@dataclass(frozen=True, slots=True)
class ModelSource:
    """One model as the last scan saw it."""

    name: str
    folder: Path
    """Where its configuration is, and what that names."""
    config: ModelConfig
    """The last good one while `error` is set."""
    versions: dict[int, VersionSource]
    pending: dict[int, str] = field(default_factory=dict)
    """Versions that are not visible yet, and what each waits for."""
    error: str = ""
    """Why the configuration cannot be used."""
    settling: bool = False
    """Whether something will count as soon as it kept still for long enough."""
    triton: TritonModel | None = None
    """What a config.pbtxt says beyond `config`."""
    side_fingerprint: str = ""
    """Of the files in `folder` that the configuration names."""
    named: ServedModel | None = None
    """The entry of a models.config that it comes from."""

    def load_key(self) -> str:
        """Return what a loaded version depends on beside its files: equal keys mean that nothing is to be loaded."""
        triton = self.triton.load_key if self.triton is not None else ""
        return f"{self.config.load_key()}\n{triton}\n{self.side_fingerprint}"

    def not_honoured(self) -> tuple[NotHonoured, ...]:
        """Return what other servers' configurations say in vain."""
        named = self.named.not_honoured if self.named is not None else ()
        return (*named, *(self.triton.not_honoured if self.triton is not None else ()))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The repository at one instant."""

    models: dict[str, ModelSource]
    rejected: tuple[tuple[str, str], ...] = ()
    """Paths that are no models or versions, and why."""
