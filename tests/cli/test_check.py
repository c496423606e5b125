"""`maas check`, on real files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from click.testing import CliRunner

from maas_server.cli import main
from tests.logging_state import restored_logging


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    with restored_logging():
        yield


def check(*args: str) -> Any:
    return CliRunner().invoke(main, ["check", *args], catch_exceptions=False)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one good model."""
    helper = onnx.helper
    rows: list[str | int | None] = ["batch", 2]
    graph = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, rows)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, rows)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    folder = tmp_path / "models" / "negate" / "1"
    folder.mkdir(parents=True)
    onnx.save(model, folder / "model.onnx")
    return tmp_path / "models"


def test_a_good_repository_is_described_and_passes(repository: Path) -> None:
    result = check(str(repository))
    assert result.exit_code == 0
    assert "info     negate:1  batching: on" in result.output
    assert result.output.splitlines()[-1] == "0 errors, 0 warnings"


def test_quiet_shows_what_is_wrong_only(repository: Path) -> None:
    assert check(str(repository), "--quiet").output == "0 errors, 0 warnings\n"


def test_a_corrupt_model_fails_the_check_and_is_named(repository: Path) -> None:
    broken = repository / "broken" / "1" / "model.onnx"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"this is no model")
    result = check(str(repository))
    assert result.exit_code == 1
    assert "error    broken:1  load: " in result.output
    assert "info     negate:1  batching: on" in result.output
    assert result.output.splitlines()[-1].startswith("1 error, ")


def test_findings_come_as_lines_of_json(repository: Path) -> None:
    findings = [json.loads(line) for line in check(str(repository), "--json").output.splitlines()]
    assert {finding["model"] for finding in findings} == {"negate"}
    assert all(finding.keys() == {"severity", "model", "version", "field", "message"} for finding in findings)


def test_an_empty_repository_fails_the_check(tmp_path: Path) -> None:
    result = check(str(tmp_path))
    assert result.exit_code == 1
    assert "there is no model" in result.output


def test_a_path_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    result = check(str(tmp_path / "none"))
    assert result.exit_code == 2
    assert "none" in result.stderr
