"""Fixtures for the tests of models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import onnx
import pytest

from maas_server.models.config import ModelConfig
from maas_server.models.config_file import parse_config
from maas_server.models.files import fingerprint_of
from maas_server.models.loader import LoadedVersion, load_version
from maas_server.models.registry import Control
from maas_server.models.sources import VersionSource
from tests.models.fakes import FakeRunner
from tests.models.onnx_models import save
from tests.models.stage import Stage

LoadModel = Callable[..., LoadedVersion]


def source_of(path: Path, model: str = "m", version: int = 1) -> VersionSource:
    """The source of a version with one file."""
    files = ((path.name, path),)
    return VersionSource(model, version, path, files, fingerprint_of(files))


@pytest.fixture
def load(tmp_path: Path) -> LoadModel:
    """Load a model with a configuration given as YAML."""

    def load_model(proto: onnx.ModelProto, config: str = "") -> LoadedVersion:
        path = save(proto, tmp_path / "model.onnx")
        parsed = parse_config(config.encode(), "maas.yaml") if config else ModelConfig()
        return load_version(source_of(path), parsed)

    return load_model


@pytest.fixture
def control() -> Control:
    return "poll"


@pytest.fixture
async def stage(tmp_path: Path, control: Control) -> AsyncIterator[Stage]:
    FakeRunner.release.clear()
    stage = Stage(tmp_path / "repository", control)
    stage.path.mkdir()
    yield stage
    FakeRunner.release.set()
    await stage.registry.stop()
