"""What is no plain file is never waited for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from maas_server.errors import ConfigError, LoadError
from maas_server.models.config_file import read_document
from maas_server.models.labels import read_labels
from maas_server.models.loader import digest_files
from maas_server.models.plain_files import open_plain, read_plain
from maas_server.models.repository import Repository
from maas_server.models.served import read_served
from maas_server.models.triton_config import read_triton_config


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A pipe that nobody ever writes to."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def test_a_file_is_read_up_to_one_byte_beyond_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    link = tmp_path / "link"
    link.symlink_to(path)
    assert read_plain(path, 5) == b"12345"
    assert read_plain(link, 3) == b"1234"


def test_a_pipe_is_refused_at_once(pipe: Path) -> None:
    with pytest.raises(OSError, match="not a plain file"):
        open_plain(pipe)


def test_a_device_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/dev/zero")
    with pytest.raises(OSError, match="not a plain file"):
        read_plain(link, 10)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        open_plain(tmp_path)


def test_no_descriptor_is_left_open_by_a_refusal(pipe: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="not a plain file"):
        open_plain(pipe)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_configurations_may_not_be_pipes(pipe: Path) -> None:
    for read in (read_document, read_triton_config, read_served):
        with pytest.raises(ConfigError, match="not a plain file"):
            read(pipe)


def test_labels_and_a_versions_files_may_not_be_pipes(pipe: Path) -> None:
    with pytest.raises(LoadError, match="not a plain file"):
        read_labels(pipe.parent, {"y": "pipe"})
    with pytest.raises(LoadError, match="not a plain file"):
        digest_files([("pipe", pipe)])


@pytest.mark.parametrize("name", ["config.pbtxt", "maas.yaml"])
def test_a_pipe_in_one_model_does_not_hold_up_the_others(tmp_path: Path, name: str) -> None:
    for model in ("good", "odd"):
        version = tmp_path / model / "1"
        version.mkdir(parents=True)
        (version / "model.onnx").write_bytes(b"model")
    os.mkfifo(tmp_path / "odd" / name)
    found = Repository(tmp_path, settle=0.0).scan().models
    assert found["good"].error == ""
    assert "not a plain file" in found["odd"].error
