from __future__ import annotations

from pathlib import Path

import pytest

from maas_server.errors import ConfigError
from maas_server.models.check import Finding, check_repository
from tests.models import onnx_models


def findings(path: Path) -> set[tuple[str, str, int, str]]:
    return {(each.severity, each.model, each.version, each.field) for each in check_repository(path)}


def message(path: Path, field: str) -> str:
    (found,) = [each for each in check_repository(path) if each.field == field]
    return found.message


def test_tells_what_was_inferred(tmp_path: Path) -> None:
    onnx_models.save(onnx_models.linear(), tmp_path / "good/2/model.onnx")
    onnx_models.save(onnx_models.linear(), tmp_path / "good/1/model.onnx")
    assert findings(tmp_path) == {
        ("info", "good", 2, field) for field in ("runner", "batch axis", "batching", "latency")
    }
    assert message(tmp_path, "batch axis") == "x: 0"
    assert message(tmp_path, "batching").startswith("on, up to ")


def test_tells_what_is_wrong_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "corrupt/1").mkdir(parents=True)
    (tmp_path / "corrupt/1/model.onnx").write_bytes(b"no model")
    onnx_models.save(onnx_models.linear(), tmp_path / "misspelt/1/model.onnx")
    (tmp_path / "misspelt/maas.yaml").write_text("batchin: {}")
    (tmp_path / "empty").mkdir()
    (tmp_path / "half/1").mkdir(parents=True)
    onnx_models.save(onnx_models.dynamically_quantized(), tmp_path / "dynamic/1/model.onnx")
    (tmp_path / "dynamic/maas.yaml").write_text("labels: {stable: 7}")
    (tmp_path / "bad name").mkdir()
    found = findings(tmp_path)
    assert {
        ("error", "corrupt", 1, "load"),
        ("error", "misspelt", 0, "maas.yaml"),
        ("error", "empty", 0, "versions"),
        ("warning", "half", 1, "files"),
        ("error", "half", 0, "versions"),
        ("warning", "dynamic", 7, "labels.stable"),
        ("warning", "dynamic", 1, "batching"),
        ("warning", "", 0, str(tmp_path / "bad name")),
    } <= found
    assert not any(model in ("corrupt", "misspelt") and severity == "info" for severity, model, _, _ in found)


def test_tells_of_padding(tmp_path: Path) -> None:
    onnx_models.save(onnx_models.embedding(masked=True), tmp_path / "m/1/model.onnx")
    (tmp_path / "m/maas.yaml").write_text("padding: [{inputs: {ids: 1}, mask: mask, buckets: [8, 16]}]")
    assert message(tmp_path, "padding.0") == "ids: 1, mask: 1 to 8, 16"
    onnx_models.save(onnx_models.embedding(masked=False), tmp_path / "m/1/model.onnx")
    (tmp_path / "m/maas.yaml").write_text("padding: [{inputs: {ids: 1}, buckets: [8, 16]}]")
    assert message(tmp_path, "padding").startswith("padding is off")


def test_an_empty_repository_is_an_error(tmp_path: Path) -> None:
    assert list(check_repository(tmp_path)) == [Finding("error", "", 0, str(tmp_path), "there is no model")]
    with pytest.raises(ConfigError):
        list(check_repository(tmp_path / "none"))
